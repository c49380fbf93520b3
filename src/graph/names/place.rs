//! What a text of the spec means in a model: a node, a value or a module.

use super::{Names, is_generated};
use crate::diag::{Code, Diagnostic, Result, either, nearest};
use crate::ir::{Graph, ValueId};

/// A place in a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A node, by index; a module of one node is that node.
    Node(usize),
    /// A value.
    Value(ValueId),
    /// The nodes of a module, by index, in execution order; at least two.
    Module(Vec<usize>),
}

impl Names {
    /// What `text` means: the name of a node, of a value, or the path of a module.
    ///
    /// A node and the value that it makes may share a name, which then means the node; a module means itself even if one of its nodes
    /// has its name.
    ///
    /// # Errors
    /// `P0305` with the nearest names when there is none, `P0306` with the candidates when there are several.
    pub fn place(&self, graph: &Graph, text: &str) -> Result<Place> {
        let nodes: Vec<usize> = (0..graph.nodes.len()).filter(|index| graph.nodes[*index].name == text).collect();
        let value = graph.find(text).filter(|value| exists(graph, *value));
        let module = self.modules.get(text).cloned().unwrap_or_default();
        if text.is_empty() {
            return Err(self.unknown(graph, text));
        }
        if let Some(stranger) = nodes.iter().find(|index| !module.is_empty() && !module.contains(index)) {
            let named = format!("the node `{text}` ({})", graph.nodes[*stranger].title());
            return Err(ambiguous(text, &[named, format!("the module `{text}` of {} nodes", module.len())]));
        }
        match (nodes.as_slice(), module.as_slice(), value) {
            ([], [], None) => Err(self.unknown(graph, text)),
            (_, [_, _, ..], None) => Ok(Place::Module(module)),
            (_, [_, _, ..], Some(value)) => {
                let made = module.iter().any(|index| graph.nodes[*index].outputs.contains(&Some(value)));
                let things = [format!("the module `{text}` of {} nodes", module.len()), format!("the value `{text}`")];
                if made { Ok(Place::Module(module)) } else { Err(ambiguous(text, &things)) }
            }
            ([node], _, value) | ([], [node], value) => {
                let foreign = value.filter(|value| !graph.nodes[*node].outputs.contains(&Some(*value)));
                let things =
                    [format!("the node `{text}` ({})", graph.nodes[*node].title()), format!("the value `{text}`")];
                if foreign.is_some() { Err(ambiguous(text, &things)) } else { Ok(Place::Node(*node)) }
            }
            ([], [], Some(value)) => Ok(Place::Value(value)),
            (several, _, _) => {
                let made = |index: &usize| graph.nodes[*index].output(0).map_or("", |output| graph.name(output));
                let title = |index: &usize| format!("the {} that makes `{}`", graph.nodes[*index].title(), made(index));
                Err(ambiguous(text, &several.iter().map(title).collect::<Vec<_>>()))
            }
        }
    }

    fn unknown(&self, graph: &Graph, text: &str) -> Diagnostic {
        let nodes = graph.nodes.iter().map(|node| node.name.as_str());
        let values = graph.nodes.iter().flat_map(|node| node.outputs.iter().flatten()).map(|value| graph.name(*value));
        let inputs = graph.inputs.iter().map(|value| graph.name(*value));
        let modules = self.modules.keys().map(String::as_str);
        let known: Vec<&str> =
            modules.chain(nodes).chain(values).chain(inputs).filter(|name| !name.is_empty()).collect();
        let near = nearest(text, known.iter().copied());
        let diagnostic =
            Diagnostic::error(Code::NodeUnknown, format!("the model has no node, value or module `{text}`"));
        if !near.is_empty() {
            return diagnostic.help(format!("did you mean {}? `pipe inspect MODEL --nodes` lists all", either(&near)));
        }
        let mut top: Vec<String> = self.modules.keys().filter(|path| !path.contains('.')).cloned().collect();
        if top.is_empty() {
            top = graph
                .nodes
                .iter()
                .rev()
                .map(|node| node.name.clone())
                .filter(|name| !name.is_empty() && !is_generated(name))
                .collect();
        }
        top.truncate(8);
        let top: Vec<String> = top.iter().map(|name| format!("`{name}`")).collect();
        let shown = if top.is_empty() { String::new() } else { format!("; it has {}", top.join(", ")) };
        diagnostic.help(format!("`pipe inspect MODEL --nodes` lists all names{shown}"))
    }
}

fn exists(graph: &Graph, value: ValueId) -> bool {
    graph.inputs.contains(&value)
        || graph.initializers.contains_key(&value)
        || graph.nodes.iter().any(|node| node.outputs.contains(&Some(value)))
}

fn ambiguous(text: &str, things: &[String]) -> Diagnostic {
    let mut diagnostic =
        Diagnostic::error(Code::NodeAmbiguous, format!("`{text}` means {} things in the model", things.len()));
    for thing in things.iter().take(8) {
        diagnostic = diagnostic.note(thing.clone());
    }
    diagnostic.help("name the value or the module path that only one of them has; `pipe inspect` lists them")
}
