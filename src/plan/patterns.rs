//! The patterns of regularizers and of optimizer groups: each must match a parameter of the network, and should move one.

use super::phases::Phase;
use crate::diag::{Code, Diagnostic};
use crate::graph::patterns::{some, unmatched, void};
use crate::graph::{Network, Param, unmatched_nodes, void_freeze, void_nodes};
use crate::spec::pattern::Patterns;
use crate::spec::{Optimizer, Spec};
use std::collections::BTreeSet;

const RECOMPUTE: &str = "/runtime/recompute";

/// Every pattern that matches nothing. What is frozen in some phase does not count as a mistake.
pub(super) fn unused(spec: &Spec, network: &Network) -> Vec<Diagnostic> {
    let names = names(network);
    let lists = lists(spec);
    let found = lists.iter().flat_map(|(patterns, at)| unmatched(patterns, &names, at));
    found.chain(unmatched_nodes(network, &spec.runtime.recompute, RECOMPUTE)).collect()
}

/// What has no effect although it can be resolved, as warnings: patterns that others make void, groups and penalties of frozen parameters.
pub(super) fn without_effect(spec: &Spec, network: &Network, phases: &[Phase]) -> Vec<Diagnostic> {
    let names = names(network);
    let lists = lists(spec);
    let mut found: Vec<Diagnostic> =
        spec.freezes().iter().flat_map(|(at, freeze)| void_freeze(network, freeze, at)).collect();
    found.extend(lists.iter().flat_map(|(patterns, at)| void(patterns, &names, at)));
    found.extend(void_nodes(network, &spec.runtime.recompute, RECOMPUTE));
    found.extend(keeps_nothing(spec, phases));
    let steps: Vec<Step> = phases.iter().enumerate().map(|(index, phase)| Step::of(spec, index, phase)).collect();
    let all: Vec<&Step> = steps.iter().collect();
    for (index, penalty) in spec.regularizer.iter().enumerate() {
        let rules = penalty.params.as_deref().map(Patterns::new);
        let held = |param: &Param| rules.as_ref().map_or(param.shape.len() >= 2, |rules| rules.matches(&param.names));
        let what = format!("the penalty `{}`", penalty.penalty.kind);
        let at = match rules {
            Some(_) => format!("/regularizer/{index}/params"),
            None => penalty.penalty.at.clone(),
        };
        let selected = select(network, held);
        found.extend(frozen(network, &what, &selected, &at, &all));
        let needs_start = penalty.penalty.build().is_ok_and(|penalty| penalty.needs_start());
        let moves = |index: &usize| steps.iter().any(|step| step.moves.contains(index));
        let moving: Vec<usize> = selected.into_iter().filter(moves).collect();
        if needs_start && !moving.is_empty() && moving.iter().all(|index| !network.params[*index].pretrained) {
            let message = format!("{what} holds nothing: no trained parameter that it selects is pretrained");
            let warning =
                Diagnostic::warning(Code::PatternVoid, message).note(selects(network, &moving)).at(at, "holds nothing");
            found.push(
                warning.help("it pulls towards pretrained values, which new layers do not have; `l2` pulls to zero"),
            );
        }
    }
    for (optimizer, at, own) in optimizers(spec) {
        let used: Vec<&Step> = steps.iter().filter(|step| step.optimizer == own).collect();
        found.extend(groups(network, optimizer, &at, &used));
    }
    found
}

/// A warning if backward of no phase reads a value that `recompute` selects.
fn keeps_nothing(spec: &Spec, phases: &[Phase]) -> Option<Diagnostic> {
    let graphs = || phases.iter().map(|phase| &phase.graphs.full);
    if spec.runtime.recompute.is_empty() || graphs().any(|graph| graph.recomputed.nodes > 0) {
        return None;
    }
    let message = "`recompute` has no effect: no value of the nodes that it selects is kept for backward";
    let warning = Diagnostic::warning(Code::PatternVoid, message).at(RECOMPUTE, "frees nothing");
    Some(warning.help("select nodes behind the first that is trained, whole blocks of layers at a time"))
}

/// A phase as far as it says what moves and who moves it.
struct Step {
    /// Index of the phase that has an optimizer of its own; `None` for the common one.
    optimizer: Option<usize>,
    /// Where the spec says what is frozen, if it does.
    freeze: Option<String>,
    moves: BTreeSet<usize>,
}

impl Step {
    fn of(spec: &Spec, index: usize, phase: &Phase) -> Self {
        let own = spec.schedule.phases.get(index);
        let freeze = match own.and_then(|own| own.freeze.as_ref()) {
            Some(_) => Some(format!("/schedule/phases/{index}/freeze")),
            None => spec.freeze.as_ref().map(|_| "/freeze".to_owned()),
        };
        let optimizer = own.and_then(|own| own.optimizer.as_ref()).map(|_| index);
        Self { optimizer, freeze, moves: phase.trainable.params.iter().copied().collect() }
    }
}

/// Every list of patterns over the whole network, with its pointer.
fn lists(spec: &Spec) -> Vec<(&[String], String)> {
    let penalties = spec.regularizer.iter().enumerate();
    let mut lists: Vec<(&[String], String)> = penalties
        .filter_map(|(index, penalty)| Some((penalty.params.as_deref()?, format!("/regularizer/{index}/params"))))
        .collect();
    for (optimizer, at, _) in optimizers(spec) {
        let groups = optimizer.groups.iter().enumerate();
        lists.extend(groups.map(|(index, group)| (group.params.as_slice(), format!("{at}/groups/{index}/params"))));
    }
    lists
}

/// Every optimizer, with its pointer and the phase that it belongs to.
fn optimizers(spec: &Spec) -> Vec<(&Optimizer, String, Option<usize>)> {
    let phases = spec.schedule.phases.iter().enumerate();
    let own = phases.filter_map(|(index, phase)| {
        Some((phase.optimizer.as_ref()?, format!("/schedule/phases/{index}/optimizer"), Some(index)))
    });
    std::iter::once((&spec.optimizer, "/optimizer".to_owned(), None)).chain(own).collect()
}

fn names(network: &Network) -> Vec<Vec<String>> {
    network.params.iter().map(|param| param.names.clone()).collect()
}

fn select(network: &Network, wanted: impl Fn(&Param) -> bool) -> Vec<usize> {
    let params = network.params.iter().enumerate();
    params.filter(|(_, param)| wanted(param)).map(|(index, _)| index).collect()
}

fn selects(network: &Network, selected: &[usize]) -> String {
    let names: Vec<&str> = selected.iter().map(|index| network.params[*index].name.as_str()).collect();
    format!("it selects {}", some(&names))
}

/// A warning if none of the selected parameters moves in any of these phases.
fn frozen(network: &Network, what: &str, selected: &[usize], at: &str, steps: &[&Step]) -> Option<Diagnostic> {
    let moves = steps.iter().any(|step| selected.iter().any(|index| step.moves.contains(index)));
    if selected.is_empty() || steps.is_empty() || moves {
        return None;
    }
    let message = format!("{what} has no effect: all that it selects is frozen");
    let warning = Diagnostic::warning(Code::PatternVoid, message)
        .note(selects(network, selected))
        .at(at, "selects what does not move");
    let places: BTreeSet<&String> = steps.iter().filter_map(|step| step.freeze.as_ref()).collect();
    let warning = places.into_iter().fold(warning, |warning, place| warning.at(place, "frozen here"));
    Some(warning.help("let it select what is trained, take that back from `freeze`, or take it out"))
}

/// Groups of an optimizer that select frozen parameters only, or none that a later group does not take.
fn groups(network: &Network, optimizer: &Optimizer, at: &str, steps: &[&Step]) -> Vec<Diagnostic> {
    let rules: Vec<Patterns> = optimizer.groups.iter().map(|group| Patterns::new(&group.params)).collect();
    let takes = |index: &usize| rules.iter().rposition(|rules| rules.matches(&network.params[*index].names));
    let mut found = Vec::new();
    for (number, rules) in rules.iter().enumerate() {
        let selected = select(network, |param| rules.matches(&param.names));
        let place = format!("{at}/groups/{number}/params");
        if let Some(warning) = frozen(network, "the group", &selected, &place, steps) {
            found.push(warning);
            continue;
        }
        let takers: BTreeSet<usize> = selected.iter().filter_map(takes).collect();
        if selected.is_empty() || steps.is_empty() || takers.contains(&number) {
            continue;
        }
        let message = "the group has no effect: later groups take all that it selects";
        let warning =
            Diagnostic::warning(Code::PatternVoid, message).note(selects(network, &selected)).at(place, "overruled");
        let taken = |warning: Diagnostic, taker: &usize| {
            warning.at(format!("{at}/groups/{taker}/params"), "comes later and takes them")
        };
        let warning = takers.iter().fold(warning, taken);
        found.push(warning.help("the last group that matches wins: write the narrower group behind the wider one"));
    }
    found
}
