//! Writes nodes on a path from a wanted value to the loss out in operators that have a rule, where `ops` has such a form of theirs.

use super::Active;
use crate::diag::Diagnostic;
use crate::ir::{Builder, Graph, Node, ValueId};
use crate::ops::{self, Ctx};
use std::collections::BTreeMap;

/// Most nodes that what is written out may add; nested bodies multiply.
const MOST_NODES: usize = 1 << 16;
/// Most bytes of bodies in what is written out, which hold copies of those inside them.
const MOST_BYTES: usize = 64 << 20;

/// Replaces such nodes in place and says whether there were any; then what was made has no type yet, and the graph is to be typed
/// again. Every forward value must carry a static type. Values keep their names.
///
/// # Errors
/// `P0401` for a form of an operator that its expansion does not cover, once nothing else is left. All of them at once.
pub fn expand(graph: &mut Graph, loss: ValueId, wrt: &[ValueId]) -> Result<bool, Vec<Diagnostic>> {
    let active = Active::find(graph, loss, wrt);
    write_out(graph, |index, _| active.nodes[index])
}

/// The same for the nodes that `chosen` says yes to.
///
/// # Errors
/// As [`expand`].
pub fn write_out(graph: &mut Graph, chosen: impl Fn(usize, &Node) -> bool) -> Result<bool, Vec<Diagnostic>> {
    let count = graph.nodes.len();
    let mut made: Vec<(usize, Vec<Node>)> = Vec::new();
    let (mut total, mut bytes) = (count, 0);
    let mut problems = Vec::new();
    for index in 0..count {
        if !chosen(index, &graph.nodes[index]) {
            continue;
        }
        let node = graph.nodes[index].clone();
        let Some(row) = ops::expansion(&node.domain, &node.op) else { continue };
        let scope = if node.name.is_empty() { node.op.clone() } else { node.name.clone() };
        let mut b = Builder::new(graph, scope);
        let mut ctx = Ctx { b: &mut b, index, node: &node, dy: &[], wants: &[] };
        let expanded = (row.expand)(&mut ctx).and_then(|values| {
            total += ctx.graph().nodes.len() - count;
            if total > MOST_NODES {
                return Err(ctx.unsupported(format!("written out the graph has more than {MOST_NODES} nodes")));
            }
            let made = &ctx.graph().nodes[count..];
            bytes += made.iter().flat_map(Node::bodies).map(|(bytes, _)| bytes.len()).sum::<usize>();
            if bytes > MOST_BYTES {
                return Err(ctx.unsupported(format!("written out its bodies take more than {} MiB", MOST_BYTES >> 20)));
            }
            Ok(values)
        });
        match expanded {
            Ok(values) => {
                let mut nodes = graph.nodes.split_off(count);
                stand_in(graph, &node, &values, &mut nodes);
                made.push((index, nodes));
            }
            Err(problem) => {
                graph.nodes.truncate(count);
                problems.push(problem);
            }
        }
    }
    if made.is_empty() {
        return if problems.is_empty() { Ok(false) } else { Err(problems) };
    }
    // What is made may give the others the static shapes that they lack: they are asked again.
    let mut made = made.into_iter().peekable();
    for (index, node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
        match made.next_if(|(at, _)| *at == index) {
            Some((_, nodes)) => graph.nodes.extend(nodes),
            None => graph.nodes.push(node),
        }
    }
    graph.verify("expand").map_err(|problem| vec![problem])?;
    Ok(true)
}

/// Gives the values the names of the outputs that they stand for.
fn stand_in(graph: &Graph, node: &Node, values: &[Option<ValueId>], nodes: &mut Vec<Node>) {
    for inner in nodes.iter_mut() {
        inner.metadata.clone_from(&node.metadata);
    }
    let mut renamed = BTreeMap::new();
    for (output, value) in node.outputs.iter().zip(values) {
        let (Some(output), Some(value)) = (*output, *value) else { continue };
        let value = renamed.get(&value).copied().unwrap_or(value);
        let makes = |inner: &Node| inner.outputs.contains(&Some(value));
        // An input that is handed through, or a value that stands for two outputs, needs a node to make the second name.
        if node.outputs.contains(&Some(value)) || !nodes.iter().any(makes) {
            nodes.push(Node {
                name: graph.name(output).to_owned(),
                op: "Identity".to_owned(),
                inputs: vec![Some(value)],
                outputs: vec![Some(output)],
                metadata: node.metadata.clone(),
                ..Node::default()
            });
            continue;
        }
        renamed.insert(value, output);
        for inner in nodes.iter_mut() {
            for slot in inner.inputs.iter_mut().chain(&mut inner.outputs).filter(|slot| **slot == Some(value)) {
                *slot = Some(output);
            }
        }
    }
}
