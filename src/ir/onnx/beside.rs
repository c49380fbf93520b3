//! The files of external data that a model names, without reading them.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::diag::{Code, Diagnostic, Result};
use crate::world;
use prost::Message;
use std::collections::BTreeSet;
use std::path::Path;

/// Deepest nesting of bodies that is looked into.
const DEPTH: usize = 64;

/// Names of the files beside a model in which its tensors lie, sorted.
///
/// # Errors
/// `P0301` when the file is no ONNX model, `P0007` for a pointer of git-lfs, `P0002` when it cannot be read.
pub fn external_files(path: &Path) -> Result<Vec<String>> {
    let bytes = world::map(path)?;
    let model = ModelProto::decode(bytes.bytes()).map_err(|cause| {
        Diagnostic::error(Code::ModelRead, "the file is not an ONNX model, or it is cut short").note(cause.to_string())
    })?;
    let mut found = BTreeSet::new();
    if let Some(graph) = &model.graph {
        of_graph(graph, 0, &mut found);
    }
    for function in &model.functions {
        of_nodes(&function.node, 0, &mut found);
    }
    Ok(found.into_iter().collect())
}

fn of_graph(graph: &GraphProto, depth: usize, found: &mut BTreeSet<String>) {
    graph.initializer.iter().for_each(|tensor| of_tensor(tensor, found));
    for sparse in &graph.sparse_initializer {
        sparse.values.iter().chain(&sparse.indices).for_each(|tensor| of_tensor(tensor, found));
    }
    of_nodes(&graph.node, depth, found);
}

fn of_nodes(nodes: &[NodeProto], depth: usize, found: &mut BTreeSet<String>) {
    if depth < DEPTH {
        nodes.iter().flat_map(|node| &node.attribute).for_each(|attribute| of_attribute(attribute, depth, found));
    }
}

fn of_attribute(attribute: &AttributeProto, depth: usize, found: &mut BTreeSet<String>) {
    attribute.t.iter().chain(&attribute.tensors).for_each(|tensor| of_tensor(tensor, found));
    for sparse in attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors) {
        sparse.values.iter().chain(&sparse.indices).for_each(|tensor| of_tensor(tensor, found));
    }
    attribute.g.iter().chain(&attribute.graphs).for_each(|graph| of_graph(graph, depth + 1, found));
}

fn of_tensor(tensor: &TensorProto, found: &mut BTreeSet<String>) {
    let location = tensor.external_data.iter().find(|entry| entry.key() == "location");
    found.extend(location.map(|entry| entry.value().to_owned()).filter(|name| super::external::is_plain(name)));
}
