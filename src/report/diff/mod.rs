//! What is not the same in two specs or two runs: spec, data, versions, machine, scores, time.

mod series;
mod side;
mod text;

use crate::plan::Lock;
use crate::spec;
use serde::Serialize;
use series::Values;
pub use side::Side;
pub use text::text;

/// A value of the resolved specs that is not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpecChange {
    /// As `--set` writes it.
    pub path: String,
    /// What the first one has, if anything.
    pub a: Option<String>,
    /// What the second one has, if anything.
    pub b: Option<String>,
    /// File and line of the first one, or of what is nearest around it; none where nothing is written.
    pub a_place: Option<String>,
    /// The same of the second one.
    pub b_place: Option<String>,
}

/// A fact of the locks that is not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// Such as `train`, or `onnxruntime`.
    pub name: String,
    /// What the first one says, if anything.
    pub a: Option<String>,
    /// What the second one says, if anything.
    pub b: Option<String>,
}

/// A metric of both runs, the same or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Such as `test.accuracy`.
    pub name: String,
    /// Of the first one; none where it was not measured.
    pub a: Option<Values>,
    /// Of the second one.
    pub b: Option<Values>,
    /// Final value of the second one less that of the first one.
    pub difference: Option<f64>,
}

/// One of the two that are compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// As it was named, or its folder.
    pub name: String,
    /// `spec` or `run`.
    pub kind: &'static str,
}

/// All that is not the same. What is none could not be compared, or does not exist for specs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Differences {
    /// The first one.
    pub a: Compared,
    /// The second one.
    pub b: Compared,
    /// Of what the specs compute.
    pub spec: Option<Vec<SpecChange>>,
    /// Of datasets, the files of their tables, and models.
    pub data: Option<Vec<Fact>>,
    /// Of pipe and ONNX Runtime.
    pub versions: Option<Vec<Fact>>,
    /// Of what they ran on.
    pub machine: Option<Vec<Fact>>,
    /// Every metric of two runs.
    pub metrics: Option<Vec<Score>>,
    /// Seconds that the runs took, which say nothing about whether they are the same.
    pub seconds: Option<[Option<f64>; 2]>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
    /// Whether nothing that was compared differs.
    pub same: bool,
}

/// Compares two specs or two runs; of a spec and a run, the specs.
pub fn diff(a: &Side, b: &Side) -> Differences {
    let mut notes: Vec<String> =
        a.notes.iter().chain(b.notes.iter().filter(|note| !a.notes.contains(note))).cloned().collect();
    let kinds_agree = a.kind == b.kind;
    if !kinds_agree {
        notes.push("of a spec and a run only the specs are compared".to_owned());
    }
    let runs = kinds_agree && a.kind == side::RUN;
    let locks = a.lock.as_ref().zip(b.lock.as_ref()).filter(|_| kinds_agree);
    if kinds_agree && locks.is_none() {
        let without = [a, b].into_iter().filter(|side| side.lock.is_none());
        let names: Vec<String> = without.map(|side| format!("`{}`", side.name)).collect();
        let (verb, what) = (if names.len() > 1 { "have" } else { "has" }, names.join(" and "));
        notes.push(format!("{what} {verb} no lock: data and versions are not compared"));
    }
    let facts = |sections: &[&str]| locks.map(|(a, b)| facts(a, b, sections));
    let (spec, data, versions) = (specs(a, b), facts(&["data", "files", "model"]), facts(&[""]));
    let machine = facts(&["machine"]).filter(|_| runs);
    let metrics = runs.then(|| scores(a, b));
    let seconds = runs.then_some([a.series.seconds, b.series.seconds]);
    let empty = |facts: &Option<Vec<Fact>>| facts.as_ref().is_none_or(Vec::is_empty);
    let same = spec.as_ref().is_none_or(Vec::is_empty)
        && [&data, &versions, &machine].into_iter().all(empty)
        && metrics.iter().flatten().all(Score::is_same);
    let compared = |side: &Side| Compared { name: side.name.clone(), kind: side.kind };
    Differences { a: compared(a), b: compared(b), spec, data, versions, machine, metrics, seconds, notes, same }
}

impl Score {
    /// Whether both are the same number, or none.
    fn is_same(&self) -> bool {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => a.last.total_cmp(&b.last).is_eq() && a.best.total_cmp(&b.best).is_eq(),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

fn specs(a: &Side, b: &Side) -> Option<Vec<SpecChange>> {
    let (of_a, of_b) = (a.spec.as_ref()?, b.spec.as_ref()?);
    let found = spec::changes(&spec::identity(of_a), of_b)?;
    let change = |change: spec::Change| SpecChange {
        path: change.path(),
        a_place: change.old.as_ref().and_then(|_| a.place(&change.pointer)),
        b_place: change.new.as_ref().and_then(|_| b.place(&change.pointer)),
        a: change.old,
        b: change.new,
    };
    Some(found.into_iter().map(change).collect())
}

/// Facts of some sections that are not the same. The digest of the spec says no more than the comparison of the specs.
fn facts(a: &Lock, b: &Lock, sections: &[&str]) -> Vec<Fact> {
    let of = |name: &str| sections.contains(&name);
    let differ = a
        .differences(b)
        .into_iter()
        .filter(|fact| of(&fact.section) && (fact.section.as_str(), fact.name.as_str()) != ("", "spec"));
    differ.map(|fact| Fact { name: fact.name, a: fact.old, b: fact.new }).collect()
}

/// Every metric that one of the runs has.
fn scores(a: &Side, b: &Side) -> Vec<Score> {
    let (a, b) = (&a.series.values, &b.series.values);
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    names
        .map(|name| {
            let (a, b) = (a.get(name).copied(), b.get(name).copied());
            let difference = a.zip(b).map(|(a, b)| b.last - a.last);
            Score { name: name.clone(), a, b, difference }
        })
        .collect()
}
