//! What the text alone can say about a clean spec beyond its shape: names that refer to each other, and keys that exclude each
//! other. All of it at once.

mod branches;
mod scores;
mod sweep;
mod training;

use super::Spec;
use super::place::join;
use crate::diag::{Code, Diagnostic, nearest};

/// Every error and warning, with pointer labels.
pub(crate) fn validate(spec: &Spec) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    header(spec, &mut found);
    model(spec, &mut found);
    sets(spec, &mut found);
    branches::check(spec, &mut found);
    training::check(spec, &mut found);
    scores::check(spec, &mut found);
    sweep::check(spec, &mut found);
    found
}

/// A reference to something that is not there.
fn unknown(what: &str, name: &str, at: &str, names: &[&str]) -> Diagnostic {
    let label = match nearest(name, names.iter().copied()).first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => "not defined".to_owned(),
    };
    let error = Diagnostic::error(Code::UnknownName, format!("unknown {what} `{name}`")).at(at, label);
    if names.is_empty() { error } else { error.help(format!("there is {}", super::choice::listed(names))) }
}

/// One error for two keys of a map that exclude each other.
fn exclude(at: &str, first: &str, second: &str) -> Diagnostic {
    Diagnostic::error(Code::Conflict, format!("`{first}` and `{second}` cannot stand together"))
        .at_key(join(at, first), "this one")
        .at_key(join(at, second), "and this one")
        .help("keep one of them")
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with(['.', '-']) && name.len() <= 128 && name.chars().all(allowed)
}

fn header(spec: &Spec, found: &mut Vec<Diagnostic>) {
    if spec.version != 1 {
        found.push(
            Diagnostic::error(Code::WrongVersion, "this pipe reads version 1 of the language").at("/version", ""),
        );
    }
    if !is_name(&spec.name) {
        let message = format!("`{}` is not a run name", spec.name);
        let help = "a run name has letters, digits, `-`, `_` and `.`, and begins with a letter or a digit";
        found.push(Diagnostic::error(Code::OutOfRange, message).at("/name", "becomes the name of a folder").help(help));
    }
}

fn model(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let model = &spec.model;
    match (&model.source, model.input.is_empty()) {
        (Some(_), false) => found.push(exclude("/model", "source", "input")),
        (None, true) => {
            let error = Diagnostic::error(Code::MissingKey, "`model` needs `source` or `input`");
            let help = "`source: model.onnx` starts from a model, `input: {image: [1, 28, 28]}` from nothing";
            found.push(error.at_key("/model", "neither is here").help(help));
        }
        (Some(source), true) => {
            if let Some((scheme, _)) = source.split_once("://").filter(|(scheme, _)| *scheme != "run") {
                let error =
                    Diagnostic::error(Code::NotSupported, format!("`{scheme}://` is not supported by this version"));
                found.push(error.at("/model/source", "").help("download the file and write its path"));
            }
        }
        (None, false) => {
            let ours = [
                ("inputs", !model.inputs.is_empty()),
                ("sha256", model.sha256.is_some()),
                ("reinitialize", !model.reinitialize.is_empty()),
            ];
            for (key, _) in ours.iter().filter(|(_, set)| *set) {
                let error = Diagnostic::error(Code::Conflict, format!("`{key}` needs a source model"));
                found.push(error.at_key(join("/model", key), "there is only `input`"));
            }
        }
    }
    for (role, shape) in model.input.iter().filter(|(_, shape)| shape.is_empty()) {
        let error = Diagnostic::error(Code::OutOfRange, format!("the input `{role}` has no dimensions: {shape:?}"));
        found.push(error.at(join("/model/input", role), "write them without the batch, such as `[1, 28, 28]`"));
    }
    if model.sha256.as_ref().is_some_and(|hex| hex.len() != 64 || !hex.chars().all(|c| c.is_ascii_hexdigit())) {
        let error = Diagnostic::error(Code::OutOfRange, "`sha256` takes 64 hexadecimal digits");
        found.push(error.at("/model/sha256", "not a SHA-256 digest"));
    }
}

fn sets(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let data = &spec.data;
    for name in data.sets.keys() {
        let at = join("/data/sets", name);
        if !is_name(name) || name.contains('.') {
            let error = Diagnostic::error(Code::OutOfRange, format!("`{name}` is not a name of a dataset"));
            found.push(
                error.at_key(&at, "").help("it has letters, digits, `-` and `_`, so that `name.metric` can be read"),
            );
        }
    }
    if !data.sets.contains_key("train") {
        let error = Diagnostic::error(Code::UnknownName, "`sets` has no dataset `train`");
        found.push(error.at_key("/data/sets", "one of them must be called `train`"));
    }
    sealed(spec, found);
    let Some(validation) = &data.validation else { return };
    let names: Vec<&str> = data.sets.keys().map(String::as_str).collect();
    if !data.sets.contains_key(&validation.from) {
        found.push(unknown("dataset", &validation.from, "/data/validation/from", &names));
    } else if data.sets[&validation.from].sealed {
        let error = Diagnostic::error(Code::Conflict, format!("`{}` is sealed", validation.from));
        let error = error.at("/data/validation/from", "a validation set reads labels");
        let sealed = join(&join("/data/sets", &validation.from), "sealed");
        found.push(error.at_key(sealed, "sealed here").help("take it from a set that is not sealed"));
    }
    if data.sets.contains_key("validation") {
        let error = Diagnostic::error(Code::DuplicateName, "there are two datasets `validation`");
        let error =
            error.at_key("/data/sets/validation", "this one").at_key("/data/validation", "and the one split off here");
        found.push(error.help("rename the first, or remove one of them"));
    }
}

/// The same samples under two names, of which one is sealed: what is sealed under the one is read under the other.
fn sealed(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let sets = &spec.data.sets;
    for (name, set) in sets.iter().filter(|(_, set)| set.sealed) {
        let same = |other: &super::Dataset| {
            other.source.kind == set.source.kind && other.source.config == set.source.config && !other.sealed
        };
        for (other, _) in sets.iter().filter(|(_, other)| same(other)) {
            let message = format!("`{other}` has the samples of `{name}`, which is sealed");
            let error = Diagnostic::error(Code::Conflict, message);
            let error = error.at_key(join("/data/sets", other), "its labels may be read");
            let error = error.at_key(join(&join("/data/sets", name), "sealed"), "sealed here");
            found.push(error.help("give it other samples, or seal it too"));
        }
    }
}
