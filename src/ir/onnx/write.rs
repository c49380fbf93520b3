//! A [`Graph`] to messages.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};
use super::tensor;
use crate::ir::{Attr, Dim, Graph, Node, OPSET, TensorType, ValueId};
use prost::Message;
use std::collections::BTreeMap;

/// The IR version of opset 18.
const IR_VERSION: i64 = 8;

/// The message of a whole model.
pub(super) fn model(graph: &Graph) -> ModelProto {
    let mut opsets = graph.opsets.clone();
    opsets.insert(String::new(), OPSET);
    for node in &graph.nodes {
        // A domain that nobody versioned has, by custom, version 1.
        opsets.entry(node.domain.clone()).or_insert(1);
    }
    ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some(env!("CARGO_PKG_NAME").to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        opset_import: opsets
            .into_iter()
            .map(|(domain, version)| OperatorSetIdProto { domain: Some(domain), version: Some(version) })
            .collect(),
        graph: Some(self::graph(graph, 0)),
        metadata_props: properties(&graph.metadata),
        ..ModelProto::default()
    }
}

/// The message of a graph without its last `outside` inputs, which a body reads from around it.
pub(super) fn graph(graph: &Graph, outside: usize) -> GraphProto {
    let own = graph.inputs.len().saturating_sub(outside);
    let name = if graph.name.is_empty() { "graph" } else { &graph.name };
    GraphProto {
        name: Some(name.to_owned()),
        node: graph.nodes.iter().map(|node| self::node(graph, node)).collect(),
        initializer: graph.initializers.iter().map(|(id, value)| tensor::write(graph.name(*id), value)).collect(),
        input: graph.inputs[..own].iter().map(|id| value_info(graph, *id)).collect(),
        output: graph.outputs.iter().map(|id| value_info(graph, *id)).collect(),
        ..GraphProto::default()
    }
}

/// The message of a node.
pub(super) fn node(graph: &Graph, node: &Node) -> NodeProto {
    let names = |values: &[Option<ValueId>]| {
        values.iter().map(|value| value.map_or_else(String::new, |id| graph.name(id).to_owned())).collect()
    };
    NodeProto {
        name: (!node.name.is_empty()).then(|| node.name.clone()),
        op_type: Some(node.op.clone()),
        domain: (!node.domain.is_empty()).then(|| node.domain.clone()),
        input: names(&node.inputs),
        output: names(&node.outputs),
        attribute: node.attrs.iter().map(|(name, attr)| attribute(name, attr)).collect(),
        metadata_props: properties(&node.metadata),
        ..NodeProto::default()
    }
}

fn attribute(name: &str, attr: &Attr) -> AttributeProto {
    let mut proto = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let kind = match attr {
        Attr::Int(value) => {
            proto.i = Some(*value);
            AttributeType::Int
        }
        Attr::Float(value) => {
            proto.f = Some(*value);
            AttributeType::Float
        }
        Attr::Str(bytes) => {
            proto.s = Some(bytes.clone());
            AttributeType::String
        }
        Attr::Ints(values) => {
            proto.ints.clone_from(values);
            AttributeType::Ints
        }
        Attr::Floats(values) => {
            proto.floats.clone_from(values);
            AttributeType::Floats
        }
        Attr::Strs(values) => {
            proto.strings.clone_from(values);
            AttributeType::Strings
        }
        Attr::Tensor(value) => {
            proto.t = Some(tensor::write("", value));
            AttributeType::Tensor
        }
        Attr::Graph { bytes, .. } => {
            // The bytes were written by this module; were they not, the empty body is refused by whoever loads the model.
            proto.g = Some(GraphProto::decode(bytes.as_slice()).unwrap_or_default());
            AttributeType::Graph
        }
    };
    proto.r#type = Some(kind as i32);
    proto
}

fn properties(map: &BTreeMap<String, String>) -> Vec<StringStringEntryProto> {
    map.iter()
        .map(|(key, value)| StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) })
        .collect()
}

fn value_info(graph: &Graph, id: ValueId) -> ValueInfoProto {
    ValueInfoProto {
        name: Some(graph.name(id).to_owned()),
        r#type: graph.ty(id).as_ref().map(type_message),
        ..ValueInfoProto::default()
    }
}

fn type_message(ty: &TensorType) -> TypeProto {
    let dim = |dim: &Dim| {
        let value = match dim {
            Dim::Known(size) => Some(tensor_shape_proto::dimension::Value::DimValue(*size as i64)),
            Dim::Symbol(name) if name.is_empty() => None,
            Dim::Symbol(name) => Some(tensor_shape_proto::dimension::Value::DimParam(name.clone())),
        };
        tensor_shape_proto::Dimension { denotation: None, value }
    };
    let shape = TensorShapeProto { dim: ty.dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(ty.dtype as i32), shape: Some(shape) };
    TypeProto { denotation: None, value: Some(type_proto::Value::TensorType(tensor)) }
}
