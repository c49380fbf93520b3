//! Bodies of `If`, `Loop` and `Scan`: graphs inside an attribute.

use super::external::External;
use super::proto::GraphProto;
use super::{fold, normalise, read, write};
use crate::diag::Result;
use crate::ir::{Attr, Graph, OPSET};
use prost::Message;
use std::collections::BTreeMap;

/// A body.
#[derive(Debug, Clone)]
pub struct Body {
    /// Its graph at [`OPSET`]. Its last inputs are the values that it reads from around it.
    pub graph: Graph,
    /// The names of those values.
    pub outside: Vec<String>,
}

impl Body {
    /// Reads a body that [`super::decode`] brought to [`OPSET`].
    ///
    /// # Errors
    /// As [`super::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut proto = fold::body(bytes)?;
        let nodes = std::mem::take(&mut proto.node).into_iter().map(|node| (node, OPSET)).collect();
        let staged = read::graph(&mut proto, nodes, &mut External::new(None), true)?;
        let mut staged = normalise::normalise(staged)?;
        staged.graph.verify("normalise")?;
        Ok(Self { outside: std::mem::take(&mut staged.outside), graph: staged.graph })
    }

    /// The attribute that holds the body.
    pub fn encode(&self) -> Attr {
        Attr::Graph {
            bytes: write::graph(&self.graph, self.outside.len()).encode_to_vec(),
            captures: self.outside.clone(),
        }
    }
}

/// The body of an attribute, reading other names from around it.
///
/// # Errors
/// `P0301` when it cannot be decoded.
pub fn rename_captures(bytes: &[u8], names: &BTreeMap<String, String>) -> Result<Attr> {
    let mut proto = fold::body(bytes)?;
    rename(&mut proto, names);
    Ok(Attr::Graph { captures: read::captures(&proto), bytes: proto.encode_to_vec() })
}

/// Names are unique over a graph and its bodies, so that none of these is one of the body's own.
pub(super) fn rename(proto: &mut GraphProto, names: &BTreeMap<String, String>) {
    let replace = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()) {
            name.clone_from(new);
        }
    };
    for node in &mut proto.node {
        node.input.iter_mut().for_each(replace);
        node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()).for_each(|body| rename(body, names));
    }
    proto.output.iter_mut().filter_map(|output| output.name.as_mut()).for_each(replace);
}
