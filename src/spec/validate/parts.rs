//! What the chosen parts themselves object to when they are built.

use crate::diag::Diagnostic;
use crate::parts::{Chosen, Family};
use crate::spec::{Optimizer, Spec, Transforming};

/// Builds every part of a spec and keeps what they object to.
pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    for item in spec.layers.values().flat_map(|branch| &branch.stack) {
        build(&item.layer, found);
        item.init.iter().for_each(|init| build(init, found));
    }
    for set in spec.data.sets.values() {
        build(&set.source, found);
        set.transforms.iter().for_each(|both| transforming(both, found));
    }
    transforming(&spec.data.transforms, found);
    spec.loss.values().for_each(|term| build(&term.loss, found));
    spec.regularizer.iter().for_each(|penalty| build(&penalty.penalty, found));
    let phases = &spec.schedule.phases;
    let optimizers = std::iter::once(&spec.optimizer).chain(phases.iter().filter_map(|phase| phase.optimizer.as_ref()));
    optimizers.for_each(|Optimizer { rule, .. }| build(rule, found));
    let rates = spec.schedule.lr.iter().chain(phases.iter().filter_map(|phase| phase.lr.as_ref()));
    rates.for_each(|lr| build(lr, found));
    spec.evaluate.metrics.iter().for_each(|metric| build(metric, found));
}

fn build<F: Family>(chosen: &Chosen<F>, found: &mut Vec<Diagnostic>) {
    if let Err(error) = chosen.build() {
        found.push(error);
    }
}

/// A bare list stands for training and evaluation: what is wrong with it is said once.
fn transforming(both: &Transforming, found: &mut Vec<Diagnostic>) {
    let again = |at: &String| both.train.iter().any(|chosen| chosen.at == *at);
    both.train.iter().for_each(|chosen| build(chosen, found));
    both.eval.iter().filter(|chosen| !again(&chosen.at)).for_each(|chosen| build(chosen, found));
}
