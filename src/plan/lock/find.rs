//! The facts of a spec as they are now.

use super::Lock;
use crate::data::Dataset;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::onnx;
use crate::native;
use crate::plan::{Plan, runs, sets};
use crate::spec::{Spec, identity, leaves};
use crate::world;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Facts, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// What was found.
    pub lock: Lock,
    /// What is not on this machine.
    pub absent: Vec<Absent>,
}

/// Something that is not here: a file that is not there or only as a pointer of git-lfs, a library that is not installed.
#[derive(Debug)]
pub struct Absent {
    /// Section of its facts.
    pub section: &'static str,
    /// Name of the fact; every one of the section without it.
    pub name: Option<String>,
    /// Why.
    pub why: Diagnostic,
}

/// The datasets of a spec before any split, or what is wrong with them.
pub type Declared = BTreeMap<String, Result<Dataset>>;

/// Opens the datasets of a spec.
pub fn declared(spec: &Spec, base: &Path) -> Declared {
    spec.data.sets.keys().filter_map(|name| Some((name.clone(), sets::declared(spec, base, name)?))).collect()
}

/// Everything that a lock says of a spec. `known` is an older lock: it says which files of external data a model has that is a pointer.
///
/// # Errors
/// What is wrong with a model or with data that is there.
pub fn facts(spec: &Spec, base: &Path, data: &Declared, known: Option<&Lock>) -> Result<Found> {
    let mut found = Found::default();
    found.lock.set("", "pipe", env!("CARGO_PKG_VERSION"));
    found.lock.set("", "spec", format!("blake3:{}", blake3::hash(identity(spec).as_bytes()).to_hex()));
    for (path, value) in leaves(spec)? {
        found.lock.set("spec", &path, value);
    }
    match native::build_info() {
        Ok(info) => found.lock.set("", "onnxruntime", version(info)),
        Err(why) => found.miss("", Some("onnxruntime"), why),
    }
    model(spec, base, known, &mut found)?;
    for (name, set) in data {
        let at = spec.data.sets.get(name).map_or("", |set| set.source.at.as_str());
        files(spec, base, name, &mut found)?;
        let digest = set.as_ref().map_err(Clone::clone).and_then(|set| Ok((set.digest()?, set.len())));
        match digest {
            Ok((digest, samples)) => {
                found.lock.set("data", name, format!("{samples} samples, blake3:{}", digest.to_hex()));
            }
            Err(why) if is_absence(&why) => found.miss("data", Some(name), why.at(at, "")),
            Err(why) => return Err(if why.labels().is_empty() { why.at(at, "") } else { why }),
        }
    }
    Ok(found)
}

impl Lock {
    /// The facts of a plan.
    ///
    /// # Errors
    /// When a file that the plan stands on cannot be read.
    pub fn of_plan(plan: &Plan) -> Result<Self> {
        let named = plan.sets.iter().filter(|(name, _)| plan.spec.data.sets.contains_key(*name));
        let data = named.map(|(name, set)| (name.clone(), Ok(set.declared()))).collect();
        let found = facts(&plan.spec, &plan.base, &data, None)?;
        found.absent.into_iter().next().map_or(Ok(found.lock), |absent| Err(absent.why))
    }
}

impl Found {
    fn miss(&mut self, section: &'static str, name: Option<&str>, why: Diagnostic) {
        self.absent.push(Absent { section, name: name.map(ToOwned::to_owned), why });
    }
}

/// The commit that ONNX Runtime was built from, which is the same for all systems.
fn version(info: &str) -> String {
    let commit = info.split("git-commit-id=").nth(1).and_then(|rest| rest.split(',').next());
    commit.map_or_else(|| info.to_owned(), |commit| format!("commit {}", commit.trim()))
}

fn is_absence(why: &Diagnostic) -> bool {
    matches!(why.code(), Code::DataMissing | Code::LfsPointer)
}

/// SHA-256 as locks write it.
fn sha256(path: &Path) -> Result<String> {
    world::sha256(path).map(|digest| format!("sha256:{digest}"))
}

/// The model and the files beside it that hold its weights.
fn model(spec: &Spec, base: &Path, known: Option<&Lock>, found: &mut Found) -> Result<()> {
    let Some(source) = &spec.model.source else { return Ok(()) };
    let Some(path) = runs::model(base, source).filter(|path| world::is_file(path)) else {
        let why = Diagnostic::error(Code::DataMissing, format!("the model `{source}` is not there"));
        found.miss("model", None, why.at("/model/source", ""));
        return Ok(());
    };
    found.lock.set("model", source, sha256(&path)?);
    let of_a_pointer = || {
        let names = known.map(|known| known.names("model")).unwrap_or_default();
        names.into_iter().filter_map(|name| Some(name.strip_prefix(&format!("{source}: "))?.to_owned())).collect()
    };
    let beside: Vec<String> = match onnx::external_files(&path) {
        Ok(files) => files,
        Err(cause) if cause.code() == Code::LfsPointer => of_a_pointer(),
        Err(cause) => return Err(if cause.labels().is_empty() { cause.at("/model/source", "") } else { cause }),
    };
    for file in beside {
        let name = format!("{source}: {file}");
        let path = path.parent().unwrap_or(base).join(&file);
        if world::is_file(&path) {
            found.lock.set("model", &name, sha256(&path)?);
        } else {
            let why = Diagnostic::error(Code::DataMissing, format!("`{}` is not there", path.display()));
            found.miss("model", Some(&name), why.at("/model/source", "the model keeps weights in it"));
        }
    }
    Ok(())
}

/// The files that a source names; those that are pointers say their hash.
fn files(spec: &Spec, base: &Path, set: &str, found: &mut Found) -> Result<()> {
    let Some(set) = spec.data.sets.get(set) else { return Ok(()) };
    let files: Vec<PathBuf> = set.source.build()?.files(base);
    for file in files {
        let path = base.join(&file);
        let name = file.to_string_lossy().into_owned();
        if world::is_file(&path) {
            found.lock.set("files", &name, sha256(&path)?);
        } else {
            let why = Diagnostic::error(Code::DataMissing, format!("`{}` is not there", path.display()));
            found.miss("files", Some(&name), why.at(&set.source.at, ""));
        }
    }
    Ok(())
}
