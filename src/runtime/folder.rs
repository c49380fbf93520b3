//! The folder of a run: `runs/<name>/<number>/`.
//!
//! | file | holds |
//! |---|---|
//! | `spec.yaml` | the resolved spec |
//! | `lock` | what the run stands on: hashes, versions, machine; see `plan::lock` |
//! | `metrics.jsonl` | every step and evaluation; no clock, no path |
//! | `timing.jsonl` | seconds, apart from what must be the same bytes twice |
//! | `checkpoints/` | see `checkpoint` |
//! | `model.onnx` | the fine-tuned model, preprocessed batch in |
//! | `model.image.onnx` | the same behind the transforms, decoded image in |
//! | `trace.phase1.json` | with `--profile`, the operators of a phase's first steps as a Chrome trace |
//! | `summary.json` | final scores; its presence says that the run is finished |
//! | `.lock` | empty; the process that works in the folder holds it |

use crate::diag::{Code, Diagnostic, Result};
use crate::plan::runs::numbered;
use crate::world;
use std::path::{Path, PathBuf};

/// A folder that this process alone works in, as long as this lives.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "held for its lifetime")] world::Lock);

/// A run's folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The next free number under `runs/<name>`.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn next(base: &Path, name: &str) -> Result<Self> {
        let parent = base.join("runs").join(name);
        world::create_dir_all(&parent)?;
        let last = numbered(&parent)?.last().map_or(0, |(number, _)| *number);
        // Another process may take the same number at the same time; a file may have it.
        for number in (last..u64::MAX).map(|last| last + 1) {
            let path = parent.join(format!("{number:03}"));
            if world::create_dir(&path)? {
                return Ok(Self { path });
            }
        }
        Err(Diagnostic::error(Code::RunExists, format!("`{}` has no number left for a run", parent.display())))
    }

    /// The last run of that name, finished or not.
    ///
    /// # Errors
    /// `P0603` when there is none.
    pub fn last(base: &Path, name: &str) -> Result<Self> {
        let parent = base.join("runs").join(name);
        let found = if world::exists(&parent) { numbered(&parent)?.pop() } else { None };
        found.map(|(_, path)| Self { path }).ok_or_else(|| {
            Diagnostic::error(Code::CheckpointBad, format!("there is no run of `{name}` to resume"))
                .help("start one with `pipe run SPEC`")
        })
    }

    /// A folder of the user's choice.
    ///
    /// # Errors
    /// `P0605` when it holds a run already and `resume` is not asked for, `P0603` when there is none to resume.
    pub fn at(path: &Path, resume: bool) -> Result<Self> {
        if resume && !world::is_folder(path) {
            return Err(Diagnostic::error(
                Code::CheckpointBad,
                format!("there is no run in `{}` to resume", path.display()),
            )
            .help("check the path, or start the run without `--resume`"));
        }
        if !resume && world::exists(&path.join("metrics.jsonl")) {
            return Err(Diagnostic::error(Code::RunExists, format!("`{}` holds a run already", path.display()))
                .help("choose another folder, or go on with `--resume`"));
        }
        world::create_dir_all(path)?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// Takes the folder for this process, and removes what a process that died here left half written.
    ///
    /// # Errors
    /// `P0605` when another process works in it.
    pub fn hold(&self) -> Result<Held> {
        let lock = world::lock(&self.file(".lock"))?.ok_or_else(|| {
            Diagnostic::error(Code::RunExists, format!("another process works in `{}`", self.path.display()))
                .help("wait for its end, or stop it first; `pipe run` without `--resume` starts a run of its own")
        })?;
        for folder in [self.path.clone(), self.file("checkpoints")] {
            let left = if world::is_folder(&folder) { world::list_dir(&folder)? } else { Vec::new() };
            let unfinished = |path: &&PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(world::UNFINISHED))
            };
            left.iter().filter(unfinished).try_for_each(|path| world::remove(path))?;
        }
        Ok(Held(lock))
    }

    /// Says that the run is not finished after all.
    ///
    /// # Errors
    /// `P0002` when its summary cannot be removed.
    pub fn reopen(&self) -> Result<()> {
        world::remove(&self.file("summary.json"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the run came to its end.
    pub fn finished(&self) -> bool {
        world::exists(&self.file("summary.json"))
    }
}
