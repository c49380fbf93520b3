//! Files written by hand, message by message.

mod hostile;
mod opsets;
mod runs;
mod structure;

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};
use super::{Loaded, decode, tensor, write};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, Graph, Node, Tensor};
use prost::Message;

/// A model under construction.
#[derive(Debug, Clone)]
struct Model(ModelProto);

impl Model {
    fn new(opset: i64) -> Self {
        let import = OperatorSetIdProto { domain: None, version: Some(opset) };
        let graph = GraphProto { name: Some("test".to_owned()), ..GraphProto::default() };
        Self(ModelProto {
            ir_version: Some(8),
            opset_import: vec![import],
            graph: Some(graph),
            ..ModelProto::default()
        })
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.0.graph.get_or_insert_default()
    }

    fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph().input.push(info(name, dims));
        self
    }

    fn output(mut self, name: &str) -> Self {
        self.graph().output.push(ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() });
        self
    }

    fn weight(mut self, name: &str, value: &Tensor) -> Self {
        self.graph().initializer.push(tensor::write(name, value));
        self
    }

    /// `op(inputs) -> outputs`, words between blanks; `_` is an omitted one.
    fn node(mut self, op: &str, inputs: &str, outputs: &str, attrs: &[(&str, Attr)]) -> Self {
        self.graph().node.push(node(op, inputs, outputs, attrs));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    fn load(&self) -> Result<Loaded> {
        decode(&self.bytes(), None)
    }

    fn graph_of(&self) -> Graph {
        self.load().expect("a valid model").graph
    }

    fn fails(&self) -> Diagnostic {
        self.load().expect_err("a broken model")
    }
}

fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |size: &i64| tensor_shape_proto::Dimension {
        denotation: None,
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*size)),
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(shape) };
    let ty = TypeProto { denotation: None, value: Some(type_proto::Value::TensorType(tensor)) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(ty), ..ValueInfoProto::default() }
}

fn node(op: &str, inputs: &str, outputs: &str, attrs: &[(&str, Attr)]) -> NodeProto {
    let mut graph = Graph::default();
    let mut values =
        |text: &str| text.split_whitespace().map(|word| (word != "_").then(|| graph.value(word))).collect();
    let node = Node {
        op: op.to_owned(),
        inputs: values(inputs),
        outputs: values(outputs),
        attrs: attrs.iter().map(|(name, attr)| ((*name).to_owned(), attr.clone())).collect(),
        ..Node::default()
    };
    write::node(&graph, &node)
}

fn text(value: &str) -> Attr {
    Attr::Str(value.as_bytes().to_vec())
}

/// The lines of a dump that are nodes.
fn nodes(graph: &Graph) -> Vec<String> {
    graph.dump().lines().filter(|line| line.contains(" = ")).map(ToOwned::to_owned).collect()
}

/// The integers of a constant.
fn ints(graph: &Graph, name: &str) -> Vec<i64> {
    graph.find(name).and_then(|id| graph.constant(id)).and_then(Tensor::to_ints).expect("an integer constant")
}

/// The floats of a constant.
fn floats(graph: &Graph, name: &str) -> Vec<f32> {
    graph.find(name).and_then(|id| graph.constant(id)).and_then(Tensor::to_vec).expect("a float constant")
}

/// A small network that has a bit of everything.
fn sample() -> Model {
    let body = |name: &str, op: &str| GraphProto {
        name: Some(name.to_owned()),
        node: vec![node(op, "h w2", name, &[])],
        output: vec![info(name, &[2, 4])],
        ..GraphProto::default()
    };
    let bytes = |graph: GraphProto| Attr::Graph { bytes: graph.encode_to_vec(), captures: Vec::new() };
    let mut model = Model::new(18)
        .input("x", &[2, 3])
        .input("w", &[3, 4])
        .weight("w", &Tensor::new([3, 4], &[0.5f32; 12]))
        .weight("w2", &Tensor::vector(&[1f32, 2.0, 3.0, 4.0]))
        .weight("half", &Tensor::from_bytes(crate::ir::DType::F16, vec![2], vec![0, 60, 0, 64]).expect("two halves"))
        .node("MatMul", "x w", "h", &[])
        .node("ReduceSum", "h", "sum", &[("keepdims", Attr::Int(0))])
        .node("Cast", "sum", "yes", &[("to", Attr::Int(9))])
        .node("If", "yes", "y", &[("then_branch", bytes(body("a", "Add"))), ("else_branch", bytes(body("b", "Mul")))])
        .node("Cast", "half", "z", &[("to", Attr::Int(1))])
        .output("y")
        .output("z");
    model.graph().node[0].metadata_props.push(super::proto::StringStringEntryProto {
        key: Some("namespace".to_owned()),
        value: Some("a: B/c: D".to_owned()),
    });
    model.0.metadata_props.push(super::proto::StringStringEntryProto {
        key: Some("author".to_owned()),
        value: Some("somebody".to_owned()),
    });
    model
}

fn code(error: &Diagnostic) -> Code {
    error.code()
}

/// An attribute that refers to one of the function around it.
fn reference(name: &str, of: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        ref_attr_name: Some(of.to_owned()),
        r#type: Some(AttributeType::Float as i32),
        ..AttributeProto::default()
    }
}

/// A tensor message whose fields disagree as the test wants.
fn raw(name: &str, kind: i32, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(kind),
        dims: dims.to_vec(),
        raw_data: Some(bytes.to_vec()),
        ..TensorProto::default()
    }
}
