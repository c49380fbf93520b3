//! Labels of datasets against what the losses read and against each other.

use super::sets;
use crate::data::Dataset;
use crate::diag::{Code, Diagnostic};
use crate::graph::{Objective, TermPlan};
use crate::parts::losses;
use crate::parts::sources::Labels;
use crate::spec::{Spec, StackItem, join};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Labels of datasets that are not what the losses read.
pub(super) fn check(spec: &Spec, sets: &BTreeMap<String, Arc<Dataset>>, objective: &Objective) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    problems.extend(kinds(objective));
    let train = sets.get("train").map(|set| set.labels().names()).unwrap_or_default();
    for (name, dataset) in sets {
        let labels = dataset.labels();
        problems.extend(objective.terms.iter().filter_map(|term| unfit(spec, name, labels, term)));
        let names = labels.names();
        if !train.is_empty() && !names.is_empty() && !same_classes(names, train) {
            let message = format!("the classes of `{name}` are not those of `train`");
            let error = Diagnostic::error(Code::LabelRange, message);
            let error = error.note(format!("`{name}`: {}; `train`: {}", names.join(", "), train.join(", ")));
            let error = error.at(sets::source_at(spec, name), count(names.len(), "class"));
            let error = error.at(sets::source_at(spec, "train"), count(train.len(), "class"));
            problems.push(error.help("give both sets the same class folders or label values"));
        }
    }
    problems
}

fn count(count: usize, what: &str) -> String {
    let plural = match (count, what) {
        (1, _) => "",
        (_, "class") => "es",
        _ => "s",
    };
    format!("{count} {what}{plural}")
}

/// Datasets have one kind of labels, so all terms must read that kind.
fn kinds(objective: &Objective) -> Option<Diagnostic> {
    let first = objective.terms.first()?;
    let other = objective.terms.iter().find(|other| other.loss.labels() != first.loss.labels())?;
    let message = format!("`{}` and `{}` do not read the same kind of labels", first.name, other.name);
    let reads = |term: &TermPlan| match term.loss.labels() {
        losses::Labels::Classes => "reads classes",
        losses::Labels::Values => "reads numbers",
    };
    let error = Diagnostic::error(Code::NotSupported, message);
    let error = [first, other].iter().fold(error, |error, term| error.at_key(join("/loss", &term.name), reads(term)));
    Some(error.help("datasets have one kind of labels in this version"))
}

/// What is wrong with the labels of a dataset for a term, shown at the data, at the layer that decides on the units, and at the term.
fn unfit(spec: &Spec, set: &str, labels: &Labels, term: &TermPlan) -> Option<Diagnostic> {
    let units: usize = term.units.iter().product();
    let last = spec.layers.get(&term.branch).and_then(|branch| branch.stack.last());
    let kind = spec.loss.get(&term.name).map_or("", |written| written.loss.kind.as_str());
    let (message, has, help) = match (term.loss.labels(), labels) {
        (_, Labels::None) => (
            format!("`{set}` has no labels, and `{}` reads them", term.name),
            "no labels".to_owned(),
            format!("name the labels in the source: `pipe explain {}` says how", source_kind(spec, set)),
        ),
        (losses::Labels::Classes, Labels::Values { width, .. }) => (
            format!("labels of `{set}` are numbers, and `{kind}` reads classes"),
            format!("{} a sample", count(*width, "number")),
            "write `mse` for numbers, or give the source whole numbers as classes".to_owned(),
        ),
        (losses::Labels::Classes, Labels::Classes { ids, names }) => {
            let id = ids.iter().find(|id| **id < 0 || **id >= units as i64)?;
            let name = usize::try_from(*id).ok().and_then(|id| names.get(id)).filter(|name| **name != id.to_string());
            let name = name.map(|name| format!(" (`{name}`)")).unwrap_or_default();
            let message =
                format!("label {id}{name} of `{set}` is outside 0..{units}, the units of branch `{}`", term.branch);
            let classes = names.len().max(ids.iter().max().map_or(0, |id| *id as usize + 1));
            (message, count(classes, "class"), more_units(last, classes, "one unit for each class"))
        }
        (losses::Labels::Values, Labels::Values { width, .. }) if *width != units => (
            format!("labels of `{set}` have {width} values, and branch `{}` has {units} units", term.branch),
            format!("{} a sample", count(*width, "number")),
            more_units(last, *width, "one unit for each number"),
        ),
        (losses::Labels::Values, Labels::Classes { ids, names }) => {
            if units == 1 && ids.iter().all(|id| (0..=1).contains(id)) {
                return None;
            }
            let reads = count(units, "value");
            let message = format!("labels of `{set}` are classes, and `{kind}` reads {reads} for each sample");
            (message, count(names.len(), "class"), "write `cross_entropy` for classes".to_owned())
        }
        _ => return None,
    };
    let error = Diagnostic::error(Code::LabelRange, message).at(sets::source_at(spec, set), has);
    // Where labels are of another kind, the number of units is not the matter.
    let of_units = match labels {
        Labels::None => false,
        Labels::Values { .. } => term.loss.labels() == losses::Labels::Values,
        Labels::Classes { .. } => true,
    };
    let error = match last {
        _ if !of_units => error,
        Some(item) => error.at_key(&item.layer.at, format!("makes {}", count(units, "unit"))),
        None => error.at("/model/source", format!("`{}` has {}", term.branch, count(units, "unit"))),
    };
    Some(error.at_key(join("/loss", &term.name), "reads the labels").help(help))
}

fn source_kind<'s>(spec: &'s Spec, set: &str) -> &'s str {
    let from = spec.data.validation.as_ref().filter(|_| set == "validation").map_or(set, |split| &split.from);
    spec.data.sets.get(from).map_or("source", |set| &set.source.kind)
}

/// How to get so many units.
fn more_units(last: Option<&StackItem>, wanted: usize, why: &str) -> String {
    match last.map(|item| item.layer.kind.as_str()) {
        Some("linear") => format!("write `linear: {wanted}`, {why}"),
        Some(_) => format!("end the branch in `linear: {wanted}`, {why}"),
        None => format!("put a branch on the model that ends in `linear: {wanted}`, {why}"),
    }
}

/// Whether the classes of two sets are numbered alike. Where classes are bare numbers, the largest ones may be missing from a small set.
fn same_classes(a: &[String], b: &[String]) -> bool {
    let numbered = |names: &[String]| names.iter().enumerate().all(|(i, name)| *name == i.to_string());
    a == b || (numbered(a) && numbered(b))
}
