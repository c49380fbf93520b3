//! Metrics, evaluation sets, and what is watched or kept by them.

use super::unknown;
use crate::diag::{Code, Diagnostic};
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
            chosen.iter().map(String::as_str).collect::<Vec<_>>()
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
            found.push(error.at(at, "such as `validation.loss`"));
            return;
        };
        if !self.all.contains(&dataset) {
            found.push(unknown("dataset", dataset, at, &self.evaluated));
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
            found.push(error.at(at, "reads sealed labels").help("watch a validation set"));
        } else if dataset == "test" {
            let warning = Diagnostic::warning(Code::Conflict, "the test set steers training, so its score is too good");
            found.push(warning.at(at, "chosen on `test`").help("watch `validation`, split off with `data.validation`"));
        }
        let mut names: Vec<&str> = vec!["loss", "objective"];
        names.extend(self.metrics.iter().map(String::as_str));
        if !names.contains(&metric) {
            let error = unknown("metric", metric, at, &names);
            let listed = crate::spec::choice::listed(&names);
            found.push(error.help(format!("computed: {listed}; add others to `evaluate.metrics`")));
        }
    }
}
