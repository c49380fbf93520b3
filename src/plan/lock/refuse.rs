//! `--locked`: whether a spec, its model, its data and the versions are what its lock says.

use super::{Difference, Found, Lock, declared, facts, lock_path};
use crate::diag::{Code, Diagnostic, Result};
use crate::spec::Spec;
use std::path::Path;

/// Most differences of the spec that one diagnostic shows by place.
const SHOWN: usize = 8;

/// What a lock had to say.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is not as it says, with pointer labels; nothing when all is well.
    pub refused: Vec<Diagnostic>,
    /// What could not be looked at, a sentence each.
    pub notes: Vec<String>,
}

/// Compares the spec in a file with its lock. What is not on this machine is a note, or, where it is `needed`, an error.
///
/// # Errors
/// `P0620` without a lock, `P0621` for a file that is none, and what is wrong with a model or data that is there.
pub fn locked(path: &Path, spec: &Spec, base: &Path, needed: bool) -> Result<Verdict> {
    let file = lock_path(path);
    let Some(lock) = Lock::read(&file)? else {
        let message = format!("`{}` has no lock: there is no `{}`", path.display(), file.display());
        return Err(Diagnostic::error(Code::LockMissing, message)
            .help(format!("write it with `pipe lock {}`, and keep it in git beside the spec", path.display())));
    };
    let now = facts(spec, base, &declared(spec, base), Some(&lock))?;
    Ok(verdict(path, &lock, now, needed))
}

pub(super) fn verdict(path: &Path, lock: &Lock, now: Found, needed: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let absent = |difference: &Difference| {
        now.absent.iter().any(|absent| {
            absent.section == difference.section && absent.name.as_ref().is_none_or(|name| *name == difference.name)
        })
    };
    let differences: Vec<Difference> =
        lock.differences(&now.lock).into_iter().filter(|difference| !absent(difference)).collect();
    let (of_spec, others): (Vec<_>, Vec<_>) = differences.into_iter().partition(is_of_spec);
    if !of_spec.is_empty() {
        verdict.refused.push(changed_spec(path, &of_spec));
    }
    verdict.refused.extend(others.iter().map(|difference| changed(path, difference)));
    for absent in now.absent {
        if needed {
            verdict.refused.push(absent.why);
        } else {
            let help = absent.why.help_text().map(|help| format!(" ({help})")).unwrap_or_default();
            verdict.notes.push(format!("not compared with the lock: {}{help}", absent.why.message()));
        }
    }
    verdict
}

fn is_of_spec(difference: &Difference) -> bool {
    difference.section == "spec" || (difference.section.is_empty() && difference.name == "spec")
}

/// One diagnostic for all values of the spec that changed, each at its place.
fn changed_spec(path: &Path, differences: &[Difference]) -> Diagnostic {
    let message = format!("`{}` does not compute what its lock says", path.display());
    let mut error = Diagnostic::error(Code::LockChanged, message);
    let values: Vec<&Difference> = differences.iter().filter(|difference| difference.section == "spec").collect();
    for difference in values.iter().take(SHOWN) {
        let pointer = format!("/{}", difference.name.replace('.', "/"));
        let label = match &difference.old {
            Some(old) if difference.new.is_some() => format!("the lock says {old}"),
            Some(old) => format!("the lock says `{}: {old}`", difference.name),
            None => "not in the lock".to_owned(),
        };
        error = error.at(pointer, label);
    }
    for difference in &values {
        error = error.note(difference.to_string());
    }
    if values.is_empty() {
        error = error.note("its values are the same, their digest is another: the lock was edited");
    }
    error.help(renew(path))
}

/// One diagnostic for a file, a dataset or a version.
fn changed(path: &Path, difference: &Difference) -> Diagnostic {
    let Difference { section, name, .. } = difference;
    let (what, at) = match section.as_str() {
        "model" => (format!("the model file `{name}`"), "/model/source".to_owned()),
        "data" => (format!("the dataset `{name}`"), format!("/data/sets/{name}")),
        "files" => (format!("the data file `{name}`"), "/data/sets".to_owned()),
        _ if name == "onnxruntime" => ("ONNX Runtime".to_owned(), String::new()),
        _ => (name.clone(), String::new()),
    };
    let how = match (&difference.old, &difference.new) {
        (Some(_), Some(_)) => "is not the one that the lock says",
        (None, _) => "is not in the lock",
        (_, None) => "is in the lock, and not in the spec",
    };
    let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    let error = Diagnostic::error(Code::LockChanged, format!("{what} {how}"))
        .note(format!("it was {}", side(&difference.old)))
        .note(format!("it is {}", side(&difference.new)))
        .help(renew(path));
    if at.is_empty() { error } else { error.at(at, "") }
}

fn renew(path: &Path) -> String {
    format!("if that is meant, run `pipe lock {}` and commit what it writes", path.display())
}
