//! Values that a training step does not keep between forward and backward but makes again (`runtime.recompute`), which takes time for memory.
//!
//! A matching node is run once more, by a copy, where backward reads what it made. The copies read the first of their inputs through `After`,
//! which waits for the gradient that has come that far: it holds them back until then, and ONNX Runtime does not merge them with what they are
//! copies of. Connected nodes are cut into [`segments`], between which one value stays, so that not all of it is made again at once.

mod segments;

use super::network::Network;
use super::patterns::{Things, unmatched_of, void};
use crate::diag::Diagnostic;
use crate::ir::{Builder, DOMAIN, DType, Graph, Node, TensorType, ValueId};
use crate::kernels::{AFTER, Device};
use crate::spec::pattern::Patterns;
use segments::Segment;
use std::collections::{BTreeMap, BTreeSet};

/// Operators that do not give the same values twice.
const DRAWS: &[&str] =
    &["Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// What a step makes again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recomputed {
    /// Nodes that run twice.
    pub nodes: usize,
    /// Segments that they lie in.
    pub segments: usize,
}

/// Every name of each node of a network: its module's path, its own, that of its operator, those of its values and parameters.
fn node_names(network: &Network) -> Vec<Vec<String>> {
    let graph = &network.graph;
    let params: BTreeMap<ValueId, &[String]> =
        network.params.iter().map(|param| (param.value, param.names.as_slice())).collect();
    let names = |node: &Node| {
        let path = super::names::module_path(node);
        let own = [node.name.clone(), node.title()].into_iter().filter(|name| !name.is_empty());
        let values = node.outputs.iter().flatten().map(|value| graph.name(*value).to_owned());
        let weights = node.inputs.iter().flatten().filter_map(|value| params.get(value)).copied().flatten().cloned();
        path.into_iter().chain(own).chain(values).chain(weights).collect()
    };
    graph.nodes.iter().map(names).collect()
}

/// Every pattern that matches no node. `at` is the pointer of the list.
pub(crate) fn unmatched_nodes(network: &Network, patterns: &[String], at: &str) -> Vec<Diagnostic> {
    if patterns.is_empty() {
        return Vec::new();
    }
    unmatched_of(Things::Nodes, patterns, &node_names(network), at)
}

/// Every pattern that has no say on any node, as a warning.
pub(crate) fn void_nodes(network: &Network, patterns: &[String], at: &str) -> Vec<Diagnostic> {
    if patterns.is_empty() {
        return Vec::new();
    }
    void(patterns, &node_names(network), at)
}

/// First outputs of the nodes that patterns select.
pub(super) fn chosen(network: &Network, patterns: &[String]) -> BTreeSet<ValueId> {
    if patterns.is_empty() {
        return BTreeSet::new();
    }
    let rules = Patterns::new(patterns);
    let nodes = network.graph.nodes.iter().zip(node_names(network));
    nodes.filter(|(_, names)| rules.matches(names)).filter_map(|(node, _)| node.output(0)).collect()
}

/// Makes backward, which begins at node `forward`, read copies of what the nodes of `chosen` made. `data` are the inputs that differ from step
/// to step: what depends on weights alone stays. Values that are `known` are the network's; the others came into being when nodes were written out
/// in simpler ones, and go with what they were made for.
pub(super) fn apply(
    graph: &mut Graph,
    forward: usize,
    chosen: &BTreeSet<ValueId>,
    data: &[ValueId],
    known: &[bool],
    device: Device,
) -> Recomputed {
    if chosen.is_empty() {
        return Recomputed::default();
    }
    let moves = moving(graph, forward, data);
    let selected = select(graph, forward, chosen, &moves, known);
    let (found, kept) = segments::find(graph, forward, &selected);
    let mut copies: Vec<Node> = Vec::new();
    let mut made = Recomputed::default();
    let mut renamed: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for segment in &found {
        let mut copier = Copier::new(graph, segment, &kept, forward, &moves, device);
        copier.copy();
        let nodes = copier.nodes;
        if !nodes.is_empty() {
            made.segments += 1;
            made.nodes += copier.copied;
        }
        renamed.extend(copier.renamed.iter().filter(|(old, _)| segment.again.contains(old)));
        copies.extend(nodes);
    }
    for node in &mut graph.nodes[forward..] {
        for input in node.inputs.iter_mut().flatten() {
            *input = renamed.get(input).copied().unwrap_or(*input);
        }
    }
    graph.nodes.extend(copies);
    sort(graph);
    made
}

/// Which values of forward depend on data.
fn moving(graph: &Graph, forward: usize, data: &[ValueId]) -> Vec<bool> {
    let mut moves = vec![false; graph.value_count()];
    for value in data {
        moves[value.0 as usize] = true;
    }
    for node in &graph.nodes[..forward] {
        if graph.reads(node).iter().any(|value| moves[value.0 as usize]) {
            node.outputs.iter().flatten().for_each(|output| moves[output.0 as usize] = true);
        }
    }
    moves
}

/// Which forward nodes are to be run again.
fn select(graph: &Graph, forward: usize, chosen: &BTreeSet<ValueId>, moves: &[bool], known: &[bool]) -> Vec<bool> {
    let consumers = graph.consumers();
    let repeats = |node: &Node| {
        let body = node.bodies().next().is_some();
        let moves = node.outputs.iter().flatten().any(|output| moves[output.0 as usize]);
        moves && !body && !DRAWS.contains(&node.op.as_str())
    };
    let mut wanted = vec![false; forward];
    for (index, node) in graph.nodes[..forward].iter().enumerate().rev() {
        let outputs = || node.outputs.iter().flatten();
        wanted[index] = if outputs().any(|output| known.get(output.0 as usize) == Some(&true)) {
            outputs().any(|output| chosen.contains(output))
        } else {
            let mut readers =
                outputs().flat_map(|output| &consumers[output.0 as usize]).filter(|n| **n < forward).peekable();
            readers.peek().is_some() && readers.all(|reader| wanted[*reader])
        };
    }
    graph.nodes.iter().zip(wanted).map(|(node, wanted)| wanted && repeats(node)).collect()
}

/// Copies the nodes of a segment.
struct Copier<'g> {
    graph: &'g mut Graph,
    segment: &'g Segment,
    /// Values between segments, and outputs of the graph.
    kept: &'g BTreeSet<ValueId>,
    producers: Vec<Option<usize>>,
    moves: &'g [bool],
    device: Device,
    /// The gradient that the copies wait for.
    gradient: Option<ValueId>,
    /// What stands for a value in the copies: what a copy makes, or the value behind `After`.
    renamed: BTreeMap<ValueId, ValueId>,
    nodes: Vec<Node>,
    /// Nodes that are copies.
    copied: usize,
}

impl<'g> Copier<'g> {
    fn new(
        graph: &'g mut Graph,
        segment: &'g Segment,
        kept: &'g BTreeSet<ValueId>,
        forward: usize,
        moves: &'g [bool],
        device: Device,
    ) -> Self {
        let gradient = first_gradient(graph, forward, &segment.again, device);
        let producers = graph.producers();
        Self {
            graph,
            segment,
            kept,
            producers,
            moves,
            device,
            gradient,
            renamed: BTreeMap::new(),
            nodes: Vec::new(),
            copied: 0,
        }
    }

    /// Copies what makes the values that backward reads, in the order of the graph.
    fn copy(&mut self) {
        let mut needed: BTreeSet<ValueId> = self.segment.again.clone();
        let mut chosen: Vec<usize> = Vec::new();
        for index in self.segment.nodes.iter().rev() {
            let node = &self.graph.nodes[*index];
            if node.outputs.iter().flatten().any(|output| needed.contains(output)) {
                chosen.push(*index);
                needed.extend(node.inputs.iter().flatten().filter(|value| !self.kept.contains(value)));
            }
        }
        for index in chosen.into_iter().rev() {
            self.copy_node(index);
        }
    }

    fn copy_node(&mut self, index: usize) {
        let mut node = self.graph.nodes[index].clone();
        let inputs: Vec<ValueId> = node.inputs.iter().copied().flatten().collect();
        // Where nothing of the forward pass can wait, a weight does: a node that reads what the original reads would be merged with it.
        let tied = inputs.iter().any(|value| self.renamed.contains_key(value) || self.waits(*value));
        let fed = inputs
            .iter()
            .copied()
            .find(|value| !tied && self.graph.inputs.contains(value) && can_wait(self.graph, *value, self.device));
        for input in node.inputs.iter_mut().flatten() {
            if !self.renamed.contains_key(input) && (self.waits(*input) || fed == Some(*input)) {
                let behind = self.after(*input);
                self.renamed.insert(*input, behind);
            }
            *input = self.renamed.get(input).copied().unwrap_or(*input);
        }
        if !tied && fed.is_none() {
            return;
        }
        for output in node.outputs.iter_mut().flatten() {
            let name = format!("{}/again", self.graph.name(*output));
            let copy = self.graph.fresh(&name);
            self.graph.set_type(copy, self.graph.ty(*output));
            self.renamed.insert(*output, copy);
            *output = copy;
        }
        node.name = format!("{}/again", node.name);
        self.nodes.push(node);
        self.copied += 1;
    }

    /// Whether a value that is kept, or lies outside the segment, can wait: nodes of forward make it from data.
    fn waits(&self, value: ValueId) -> bool {
        let moves = self.moves.get(value.0 as usize) == Some(&true);
        moves && self.producers[value.0 as usize].is_some() && can_wait(self.graph, value, self.device)
    }

    fn after(&mut self, value: ValueId) -> ValueId {
        let name = format!("{}/after", self.graph.name(value));
        let behind = self.graph.fresh(&name);
        self.graph.set_type(behind, self.graph.ty(value));
        let gradient = self.gradient.map(|gradient| self.in_numbers_of(value, gradient));
        self.nodes.push(Node {
            name: self.graph.name(behind).to_owned(),
            op: AFTER.to_owned(),
            domain: DOMAIN.to_owned(),
            inputs: vec![Some(value), Some(gradient.unwrap_or(value))],
            outputs: vec![Some(behind)],
            ..Node::default()
        });
        behind
    }

    /// Something that is there with the gradient, in the numbers of a value, which `After` wants: its first row, else.
    fn in_numbers_of(&mut self, value: ValueId, gradient: ValueId) -> ValueId {
        let (Some(wanted), Some(shape)) = (self.graph.dtype(value), self.graph.shape(gradient)) else {
            return gradient;
        };
        if self.graph.dtype(gradient) == Some(wanted) {
            return gradient;
        }
        let row = [&[1], &shape[1..]].concat();
        let start = self.graph.nodes.len();
        let mut b = Builder::new(self.graph, "recompute");
        let part = b.slice(gradient, &[0], &[1], &[0], &[1]);
        b.graph.set_type(part, b.graph.dtype(gradient).map(|dtype| TensorType::fixed(dtype, &row)));
        let cast = b.cast(part, wanted);
        b.graph.set_type(cast, Some(TensorType::fixed(wanted, &row)));
        self.nodes.extend(self.graph.nodes.drain(start..));
        cast
    }
}

/// Whether `After` takes a value on a device: floats, and no single number, of whose shape ONNX Runtime tells it nothing.
fn can_wait(graph: &Graph, value: ValueId, device: Device) -> bool {
    let half = device == Device::Cuda && matches!(graph.dtype(value), Some(DType::F16 | DType::Bf16));
    (half || graph.dtype(value) == Some(DType::F32)) && graph.shape(value).is_some_and(|shape| !shape.is_empty())
}

/// The first gradient, in the order of the nodes, that is read beside one of `values`. It depends on none of them: what reads one of them
/// beside it comes later, and what reads one beside no gradient is looked through to its readers.
fn first_gradient(graph: &Graph, forward: usize, values: &BTreeSet<ValueId>, device: Device) -> Option<ValueId> {
    let producers = graph.producers();
    let consumers = graph.consumers();
    let mut open: Vec<usize> = values.iter().flat_map(|value| &consumers[value.0 as usize]).copied().collect();
    open.retain(|reader| *reader >= forward);
    let mut seen: BTreeSet<usize> = open.iter().copied().collect();
    let mut found: Vec<(usize, ValueId)> = Vec::new();
    while let Some(reader) = open.pop() {
        let node = &graph.nodes[reader];
        let made = node.inputs.iter().flatten().filter(|value| can_wait(graph, **value, device));
        let made =
            made.filter_map(|value| Some((producers[value.0 as usize].filter(|maker| *maker >= forward)?, *value)));
        let before = found.len();
        found.extend(made.filter(|(maker, _)| !seen.contains(maker)));
        if found.len() == before {
            let readers = node.outputs.iter().flatten().flat_map(|output| &consumers[output.0 as usize]);
            open.extend(readers.copied().filter(|reader| seen.insert(*reader)));
        }
    }
    found.retain(|(maker, _)| !seen.contains(maker));
    found.into_iter().min().map(|(_, value)| value)
}

/// Puts every node right in front of the first that reads it, where it stands behind that; the others keep their order.
fn sort(graph: &mut Graph) {
    let producers = graph.producers();
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(nodes.len());
    for first in 0..nodes.len() {
        let mut stack = vec![first];
        while let Some(index) = stack.last().copied() {
            let Some(node) = &nodes[index] else {
                stack.pop();
                continue;
            };
            let reads = graph.reads(node);
            let before =
                reads.iter().filter_map(|value| producers[value.0 as usize]).find(|maker| nodes[*maker].is_some());
            match before {
                Some(maker) => stack.push(maker),
                None => sorted.extend(nodes[index].take()),
            }
        }
    }
    graph.nodes = sorted;
}

#[cfg(test)]
mod tests;
