//! `lock` in a run's folder, which says what the run stood on, and the comparison of a run with the one that it repeats.

use super::execute::RunOptions;
use super::folder::RunFolder;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Graph, Tensor, onnx};
use crate::native;
use crate::plan::{Lock, Plan};
use crate::world::{self, env};
use serde_json::Value;
use std::path::{Component, Path, PathBuf};

/// Name of the file in a run's folder.
const FILE: &str = "lock";

/// Writes down what a run stands on.
pub(super) fn record(plan: &Plan, options: &RunOptions) -> Result<()> {
    let mut lock = Lock::of_plan(plan)?;
    machine(&mut lock, options.threads)?;
    lock.set("run", "spec_folder", leading(options.folder.path(), &plan.base));
    lock.write(&options.folder.file(FILE))
}

/// Adds what the bits of a run may depend on beside spec, model and data.
///
/// # Errors
/// `P0003` or `P0004` when there is no usable ONNX Runtime.
pub fn machine(lock: &mut Lock, threads: usize) -> Result<()> {
    lock.set("machine", "instructions", env::instruction_set());
    lock.set("machine", "onnxruntime_build", native::build_info()?);
    lock.set("machine", "system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    lock.set("machine", "threads", threads.to_string());
    Ok(())
}

/// The way from one folder to another.
fn leading(from: &Path, to: &Path) -> String {
    let (Some(from), Some(to)) = (world::canonical(from), world::canonical(to)) else {
        return to.display().to_string();
    };
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(shared)).collect();
    way.to_string_lossy().into_owned()
}

/// A finished run that can be repeated.
#[derive(Debug)]
pub struct Original {
    /// Its folder.
    pub folder: PathBuf,
    /// What it stood on.
    pub lock: Lock,
    /// Folder of its spec.
    pub base: PathBuf,
    /// Threads that it ran on.
    pub threads: usize,
}

impl Original {
    /// Opens a run's folder.
    ///
    /// # Errors
    /// `P0603` when no run came to its end there, `P0620` without `lock`, `P0621` when that cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        if !world::is_file(&folder.join("summary.json")) {
            let message = format!("there is no finished run in `{}`", folder.display());
            return Err(Diagnostic::error(Code::CheckpointBad, message)
                .help("name a run's folder, such as `runs/name/001`, or `run://name` for the last one of that name"));
        }
        let lock = Lock::read(&folder.join(FILE))?.ok_or_else(|| {
            Diagnostic::error(Code::LockMissing, format!("`{}` has no `{FILE}`", folder.display()))
                .note("it was made by an older version, or is the folder of a sweep")
                .help("of a sweep, the trials can be reproduced: `…/trials/001`")
        })?;
        let base = following(folder, lock.get("run", "spec_folder").unwrap_or("."));
        let threads = lock.get("machine", "threads").and_then(|text| text.parse().ok());
        let threads = threads.unwrap_or_else(env::cores);
        Ok(Self { folder: folder.to_path_buf(), lock, base, threads })
    }
}

/// The folder at the end of a way; steps up take the names of `from` back where they can.
fn following(from: &Path, way: &str) -> PathBuf {
    let mut at = from.to_path_buf();
    for step in Path::new(way).components() {
        let named = matches!(at.components().next_back(), Some(Component::Normal(_)));
        match step {
            Component::ParentDir if named => drop(at.pop()),
            step => at.push(step),
        }
    }
    if at.as_os_str().is_empty() { PathBuf::from(".") } else { at }
}

/// What two runs of one spec gave.
#[derive(Debug, Default)]
pub struct Comparison {
    /// A line a thing: its name and what was found.
    pub lines: Vec<(String, String)>,
    /// Whether all numbers are the same.
    pub same: bool,
}

/// Compares the numbers of a run with those of the one that it repeats: every line of the metrics, the weights, the final scores.
///
/// # Errors
/// When a file of theirs cannot be read.
pub fn compare(old: &Path, new: &RunFolder) -> Result<Comparison> {
    let mut comparison = Comparison { lines: Vec::new(), same: true };
    let file = |folder: &Path, name: &str| world::read(&folder.join(name));
    for (name, differs) in [
        ("metrics.jsonl", metrics as fn(&[u8], &[u8]) -> Result<Option<String>>),
        ("model.onnx", weights),
        ("summary.json", scores),
    ] {
        let (a, b) = (file(old, name)?, file(new.path(), name)?);
        let found = if a == b { None } else { differs(&a, &b)? };
        comparison.same &= found.is_none();
        let text = match found {
            Some(text) => text,
            None if a == b => "the same bytes".to_owned(),
            None => "the same numbers".to_owned(),
        };
        comparison.lines.push((name.to_owned(), text));
    }
    Ok(comparison)
}

/// The first line that is not the same.
#[expect(clippy::unnecessary_wraps, reason = "it stands in a table with others")]
fn metrics(old: &[u8], new: &[u8]) -> Result<Option<String>> {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let at = a.iter().zip(&b).position(|(a, b)| a != b);
    let Some(at) = at else {
        return Ok((a.len() != b.len()).then(|| format!("{} lines, they were {}", b.len(), a.len())));
    };
    let parsed = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_default();
    let (old, new) = (parsed(a[at]), parsed(b[at]));
    let step = new.get("step").map(|step| format!(", step {step}")).unwrap_or_default();
    let value = first_difference(&old, &new, "");
    Ok(Some(format!("line {}{step}: {}", at + 1, value.unwrap_or_else(|| "written differently".to_owned()))))
}

/// Every score that is not the same.
#[expect(clippy::unnecessary_wraps, reason = "it stands in a table with others")]
fn scores(old: &[u8], new: &[u8]) -> Result<Option<String>> {
    let part = |bytes: &[u8]| {
        let summary = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        Value::Array(["steps", "scores"].map(|key| summary.get(key).cloned().unwrap_or_default()).to_vec())
    };
    let (old, new) = (part(old), part(new));
    let steps = first_difference(&old[0], &new[0], "steps");
    let mut found: Vec<String> = steps.into_iter().collect();
    let sets = |value: &Value| value.as_object().map(|sets| sets.keys().cloned().collect::<Vec<_>>());
    for set in sets(&new[1]).into_iter().flatten() {
        found.extend(first_difference(&old[1][&set], &new[1][&set], &set));
    }
    Ok((!found.is_empty()).then(|| found.join("; ")))
}

/// The first value that is not the same, with the way to it.
fn first_difference(old: &Value, new: &Value, at: &str) -> Option<String> {
    match (old, new) {
        (a, b) if a == b => None,
        (Value::Object(a), Value::Object(b)) => {
            let keys = b.keys().chain(a.keys().filter(|key| !b.contains_key(*key)));
            let inner = |key: &String| if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            let of = |map: &serde_json::Map<String, Value>, key: &String| map.get(key).cloned().unwrap_or_default();
            keys.into_iter().find_map(|key| first_difference(&of(a, key), &of(b, key), &inner(key)))
        }
        (a, b) => Some(format!("{at} {a} → {b}")),
    }
}

/// The largest relative difference of a weight; nothing when only what stands around the weights differs.
fn weights(old: &[u8], new: &[u8]) -> Result<Option<String>> {
    let (old, new) = (onnx::decode(old, None)?.graph, onnx::decode(new, None)?.graph);
    let mut largest: Option<(f64, String)> = None;
    for (id, tensor) in &new.initializers {
        let name = new.name(*id);
        let Some(before) = constant(&old, name).filter(|before| before.shape() == tensor.shape()) else {
            return Ok(Some(format!("`{name}` has no counterpart")));
        };
        let difference = relative(before, tensor);
        if difference > largest.as_ref().map_or(0.0, |(most, _)| *most) {
            largest = Some((difference, name.to_owned()));
        }
    }
    if old.initializers.len() != new.initializers.len() {
        return Ok(Some(format!("{} tensors, they were {}", new.initializers.len(), old.initializers.len())));
    }
    Ok(largest.map(|(difference, name)| format!("weights differ by up to {difference:.1e} relative, in `{name}`")))
}

fn constant<'g>(graph: &'g Graph, name: &str) -> Option<&'g Tensor> {
    graph.find(name).and_then(|id| graph.constant(id))
}

/// max |a − b| / max |a|, of tensors of one shape; those that are no f32 are the same or not.
fn relative(old: &Tensor, new: &Tensor) -> f64 {
    if old == new {
        return 0.0;
    }
    let (Some(a), Some(b)) = (old.to_vec::<f32>(), new.to_vec::<f32>()) else { return f64::INFINITY };
    let finite = a.iter().chain(&b).all(|value| value.is_finite());
    let scale = a.iter().map(|a| f64::from(a.abs())).fold(f64::MIN_POSITIVE, f64::max);
    let apart = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max);
    if finite { apart / scale } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_folders_is_followed_back() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("a/runs/x/001");
        world::create_dir_all(&run).unwrap();
        let way = leading(&run, &root.path().join("a"));
        assert_eq!(way, "../../..");
        assert_eq!(following(&run, &way), root.path().join("a"));
        assert_eq!(following(Path::new("runs/x/001"), &way), Path::new("."));
        assert_eq!(following(Path::new("."), ".."), Path::new("./.."));
        assert_eq!(leading(&root.path().join("a"), &run), "runs/x/001");
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        let old = b"{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.25,\"terms\":{\"a\":1.0}}\n";
        let said = |new: &str| metrics(old, new.as_bytes()).unwrap();
        let text = String::from_utf8_lossy(old).into_owned();
        assert_eq!(said(&text), None);
        assert_eq!(said(&text.replace("1.0", "2.0")).unwrap(), "line 2, step 2: terms.a 1.0 → 2.0");
        assert_eq!(said("{\"step\":1,\"loss\":0.5}\n").unwrap(), "1 lines, they were 2");
    }
}
