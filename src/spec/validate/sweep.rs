//! `sweep`: what is tried, and whether trials can be told apart by it.

use super::exclude;
use crate::diag::{Code, Diagnostic};
use crate::spec::place::join;
use crate::spec::{Draw, Spec, Sweep};

pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let Some(sweep) = &spec.sweep else { return };
    match (sweep.grid.is_empty(), &sweep.random) {
        (false, Some(_)) => found.push(exclude("/sweep", "grid", "random")),
        (true, None) => {
            let error = Diagnostic::error(Code::MissingKey, "`sweep` needs `grid` or `random`");
            let help = "`grid: {optimizer.adamw.lr: [1e-3, 1e-4]}` tries every combination of values";
            found.push(error.at_key("/sweep", "neither is here").help(help));
        }
        _ => {}
    }
    for (path, draw) in sweep.random.iter().flat_map(|random| &random.over) {
        drawn(draw, &join("/sweep/random/over", path), found);
    }
    halving(spec, sweep, found);
}

fn drawn(draw: &Draw, at: &str, found: &mut Vec<Diagnostic>) {
    let ways = [draw.choice.is_some(), draw.uniform.is_some(), draw.log_uniform.is_some(), draw.integer.is_some()];
    if ways.iter().filter(|way| **way).count() != 1 {
        let error = Diagnostic::error(Code::Conflict, "one way to draw a value is needed");
        found.push(error.at_key(at, "").help("write `choice`, `uniform`, `log_uniform` or `integer`"));
    }
    let wrong = |pair: Option<(f64, f64)>| pair.is_some_and(|(low, high)| low > high);
    let whole = draw.integer.map(|(low, high)| (low as f64, high as f64));
    for (key, pair) in [("uniform", draw.uniform), ("log_uniform", draw.log_uniform), ("integer", whole)] {
        if wrong(pair) {
            let error = Diagnostic::error(Code::OutOfRange, format!("`{key}` takes the smaller number first"));
            found.push(error.at(join(at, key), "turned around"));
        }
    }
}

/// Trials are compared before their end, by scores that are measured after every epoch.
fn halving(spec: &Spec, sweep: &Sweep, found: &mut Vec<Diagnostic>) {
    if sweep.halving.is_none() {
        return;
    }
    let dataset = sweep.metric.split_once('.').map_or("", |(dataset, _)| dataset);
    let schedule = &spec.schedule;
    let named = schedule.stop.iter().map(|stop| &stop.watch).chain(&schedule.keep.best);
    let watched = named.filter_map(|watch| watch.split_once('.')).any(|(set, _)| set == dataset);
    // What is no dataset has been called that.
    if spec.data.sets.contains_key(dataset) && !watched {
        let error = Diagnostic::error(Code::Conflict, format!("`{dataset}` is not measured after every epoch"));
        let error = error.at_key("/sweep/halving", "compares trials before their end").at("/sweep/metric", "by this");
        found.push(
            error.help(format!("split off a part with `data.validation`, or write `keep: {{best: {}}}`", sweep.metric)),
        );
    }
    let counts = schedule.steps.is_some() || schedule.phases.iter().any(|phase| phase.steps.is_some());
    if counts {
        let error = Diagnostic::error(Code::Conflict, "`halving` counts epochs, and the schedule counts steps");
        found.push(error.at_key("/sweep/halving", "").at_key("/schedule", "").help("write `epochs`"));
    }
}
