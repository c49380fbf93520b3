//! The folder of a run: `runs/<name>/<number>/`.
//!
//! | file | holds |
//! |---|---|
//! | `spec.yaml` | the resolved spec |
//! | `metrics.jsonl` | every step and evaluation; no clock, no path |
//! | `timing.jsonl` | seconds, apart from what must be the same bytes twice |
//! | `checkpoints/` | see `checkpoint` |
//! | `model.onnx` | the fine-tuned model, preprocessed batch in |
//! | `model.image.onnx` | the same behind the transforms, decoded image in |
//! | `trace.phase1.json` | with `--profile`, the operators of a phase's first steps as a Chrome trace |
//! | `summary.json` | final scores; its presence says that the run is finished |

use crate::diag::{Code, Diagnostic, Result};
use crate::plan::runs::numbered;
use crate::world;
use std::path::{Path, PathBuf};

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
        let path = parent.join(format!("{:03}", last + 1));
        world::create_dir_all(&path)?;
        Ok(Self { path })
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
    /// `P0605` when it holds a run already and `resume` is not asked for.
    pub fn at(path: &Path, resume: bool) -> Result<Self> {
        if !resume && world::exists(&path.join("metrics.jsonl")) {
            return Err(Diagnostic::error(Code::RunExists, format!("`{}` holds a run already", path.display()))
                .help("choose another folder, or go on with `--resume`"));
        }
        world::create_dir_all(path)?;
        Ok(Self { path: path.to_path_buf() })
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
