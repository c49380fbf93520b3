//! The order of the backward nodes is the memory plan (DESIGN D5).
//!
//! ONNX Runtime visits the graph depth first from its leaves, the last in the file first. When the nodes that make weight
//! gradients stand last in the file, first layer first, each runs right after the gradient that it reads, and that one can be freed;
//! in the order in which rules emit them, all of dX would run before any of dW and every dZ would stay alive.

use crate::ir::{Graph, ValueId};

/// Moves the nodes after `forward` that only weight gradients need to the end, in the order of the forward nodes they belong to
/// (first layer first), and drops those that nobody needs.
pub(super) fn schedule(graph: &mut Graph, forward: usize, gradients: &[ValueId]) {
    let producers = graph.producers();
    let backward: Vec<usize> = (forward..graph.nodes.len()).collect();
    // `chain[n]`: some other gradient is computed through node n; walked from the end, a node is on the chain when
    // one of its readers is, or when it is read by more than the node that closes a weight gradient.
    let mut needed = vec![false; graph.nodes.len()];
    let mut stack: Vec<usize> =
        gradients.iter().filter_map(|g| producers[g.0 as usize]).filter(|n| *n >= forward).collect();
    while let Some(index) = stack.pop() {
        if std::mem::replace(&mut needed[index], true) {
            continue;
        }
        let reads = graph.reads(&graph.nodes[index]);
        stack.extend(reads.iter().filter_map(|v| producers[v.0 as usize]).filter(|n| *n >= forward));
    }
    // Nodes reachable from exactly one gradient are that gradient's own tail; everything shared is the chain.
    let mut owner: Vec<Option<usize>> = vec![None; graph.nodes.len()];
    let mut shared = vec![false; graph.nodes.len()];
    for (number, gradient) in gradients.iter().enumerate() {
        let mut stack: Vec<usize> = producers[gradient.0 as usize].into_iter().filter(|n| *n >= forward).collect();
        while let Some(index) = stack.pop() {
            if owner[index] == Some(number) || shared[index] {
                continue;
            }
            if owner[index].is_some() {
                shared[index] = true;
            } else {
                owner[index] = Some(number);
            }
            let reads = graph.reads(&graph.nodes[index]);
            stack.extend(reads.iter().filter_map(|v| producers[v.0 as usize]).filter(|n| *n >= forward));
        }
    }
    let mut nodes: Vec<Option<crate::ir::Node>> = std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    let mut ordered: Vec<crate::ir::Node> = nodes[..forward].iter_mut().filter_map(Option::take).collect();
    for index in &backward {
        if needed[*index] && shared[*index] {
            ordered.extend(nodes[*index].take());
        }
    }
    // A tail of the deepest gradient is the end of the chain; its nodes too are grouped by parameter, the first layer's first.
    for number in 0..gradients.len() {
        for index in &backward {
            if needed[*index] && owner[*index] == Some(number) {
                ordered.extend(nodes[*index].take());
            }
        }
    }
    graph.nodes = ordered;
}
