//! One of two things that are compared: a spec, or the folder of a run.

use super::super::findings::position;
use super::series::{self, Series};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::Chosen;
use crate::plan::{self, Lock};
use crate::spec::{Parsed, Spec};
use crate::world;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const SPEC: &str = "spec";
pub(super) const RUN: &str = "run";

/// A spec or a run, read.
#[derive(Debug)]
pub struct Side {
    pub(super) name: String,
    pub(super) kind: &'static str,
    parsed: Parsed,
    /// None where this pipe does not read the spec that a run keeps.
    pub(super) spec: Option<Spec>,
    pub(super) lock: Option<Lock>,
    pub(super) series: Series,
    pub(super) notes: Vec<String>,
}

impl Side {
    /// A spec and its lock, if it has one.
    ///
    /// # Errors
    /// All that is wrong with the spec, or that its lock cannot be read.
    pub fn spec(path: &Path) -> std::result::Result<Self, Vec<Diagnostic>> {
        let one = |problem| vec![problem];
        let mut parsed = plan::load(path, &[]).map_err(one)?;
        if parsed.spec.is_none() {
            return Err(parsed.diagnostics);
        }
        let lock = Lock::read(&plan::lock_path(path)).map_err(one)?;
        let (name, spec) = (path.display().to_string(), parsed.spec.take());
        Ok(Self { name, kind: SPEC, parsed, spec, lock, series: Series::default(), notes: Vec::new() })
    }

    /// The folder of a run, finished or not.
    ///
    /// # Errors
    /// `P0001` for a folder that holds no run, or a whole sweep; `P0621` for a `lock` that cannot be read.
    pub fn run(folder: &Path) -> Result<Self> {
        let name = folder.display().to_string();
        if world::is_folder(&folder.join("trials")) {
            let error = Diagnostic::error(Code::Usage, format!("`{name}` is the folder of a sweep"));
            return Err(error.help("compare its trials, such as `…/trials/001` and `…/trials/002`"));
        }
        let path = folder.join("spec.yaml");
        if !world::is_file(&path) {
            let error =
                Diagnostic::error(Code::Usage, format!("`{name}` holds no run")).note("there is no `spec.yaml` in it");
            return Err(error
                .help("name a run's folder, such as `runs/name/001`, or `run://name` for the last one of that name"));
        }
        let mut notes = Vec::new();
        let mut parsed = plan::load(&path, &[])?;
        let spec = parsed.spec.take();
        if spec.is_none() {
            notes.push(format!("this pipe does not read `{}`: the specs are not compared", path.display()));
        }
        if !world::is_file(&folder.join("summary.json")) {
            notes.push(format!("`{name}` is not finished: its final values are the last ones"));
        }
        let file = |name: &str| {
            let path = folder.join(name);
            if world::is_file(&path) { world::read_to_string(&path) } else { Ok(String::new()) }
        };
        let series = series::read(&file("metrics.jsonl")?, &file("timing.jsonl")?, &larger_is_better(spec.as_ref()));
        if series.damaged > 0 {
            notes.push(format!("{} lines of `{name}/metrics.jsonl` cannot be read", series.damaged));
        }
        let lock = Lock::read(&folder.join("lock"))?;
        Ok(Self { name, kind: RUN, parsed, spec, lock, series, notes })
    }

    /// File and line of a value, or of what is nearest around it.
    pub(super) fn place(&self, pointer: &str) -> Option<String> {
        let (source, range) = self.parsed.places.find(pointer, false)?;
        // The whole spec is around everything.
        let whole = self.parsed.places.find("", false);
        let is_whole = whole.is_some_and(|(_, all)| all == range);
        (!is_whole).then(|| format!("{}:{}", source.name, position(&source.text, range.start).0))
    }
}

/// Whether larger is better, by metric.
fn larger_is_better(spec: Option<&Spec>) -> BTreeMap<String, bool> {
    let metrics = spec.into_iter().flat_map(|spec| &spec.evaluate.metrics);
    let built = metrics.filter_map(|metric| Chosen::build(metric).ok());
    built.map(|metric| (metric.name(), metric.larger_is_better())).collect()
}
