//! Checkpoints: everything that a run needs to go on with the same bytes (DESIGN D12).
//!
//! A checkpoint is one safetensors file: `weight/<name>` for parameters and running statistics, `state/<name>` for the optimizer,
//! `average/<name>` for moving averages, `best/<name>` for the best weights so far, and its progress as JSON in the metadata.
//! `latest.json` names the last one; it is renamed into place after the file is safe on disk, and is the only commit point.

use super::device::LossScale;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{DType, Tensor};
use crate::world;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The spec under which it was reached, as [`crate::spec::identity`] gives it.
    pub(super) spec: String,
    /// Phase that the run is in.
    pub(super) phase: usize,
    /// Epochs of this phase that are done.
    pub(super) epoch: u64,
    /// Whether the phase is over (stopped early or all its epochs done).
    pub(super) phase_done: bool,
    /// Epochs of the run that are done.
    pub(super) epochs_total: u64,
    /// Optimizer steps of this phase that are done.
    pub(super) step: u64,
    /// Optimizer steps that an epoch of this phase has.
    #[serde(default)]
    pub(super) per_epoch: u64,
    /// Optimizer steps that this phase is to have.
    pub(super) length: u64,
    /// Optimizer steps of the run that are done.
    pub(super) steps_total: u64,
    /// Updates that each parameter has had, as the optimizer counts.
    pub(super) counts: BTreeMap<String, u64>,
    /// Best value of the kept metric.
    #[serde(with = "bits")]
    pub(super) best: Option<f64>,
    /// Best value of the watched metric in this phase.
    #[serde(with = "bits")]
    pub(super) watched: Option<f64>,
    /// Evaluations since it was reached.
    pub(super) stale: u64,
    /// Bytes of metrics.jsonl that are valid.
    pub(super) metrics_bytes: u64,
    /// Digests of the network and the samples that the run was started with, where they are known.
    #[serde(default)]
    pub(super) ground: Option<String>,
    /// Whether the spec was edited on the way, so that a run of the spec as it is now would give other bytes.
    #[serde(default)]
    pub(super) edited: bool,
    /// Bytes of metrics.jsonl when this phase began.
    #[serde(default)]
    pub(super) phase_bytes: u64,
    /// Factor on the loss in this phase, in half precision; none otherwise, and in checkpoints of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) loss_scale: Option<LossScale>,
}

/// Numbers as their bits: JSON has no infinity, and what is read back must be what was written, to the last bit.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(f64::to_bits).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(f64::from_bits))
    }
}

/// A checkpoint in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) progress: Progress,
    pub(super) weights: BTreeMap<String, Tensor>,
    pub(super) states: BTreeMap<String, Tensor>,
    pub(super) averages: BTreeMap<String, Tensor>,
    pub(super) best: BTreeMap<String, Tensor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Latest {
    file: String,
    blake3: String,
}

/// Largest count that is believed.
const MOST: u64 = 1 << 48;

fn broken(path: &Path, why: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(Code::CheckpointBad, format!("checkpoint `{}` cannot be used", path.display()))
        .note(why.to_string())
        .help("start anew with `pipe run SPEC`, or remove the run's folder")
}

/// The bytes of a checkpoint; `place` is what messages name.
pub(super) fn encode(place: &Path, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let mut named: Vec<(String, &Tensor)> = Vec::new();
    for (kind, tensors) in [
        ("weight", &checkpoint.weights),
        ("state", &checkpoint.states),
        ("average", &checkpoint.averages),
        ("best", &checkpoint.best),
    ] {
        named.extend(tensors.iter().map(|(name, tensor)| (format!("{kind}/{name}"), tensor)));
    }
    let mut views = Vec::new();
    for (name, tensor) in &named {
        let view = TensorView::new(Dtype::F32, tensor.shape().to_vec(), tensor.bytes())
            .map_err(|error| broken(place, error))?;
        views.push((name.clone(), view));
    }
    let progress = serde_json::to_string(&checkpoint.progress).map_err(|error| broken(place, error))?;
    let metadata = HashMap::from([("progress".to_owned(), progress)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| broken(place, error))
}

/// Writes a checkpoint, makes it the latest, and removes all but the last `keep`. Up to the moment at which `latest.json` is renamed the
/// one before stays the latest, whole.
pub(super) fn save(folder: &Path, checkpoint: &Checkpoint, moment: Moment, keep: usize) -> Result<()> {
    world::create_dir_all(folder)?;
    let bytes = encode(folder, checkpoint)?;
    let step = checkpoint.progress.steps_total;
    let file = match moment {
        Moment::Epoch => format!("{step:08}.safetensors"),
        Moment::Stopped => format!("{step:08}{STOPPED}"),
    };
    let path = folder.join(&file);
    let stopped =
        world::list_dir(folder)?.into_iter().filter(|old| old != &path && is_stopped(old)).collect::<Vec<_>>();
    world::write_atomic(&path, |out| out.write_all(&bytes))?;
    let latest = Latest { file, blake3: blake3::hash(&bytes).to_hex().to_string() };
    let latest = serde_json::to_vec(&latest).map_err(|error| broken(folder, error))?;
    world::write_atomic(&folder.join("latest.json"), |out| out.write_all(&latest))?;
    surplus(folder, step, keep)?.iter().chain(&stopped).try_for_each(|path| world::remove(path))
}

/// Removes what a process that died behind its last checkpoint did not come to remove.
pub(super) fn tidy(folder: &Path, step: u64, keep: usize) -> Result<()> {
    let pointer = folder.join("latest.json");
    let latest: Latest = serde_json::from_slice(&world::read(&pointer)?).map_err(|error| broken(&pointer, error))?;
    let stopped = world::list_dir(folder)?.into_iter().filter(|path| is_stopped(path) && !path.ends_with(&latest.file));
    let stopped: Vec<PathBuf> = stopped.collect();
    surplus(folder, step, keep)?.iter().chain(&stopped).try_for_each(|path| world::remove(path))
}

/// When a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// After an epoch.
    Epoch,
    /// Inside one, since the run is stopped there. The next checkpoint takes its place, so that a run that was stopped leaves the same
    /// files as one that was not.
    Stopped,
}

/// End of the names of files that [`Moment::Stopped`] makes.
const STOPPED: &str = ".stopped.safetensors";

fn is_stopped(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(STOPPED))
}

/// What may go once the checkpoint of a step is the latest: all but the last `keep` up to it, and those behind it, which a run that died
/// wrote and never committed.
fn surplus(folder: &Path, step: u64, keep: usize) -> Result<Vec<PathBuf>> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(".safetensors")?.parse::<u64>().ok();
    let files = world::list_dir(folder)?.into_iter();
    let mut files: Vec<(u64, PathBuf)> = files.filter_map(|path| Some((number(&path)?, path))).collect();
    files.sort();
    let behind = files.partition_point(|(number, _)| *number <= step);
    let old = behind.saturating_sub(keep.max(1));
    Ok(files.into_iter().enumerate().filter(|(i, _)| *i < old || *i >= behind).map(|(_, (_, path))| path).collect())
}

/// Reads a checkpoint from its bytes and forgets it; for tests of the reader.
///
/// # Errors
/// `P0603` when they are no checkpoint.
#[doc(hidden)]
pub fn read_checkpoint(bytes: &[u8]) -> Result<()> {
    decode(Path::new("checkpoint"), bytes).map(drop)
}

/// The latest checkpoint of a folder; `None` when there is none.
pub(super) fn load(folder: &Path) -> Result<Option<Checkpoint>> {
    let pointer = folder.join("latest.json");
    if !world::exists(&pointer) {
        return Ok(None);
    }
    let latest: Latest = serde_json::from_slice(&world::read(&pointer)?).map_err(|error| broken(&pointer, error))?;
    if latest.file.contains(['/', '\\']) {
        return Err(broken(&pointer, "it names a file outside the folder"));
    }
    let path = folder.join(&latest.file);
    let bytes = world::read(&path).map_err(|error| broken(&path, error.notes().join("; ")))?;
    if blake3::hash(&bytes).to_hex().as_str() != latest.blake3 {
        return Err(broken(&path, "its bytes are not those that were written"));
    }
    decode(&path, &bytes).map(Some)
}

/// A checkpoint from its bytes; `place` is what messages name.
pub(super) fn decode(place: &Path, bytes: &[u8]) -> Result<Checkpoint> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(place, error))?;
    let progress = metadata.metadata().as_ref().and_then(|map| map.get("progress").cloned()).unwrap_or_default();
    let progress: Progress = serde_json::from_str(&progress).map_err(|error| broken(place, error))?;
    let counts = [progress.phase as u64, progress.epoch, progress.epochs_total, progress.step, progress.steps_total];
    if counts.into_iter().chain(progress.counts.values().copied()).any(|count| count > MOST) {
        return Err(broken(place, "it counts more steps than any run takes"));
    }
    if progress.loss_scale.is_some_and(|scale| !scale.is_possible()) {
        return Err(broken(place, "its factor on the loss is none that steps make"));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| broken(place, error))?;
    let mut checkpoint = Checkpoint { progress, ..Checkpoint::default() };
    for (name, view) in tensors.iter() {
        let tensor = Tensor::from_bytes(DType::F32, view.shape().to_vec(), view.data().to_vec())
            .filter(|_| view.dtype() == Dtype::F32)
            .ok_or_else(|| broken(place, format!("tensor `{name}` is not f32")))?;
        let slot = match name.split_once('/') {
            Some(("weight", name)) => checkpoint.weights.insert(name.to_owned(), tensor),
            Some(("state", name)) => checkpoint.states.insert(name.to_owned(), tensor),
            Some(("average", name)) => checkpoint.averages.insert(name.to_owned(), tensor),
            Some(("best", name)) => checkpoint.best.insert(name.to_owned(), tensor),
            _ => return Err(broken(place, format!("it holds an unknown tensor `{name}`"))),
        };
        if slot.is_some() {
            return Err(broken(place, format!("tensor `{name}` stands twice")));
        }
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(step: u64) -> Checkpoint {
        Checkpoint {
            progress: Progress {
                steps_total: step,
                best: Some(f64::INFINITY),
                loss_scale: Some(LossScale::new(1024.0)),
                ..Progress::default()
            },
            weights: BTreeMap::from([("a/b.weight".to_owned(), Tensor::new([2, 1], &[1.0f32, f32::MIN_POSITIVE]))]),
            states: BTreeMap::from([("a/b.weight.momentum".to_owned(), Tensor::new([2], &[0.25f32, -0.0]))]),
            averages: BTreeMap::from([("a/b.weight".to_owned(), Tensor::new([2, 1], &[0.5f32, 1.5]))]),
            best: BTreeMap::new(),
        }
    }

    #[test]
    fn comes_back_bit_for_bit_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        for step in 1..=4 {
            save(folder.path(), &example(step), Moment::Epoch, 2).unwrap();
        }
        assert_eq!(load(folder.path()).unwrap(), Some(example(4)));
        let kept: Vec<_> = world::list_dir(folder.path()).unwrap();
        assert_eq!(kept.len(), 3, "{kept:?}");
    }

    #[test]
    fn what_a_dead_run_left_behind_is_never_taken_for_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let path = |step: &str| folder.path().join(format!("{step}.safetensors"));
        save(folder.path(), &example(8), Moment::Epoch, 2).unwrap();
        // Written and not committed; a name that sorts before shorter ones; nothing of ours.
        for stray in ["00000012", "100000000", "notes"] {
            world::write_atomic(&path(stray), |out| out.write_all(b"?")).unwrap();
        }
        save(folder.path(), &example(10), Moment::Epoch, 2).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(example(10)));
        let kept = |step| world::exists(&path(step));
        assert!(kept("00000008") && kept("00000010") && kept("notes") && !kept("00000012") && !kept("100000000"));
        save(folder.path(), &example(100_000_000), Moment::Epoch, 1).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(example(100_000_000)));
        assert!(!kept("00000010"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &example(1), Moment::Epoch, 1).unwrap();
        let path = folder.path().join("00000001.safetensors");
        let bytes = world::read(&path).unwrap();
        world::write_atomic(&path, |out| out.write_all(&bytes[..bytes.len() - 1])).unwrap();
        assert_eq!(load(folder.path()).unwrap_err().code(), Code::CheckpointBad);
    }

    #[test]
    fn one_without_a_factor_on_the_loss_is_read_and_one_with_a_wrong_factor_is_not() {
        let with = |scale| {
            let mut checkpoint = example(1);
            checkpoint.progress.loss_scale = scale;
            let bytes = encode(Path::new("here"), &checkpoint).unwrap();
            (String::from_utf8_lossy(&bytes).contains("loss_scale"), decode(Path::new("here"), &bytes))
        };
        let (named, read) = with(None);
        assert!(!named, "the bytes of a run on the processor stay as they were");
        assert_eq!(read.unwrap().progress.loss_scale, None);
        let (named, read) = with(Some(LossScale::new(0.5)));
        assert!(named);
        assert_eq!(read.unwrap_err().code(), Code::CheckpointBad);
    }

    #[test]
    fn nothing_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
    }
}
