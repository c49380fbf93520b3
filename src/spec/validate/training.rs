//! Loss, regularizer, optimizer and schedule.

use super::branches::{branch_named, leaves};
use super::{exclude, unknown};
use crate::diag::{Code, Diagnostic, Label};
use crate::parts::{Family, regularizers::Regularizers};
use crate::spec::place::join;
use crate::spec::{Optimizer, Penalty, Phase, Spec};
use serde_json::Value;

pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    terms(spec, found);
    for penalty in &spec.regularizer {
        strength(penalty, found);
    }
    optimizer(spec, &spec.optimizer, found);
    schedule(spec, found);
}

fn terms(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let sets: Vec<&str> = spec.data.sets.keys().map(String::as_str).collect();
    let leaves = leaves(spec);
    for (name, term) in &spec.loss {
        let at = join("/loss", name);
        match &term.of {
            Some(of) => branch_named(spec, of, &join(&at, "of"), found),
            None if leaves.len() > 1 => {
                let message = format!("the term `{name}` does not say which branch it looks at");
                let error = Diagnostic::error(Code::MissingKey, message).at(&at, "needs `of`");
                let listed = crate::spec::choice::listed(&leaves);
                found.push(error.help(format!("write `{}: {{of: {}}}`; there is {listed}", term.loss.kind, leaves[0])));
            }
            None => {}
        }
        if term.labels.is_some() {
            found.push(later("labels", &at));
        }
        let stream = term.stream.as_deref().unwrap_or("train");
        let stream_at = join(&at, "stream");
        match spec.data.sets.get(stream) {
            // A missing `train` is reported where the datasets are.
            None if term.stream.is_some() => found.push(unknown("dataset", stream, &stream_at, &sets)),
            Some(set) if set.sealed => {
                let message = format!("the term `{name}` reads labels of `{stream}`, which is sealed");
                let error = Diagnostic::error(Code::Conflict, message);
                let error = error
                    .at(stream_at, "labels are read here")
                    .at_key(join(&join("/data/sets", stream), "sealed"), "sealed here");
                found.push(error.help("train on another set, or unseal this one"));
            }
            Some(_) if stream != "train" => found.push(later("stream", &at)),
            _ => {}
        }
    }
}

/// A key of a term for which this version has no second stream and no second labels.
fn later(key: &str, at: &str) -> Diagnostic {
    let error = Diagnostic::error(Code::NotSupported, format!("`{key}` of a term is not supported by this version"));
    error.at(join(at, key), "").help("every term reads the only labels of `train`; leave it out")
}

/// λ ≥ 0: the field that the short form of a penalty stands for.
fn strength(penalty: &Penalty, found: &mut Vec<Diagnostic>) {
    let chosen = &penalty.penalty;
    let row = Regularizers::rows().iter().find(|row| row.kind.name == chosen.kind);
    let Some(field) = row.and_then(|row| row.kind.short) else { return };
    if let Some(lambda) = chosen.config.get(field).and_then(Value::as_f64).filter(|lambda| *lambda < 0.0) {
        let error = Diagnostic::error(Code::OutOfRange, format!("λ of `{}` is negative: {lambda}", chosen.kind));
        say_once(error, join(&chosen.at, field), "must be at least 0", &chosen.at, found);
    }
}

/// Adds an error about a part's configuration unless the part itself has objected to it.
fn say_once(error: Diagnostic, at: String, label: &str, part: &str, found: &mut Vec<Diagnostic>) {
    let about = |label: &Label| matches!(label, Label::Pointer { pointer, .. } if pointer.starts_with(part));
    if !found.iter().any(|other| other.code() == error.code() && other.labels().iter().any(about)) {
        found.push(error.at(at, label));
    }
}

fn optimizer(spec: &Spec, optimizer: &Optimizer, found: &mut Vec<Diagnostic>) {
    let rule = &optimizer.rule;
    let number = |key: &str| rule.config.get(key).and_then(Value::as_f64);
    if let Some(lr) = number("lr").filter(|lr| *lr <= 0.0) {
        let error = Diagnostic::error(Code::OutOfRange, format!("`lr` is out of range: {lr}"));
        say_once(error, join(&rule.at, "lr"), "must be above 0", &rule.at, found);
    }
    let decays = number("weight_decay").is_some_and(|decay| decay > 0.0)
        || optimizer.groups.iter().any(|group| group.weight_decay.is_some_and(|decay| decay > 0.0));
    if let Some(penalty) = spec.regularizer.iter().find(|penalty| penalty.penalty.kind == "l2").filter(|_| decays) {
        let warning = Diagnostic::warning(Code::Conflict, "`l2` and `weight_decay` both pull weights to zero");
        let warning = warning
            .at(join(&rule.at, "weight_decay"), "decoupled decay")
            .at(&penalty.penalty.at, "and a penalty whose gradient the optimizer rescales");
        found.push(warning.help("keep one of them; `weight_decay: 0` turns the optimizer's off"));
    }
}

fn schedule(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let schedule = &spec.schedule;
    let given = [
        ("epochs", schedule.epochs.is_some()),
        ("steps", schedule.steps.is_some()),
        ("phases", !schedule.phases.is_empty()),
    ];
    duration("/schedule", &given, found);
    overridden(spec, found);
    for (i, phase) in schedule.phases.iter().enumerate() {
        let at = format!("/schedule/phases/{i}");
        duration(&at, &[("epochs", phase.epochs.is_some()), ("steps", phase.steps.is_some())], found);
        if let Some(own) = &phase.optimizer {
            optimizer(spec, own, found);
        }
    }
}

/// Common keys that every phase has its own of.
fn overridden(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let phases = &spec.schedule.phases;
    let all = |own: &dyn Fn(&Phase) -> bool| !phases.is_empty() && phases.iter().all(own);
    let keys = [
        ("/freeze", "freeze", spec.freeze.is_some() && all(&|phase| phase.freeze.is_some())),
        ("/schedule/lr", "lr", spec.schedule.lr.is_some() && all(&|phase| phase.lr.is_some())),
    ];
    for (at, key, _) in keys.iter().filter(|(_, _, void)| *void) {
        let warning = Diagnostic::warning(Code::PatternVoid, format!("`{key}` has no effect: every phase has its own"));
        let warning = (0..phases.len()).fold(warning.at_key(*at, "for no phase"), |warning, i| {
            warning.at_key(format!("/schedule/phases/{i}/{key}"), "instead of it")
        });
        found.push(warning.help("take it out, or leave it to the phases that have none"));
    }
}

/// Exactly one of these keys.
fn duration(at: &str, keys: &[(&str, bool)], found: &mut Vec<Diagnostic>) {
    let given: Vec<&str> = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    match given.as_slice() {
        [] => {
            let names: Vec<String> = keys.iter().map(|(key, _)| format!("`{key}`")).collect();
            let one = crate::spec::shape::alternatives(&names);
            let error = Diagnostic::error(Code::MissingKey, format!("{} needs {one}", crate::spec::walk::called(at)));
            found.push(error.at_key(at, "does not say how long"));
        }
        [_] => {}
        [first, second, ..] => found.push(exclude(at, first, second)),
    }
}
