//! What a run stands on, as facts that can be written down and compared: `<spec>.lock` beside a spec, `lock` in a run's folder.
//!
//! | section | facts |
//! |---|---|
//! | (none) | digest of the resolved spec, versions of pipe and ONNX Runtime |
//! | `data` | tree hash and number of samples of every dataset, before any split |
//! | `files` | SHA-256 of the files that a source names one by one: tables, archives |
//! | `model` | SHA-256 of the model and of the files of its external data |
//! | `spec` | the resolved spec, value by value |
//! | `machine` `run` | in a run's folder: instruction set, threads, build of the library; the folder of the spec |
//!
//! The text is TOML with one fact a line in sorted order, so that a review shows what changed.

mod find;
mod refuse;
mod text;

pub use find::{Absent, Declared, Found, declared, facts};
pub use refuse::{Verdict, locked};

use crate::diag::Result;
use crate::world;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Facts by section and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    facts: BTreeMap<(String, String), String>,
}

/// A fact that is not the same in two locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Section, empty for the facts above all sections.
    pub section: String,
    /// Name in it.
    pub name: String,
    /// What the older one says, if anything.
    pub old: Option<String>,
    /// What the newer one says, if anything.
    pub new: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        let section = if self.section.is_empty() { String::new() } else { format!("{} ", self.section) };
        write!(f, "{section}{}: {} → {}", self.name, side(&self.old), side(&self.new))
    }
}

impl Lock {
    /// Adds a fact.
    pub fn set(&mut self, section: &str, name: &str, value: impl Into<String>) {
        self.facts.insert((section.to_owned(), name.to_owned()), value.into());
    }

    /// A fact.
    pub fn get(&self, section: &str, name: &str) -> Option<&str> {
        self.facts.get(&(section.to_owned(), name.to_owned())).map(String::as_str)
    }

    /// Names of the facts of a section.
    pub fn names(&self, section: &str) -> Vec<&str> {
        self.facts.keys().filter(|(of, _)| of == section).map(|(_, name)| name.as_str()).collect()
    }

    /// What is not the same in a newer one, in the order of the text.
    pub fn differences(&self, newer: &Self) -> Vec<Difference> {
        let mut keys: Vec<&(String, String)> = self.facts.keys().chain(newer.facts.keys()).collect();
        keys.sort();
        keys.dedup();
        let differs = keys.into_iter().filter(|key| self.facts.get(key) != newer.facts.get(key));
        differs
            .map(|key| Difference {
                section: key.0.clone(),
                name: key.1.clone(),
                old: self.facts.get(key).cloned(),
                new: newer.facts.get(key).cloned(),
            })
            .collect()
    }

    /// Reads a lock; `None` when there is none.
    ///
    /// # Errors
    /// `P0621` when the file is none.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if !world::exists(path) {
            return Ok(None);
        }
        text::parse(&path.display().to_string(), &world::read_to_string(path)?).map(Some)
    }

    /// Writes it.
    ///
    /// # Errors
    /// `P0002` when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = text::print(self);
        world::write_atomic(path, |out| out.write_all(text.as_bytes()))
    }
}

/// Where the lock of a spec lies: `spec.yaml.lock` beside `spec.yaml`.
pub fn lock_path(spec: &Path) -> PathBuf {
    let mut name = spec.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
