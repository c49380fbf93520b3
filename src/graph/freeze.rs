//! What is trained: patterns and places of `freeze:` against the parameters of a network, and the mode of each BatchNormalization.

use super::network::Network;
use super::patterns;
use crate::diag::{Code, Diagnostic};
use crate::graph::names::{Names, Place};
use crate::ir::{Graph, Node, ValueId};
use crate::spec::pattern::Patterns;
use crate::spec::{BatchNormMode, Freeze, Spec};
use std::collections::BTreeSet;

/// What moves in a phase.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trainable {
    /// Indices into [`Network::params`], in order of first use.
    pub params: Vec<usize>,
    /// First outputs of the BatchNormalization nodes that take batch statistics and update the running ones.
    pub batch_norms: BTreeSet<ValueId>,
}

/// Resolves `freeze:` of the spec or of a phase; `at` is its JSON pointer. New layers are never frozen.
///
/// # Errors
/// `P0304` for a pattern that matches nothing, `P0305`/`P0306` for an unknown or ambiguous `before`, `P0403` when nothing is left.
pub fn resolve(network: &Network, freeze: Option<&Freeze>, at: &str) -> Result<Trainable, Vec<Diagnostic>> {
    let freeze = freeze.cloned().unwrap_or_default();
    let rules = Patterns::new(&freeze.params);
    let mut problems = patterns::unmatched(&freeze.params, &source_names(network), &format!("{at}/params"));
    let mut before = BTreeSet::new();
    if let Some(target) = &freeze.before {
        match ancestors(&network.graph, target) {
            Ok(values) => before = values,
            Err(problem) => problems.push(problem.at(format!("{at}/before"), "")),
        }
    }
    let params: Vec<usize> = network
        .params
        .iter()
        .enumerate()
        .filter(|(_, param)| param.new || !(rules.matches(&param.names) || before.contains(&param.value)))
        .map(|(index, _)| index)
        .collect();
    let new = |node: &Node| network.new_nodes.contains(&node.name);
    let params: Vec<usize> = match freeze.batch_norm {
        // Statistics of the new data, and nothing else of them.
        Some(BatchNormMode::Adapt) => {
            let norms = network.graph.nodes.iter().filter(|node| is_batch_norm(node) && !new(node));
            let fixed: BTreeSet<ValueId> = norms.flat_map(|node| [node.input(1), node.input(2)]).flatten().collect();
            params.into_iter().filter(|index| !fixed.contains(&network.params[*index].value)).collect()
        }
        _ => params,
    };
    if params.is_empty() && problems.is_empty() {
        problems.push(
            Diagnostic::error(Code::NothingTrainable, "every parameter is frozen")
                .at(at, "")
                .help("add a branch under `layers`, or take parameters back with `!pattern`"),
        );
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let moving: BTreeSet<ValueId> = params.iter().map(|index| network.params[*index].value).collect();
    let batch_norms = network
        .graph
        .nodes
        .iter()
        .filter(|node| is_batch_norm(node))
        .filter(|node| {
            let free = [1, 2].iter().any(|i| node.input(*i).is_some_and(|value| moving.contains(&value)));
            match freeze.batch_norm {
                None => free,
                // The mode is one of the source's layers; new ones have no statistics yet that they could stay with.
                Some(_) if new(node) => free,
                Some(BatchNormMode::Eval) => false,
                Some(BatchNormMode::Train | BatchNormMode::Adapt) => true,
            }
        })
        .filter_map(|node| node.output(0))
        .collect();
    Ok(Trainable { params, batch_norms })
}

/// Names of the parameters that `freeze:` may speak of.
fn source_names(network: &Network) -> Vec<Vec<String>> {
    network.params.iter().filter(|param| !param.new).map(|param| param.names.clone()).collect()
}

/// Patterns and places of every `freeze:` that the source model does not have, for a network that could not be put together.
pub(super) fn misspelt(spec: &Spec, graph: &Graph, names: &Names) -> Vec<Diagnostic> {
    let all: Vec<Vec<String>> = names.params().iter().map(|param| param.names.clone()).collect();
    let mut found = Vec::new();
    for (at, freeze) in spec.freezes() {
        found.extend(patterns::unmatched(&freeze.params, &all, &format!("{at}/params")));
        let place = freeze.before.as_ref().map(|target| names.place(graph, target));
        found.extend(place.and_then(Result::err).map(|problem| problem.at(format!("{at}/before"), "")));
    }
    found
}

/// What of a `freeze:` that can be resolved has no effect, as warnings.
pub(crate) fn void(network: &Network, freeze: &Freeze, at: &str) -> Vec<Diagnostic> {
    let names = source_names(network);
    let params = format!("{at}/params");
    let mut found = patterns::void(&freeze.params, &names, &params);
    let Some(before) = freeze.before.as_ref().and_then(|target| ancestors(&network.graph, target).ok()) else {
        return found;
    };
    let rules = Patterns::new(&freeze.params);
    for (index, pattern) in freeze.params.iter().enumerate().filter(|(_, pattern)| pattern.starts_with('!')) {
        let decided = |param: &&super::network::Param| !param.new && rules.decides(&param.names) == Some(index);
        let freed: Vec<_> = network.params.iter().filter(decided).collect();
        if !freed.is_empty() && freed.iter().all(|param| before.contains(&param.value)) {
            let freed: Vec<&str> = freed.iter().map(|param| param.name.as_str()).collect();
            let found_here = patterns::decides_nothing(pattern, &freed).at(format!("{params}/{index}"), "overruled");
            let found_here = found_here.at(format!("{at}/before"), "freezes all of it");
            found.push(found_here.help("what stands before this place is frozen, whatever the patterns say"));
        }
    }
    found
}

fn is_batch_norm(node: &Node) -> bool {
    node.op == "BatchNormalization" && node.domain.is_empty()
}

/// Everything that a node, value or module depends on, its own parameters left out.
fn ancestors(graph: &Graph, target: &str) -> crate::diag::Result<BTreeSet<ValueId>> {
    let names = Names::of(graph);
    let start: Vec<ValueId> = match names.place(graph, target)? {
        Place::Value(value) => vec![value],
        Place::Node(index) => data_inputs(graph, index),
        Place::Module(nodes) => nodes.iter().min().map(|index| data_inputs(graph, *index)).unwrap_or_default(),
    };
    let producers = graph.producers();
    let mut found = BTreeSet::new();
    let mut stack = start;
    while let Some(value) = stack.pop() {
        if found.insert(value)
            && let Some(index) = producers[value.0 as usize]
        {
            stack.extend(graph.reads(&graph.nodes[index]));
        }
    }
    Ok(found)
}

fn data_inputs(graph: &Graph, index: usize) -> Vec<ValueId> {
    graph.nodes[index].inputs.iter().flatten().copied().filter(|value| graph.constant(*value).is_none()).collect()
}
