//! Metrics, evaluation sets, and what is watched or kept by them.

use super::unknown;
use crate::diag::{Code, Diagnostic};
use crate::parts::{Family, metrics::Metrics};
use crate::spec::Spec;
use crate::spec::place::join;
use std::collections::BTreeSet;

pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let metrics = metrics(spec, found);
    let sets = spec.data.sets.keys().map(String::as_str);
    let all: Vec<&str> = sets.chain(spec.data.validation.is_some().then_some("validation")).collect();
    let evaluated = match &spec.evaluate.datasets {
        None => all.iter().copied().filter(|name| *name != "train").collect(),
        Some(chosen) => {
            let mut seen = BTreeSet::new();
            for (i, name) in chosen.iter().enumerate() {
                let at = format!("/evaluate/datasets/{i}");
                if !all.contains(&name.as_str()) {
                    found.push(unknown("dataset", name, &at, &all));
                } else if !seen.insert(name.as_str()) {
                    found.push(
                        Diagnostic::error(Code::DuplicateName, format!("`{name}` is listed twice"))
                            .at(at, "again here"),
                    );
                }
            }
            chosen.iter().map(String::as_str).filter(|name| all.contains(name)).collect::<Vec<_>>()
        }
    };
    looked_at(spec, found);
    let known = Known { spec, all, evaluated, metrics };
    if let Some(stop) = &spec.schedule.stop {
        known.score(&stop.watch, "/schedule/stop/watch", found);
    }
    if let Some(best) = &spec.schedule.keep.best {
        known.score(best, "/schedule/keep/best", found);
    }
    if let Some(sweep) = &spec.sweep {
        known.score(&sweep.metric, "/sweep/metric", found);
    }
}

/// Names under which metrics are reported.
fn metrics(spec: &Spec, found: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for chosen in &spec.evaluate.metrics {
        let name = chosen.build().map_or_else(|_| chosen.kind.clone(), |metric| metric.name());
        if names.contains(&name) {
            let error = Diagnostic::error(Code::DuplicateName, format!("the metric `{name}` is listed twice"));
            found.push(error.at(&chosen.at, "again here"));
        }
        names.push(name);
    }
    names
}

/// Metrics look at the branch of the first term.
fn looked_at(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let Some((name, term)) = spec.loss.iter().next() else { return };
    let at = join("/loss", name);
    let classifies = term.loss.build().map_or(true, |loss| loss.classifies());
    for chosen in &spec.evaluate.metrics {
        if !classifies && chosen.build().is_ok_and(|metric| metric.of_classes()) {
            let message = format!("`{}` compares classes, and `{}` reads numbers", chosen.kind, term.loss.kind);
            let error =
                Diagnostic::error(Code::Conflict, message).at(&chosen.at, "this metric").at(&at, "of this term");
            found.push(error.help("measure `mae` or `rmse`"));
        }
    }
    let other = spec.loss.iter().find(|(_, other)| other.of != term.of);
    if let (Some(metric), Some((other, _))) = (spec.evaluate.metrics.first(), other) {
        let message = format!("metrics are those of the term `{name}`, and none is of `{other}`");
        let warning = Diagnostic::warning(Code::NotSupported, message).at(&metric.at, "");
        found.push(warning.at_key(&at, "of this branch").help("the losses of all terms are reported"));
    }
}

struct Known<'a> {
    spec: &'a Spec,
    /// Datasets there are.
    all: Vec<&'a str>,
    /// Datasets that are evaluated.
    evaluated: Vec<&'a str>,
    metrics: Vec<String>,
}

impl Known<'_> {
    /// Checks a `dataset.metric`.
    fn score(&self, score: &str, at: &str, found: &mut Vec<Diagnostic>) {
        let Some((dataset, metric)) = score.split_once('.') else {
            let error = Diagnostic::error(Code::UnknownName, format!("`{score}` is not a `dataset.metric`"));
            let example = self.evaluated.first().map_or("validation", |name| *name);
            found.push(error.at(at, format!("such as `{example}.loss`")));
            return;
        };
        if !self.all.contains(&dataset) {
            let names = if self.evaluated.is_empty() { &self.all } else { &self.evaluated };
            let error = unknown("dataset", dataset, at, names);
            let split = "`data: {validation: {from: train, fraction: 10%}}` splits off `validation`";
            found.push(match dataset {
                "val" | "valid" | "validation" if !self.all.contains(&"validation") => error.help(split),
                _ => error,
            });
        } else if !self.evaluated.contains(&dataset) {
            let error =
                Diagnostic::error(Code::UnknownName, format!("`{dataset}` is not evaluated, so it has no `{metric}`"));
            let names = crate::spec::choice::listed(&self.evaluated);
            let help = if names.is_empty() {
                "split off a part with `data.validation`".to_owned()
            } else {
                format!("evaluated: {names}")
            };
            found.push(error.at(at, "not in `evaluate.datasets`").help(help));
        } else if self.spec.data.sets.get(dataset).is_some_and(|set| set.sealed) {
            let error =
                Diagnostic::error(Code::Conflict, format!("`{dataset}` is sealed: its labels may not steer training"));
            let sealed = join(&join("/data/sets", dataset), "sealed");
            let error = error.at(at, "reads sealed labels").at_key(sealed, "sealed here");
            found.push(error.help("watch a validation set"));
        } else if dataset == "test" {
            let warning = Diagnostic::warning(Code::Conflict, "the test set steers training, so its score is too good");
            found.push(warning.at(at, "chosen on `test`").help("watch `validation`, split off with `data.validation`"));
        }
        let mut names: Vec<&str> = vec!["loss", "objective"];
        names.extend(self.metrics.iter().map(String::as_str));
        if !names.contains(&metric) {
            found.push(self.not_computed(metric, at, &names));
        }
    }

    /// A metric that is watched and that nobody computes.
    fn not_computed(&self, metric: &str, at: &str, names: &[&str]) -> Diagnostic {
        let listed = crate::spec::choice::listed(names);
        let installed: Vec<&str> = Metrics::rows().iter().map(|row| row.kind.name).collect();
        if !installed.contains(&metric) {
            let all: Vec<&str> = names.iter().chain(&installed).copied().collect();
            let error = unknown("metric", metric, at, &all);
            return error.help(format!("computed: {listed}; `pipe explain metric` lists what there is"));
        }
        let error = Diagnostic::error(Code::UnknownName, format!("nothing computes the metric `{metric}`"));
        let error = error.at(at, "not in `evaluate.metrics`");
        let mut kinds: Vec<&str> = self.spec.evaluate.metrics.iter().map(|chosen| chosen.kind.as_str()).collect();
        let error = if kinds.is_empty() { error } else { error.at_key("/evaluate/metrics", "computes others") };
        kinds.push(metric);
        error.help(format!("computed: {listed}; write `evaluate: {{metrics: [{}]}}`", kinds.join(", ")))
    }
}
