//! Puts nodes into an order in which every node comes after what it reads. A file that is sorted already stays as it is.

use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Graph, Node};
use std::collections::BTreeSet;

/// A node and the opset of its domain in the file.
pub(super) type Versioned = (Node, i64);

/// Sorts stably; `graph` holds inputs and initializers.
///
/// # Errors
/// `P0302` for a name that nothing makes, one that is made twice, and for a cycle.
pub(super) fn sort(graph: &Graph, nodes: Vec<Versioned>) -> Result<Vec<Versioned>> {
    let invalid = |text: String| Diagnostic::error(Code::ModelInvalid, text);
    let mut producer: Vec<Option<usize>> = vec![None; graph.value_count()];
    let mut given = vec![false; graph.value_count()];
    for value in graph.inputs.iter().chain(graph.initializers.keys()) {
        given[value.0 as usize] = true;
    }
    for (index, (node, _)) in nodes.iter().enumerate() {
        for output in node.outputs.iter().flatten() {
            let name = graph.name(*output);
            if given[output.0 as usize] {
                return Err(invalid(format!("{} makes `{name}`, which is an input or initializer", title(node))));
            }
            if let Some(first) = producer[output.0 as usize].replace(index) {
                return Err(invalid(format!("{} and {} both make `{name}`", title(&nodes[first].0), title(node))));
            }
        }
    }
    let mut missing = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, (node, _)) in nodes.iter().enumerate() {
        for input in graph.reads(node) {
            match producer[input.0 as usize] {
                Some(origin) => {
                    missing[index] += 1;
                    readers[origin].push(index);
                }
                None if given[input.0 as usize] => {}
                None => {
                    let name = graph.name(input);
                    return Err(invalid(format!("{} reads `{name}`, which nothing makes", title(node))));
                }
            }
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|index| missing[*index] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for reader in &readers[index] {
            missing[*reader] -= 1;
            if missing[*reader] == 0 {
                ready.insert(*reader);
            }
        }
    }
    if let Some(stuck) = missing.iter().position(|count| *count > 0) {
        return Err(invalid(format!("{} depends on itself", title(&nodes[stuck].0))));
    }
    let mut slots: Vec<Option<Versioned>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| slots[index].take()).collect())
}

/// A node in a message: by its name, else by what it makes.
pub(super) fn title(node: &Node) -> String {
    if node.name.is_empty() {
        format!("a nameless {} node", node.title())
    } else {
        format!("node `{}` ({})", node.name, node.title())
    }
}
