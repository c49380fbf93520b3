//! Messages to a [`Graph`] whose nodes still carry the opset of the file.

use super::external::External;
use super::order::{self, Versioned};
use super::proto::{
    AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_shape_proto::dimension, type_proto,
};
use super::tensor;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, DType, Dim, Graph, Node, Tensor, TensorType, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// A graph whose nodes stand apart, sorted, each with the opset of its domain.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Everything but the nodes.
    pub(super) graph: Graph,
    /// The nodes, in an order that can be executed.
    pub(super) nodes: Vec<Versioned>,
    /// Names that a body reads from outside; they stand behind its own inputs, untyped.
    pub(super) outside: Vec<String>,
}

fn invalid(text: String) -> Diagnostic {
    Diagnostic::error(Code::ModelInvalid, text)
}

/// Reads a graph. `nodes` are its nodes once functions are inlined; a `body` may read names that it does not define.
pub(super) fn graph(
    proto: &mut GraphProto,
    nodes: Vec<(NodeProto, i64)>,
    external: &mut External<'_>,
    body: bool,
) -> Result<Staged> {
    let mut staged = Staged::default();
    let graph = &mut staged.graph;
    proto.name().clone_into(&mut graph.name);
    for tensor_proto in &mut proto.initializer {
        let tensor = tensor::read(tensor_proto, external)?;
        add_initializer(graph, tensor_proto.name(), tensor)?;
    }
    for sparse in &mut proto.sparse_initializer {
        let (name, tensor) = tensor::read_sparse(sparse, external)?;
        add_initializer(graph, &name, tensor)?;
    }
    let mut seen = BTreeSet::new();
    for input in &proto.input {
        let name = input.name();
        if name.is_empty() || !seen.insert(name) {
            return Err(
                invalid(format!("the model has two inputs `{name}`")).help("every input needs a name of its own")
            );
        }
        let id = graph.value(name);
        // Before IR version 4 every initializer had to be an input as well.
        if !graph.initializers.contains_key(&id) {
            let ty = input_type(input, body)?;
            graph.inputs.push(id);
            graph.set_type(id, ty);
        }
    }
    let mut read_nodes = Vec::with_capacity(nodes.len());
    for (mut node_proto, version) in nodes {
        read_nodes.push((node(graph, &mut node_proto, external)?, version));
    }
    for info in proto.value_info.iter().chain(&proto.output) {
        if let Some(id) = graph.find(info.name()) {
            let known = graph.inputs.contains(&id) || graph.initializers.contains_key(&id);
            if !known && !info.name().is_empty() {
                graph.set_type(id, tensor_type(info.r#type.as_ref()));
            }
        }
    }
    if body {
        staged.outside = add_outside(graph, &read_nodes, proto);
    }
    staged.nodes = order::sort(&staged.graph, read_nodes)?;
    outputs(&mut staged, proto)?;
    Ok(staged)
}

fn outputs(staged: &mut Staged, proto: &GraphProto) -> Result<()> {
    let graph = &mut staged.graph;
    let mut known = vec![false; graph.value_count()];
    let made = staged.nodes.iter().flat_map(|(node, _)| node.outputs.iter().flatten());
    for id in made.chain(&graph.inputs).chain(graph.initializers.keys()) {
        known[id.0 as usize] = true;
    }
    for output in &proto.output {
        let found = graph.find(output.name()).filter(|id| known[id.0 as usize]);
        let id = found.ok_or_else(|| invalid(format!("nothing makes the output `{}`", output.name())))?;
        graph.outputs.push(id);
    }
    if graph.outputs.is_empty() {
        return Err(invalid(format!("graph `{}` has no outputs", graph.name)));
    }
    Ok(())
}

fn add_initializer(graph: &mut Graph, name: &str, tensor: Tensor) -> Result<()> {
    if name.is_empty() {
        return Err(invalid("an initializer has no name".to_owned()));
    }
    let id = graph.value(name);
    match graph.initializers.insert(id, tensor) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("two initializers are named `{name}`"))),
    }
}

/// Declares what a body reads from outside as further inputs, in order of first use.
fn add_outside(graph: &mut Graph, nodes: &[Versioned], proto: &GraphProto) -> Vec<String> {
    let mut known = vec![false; graph.value_count()];
    let made = nodes.iter().flat_map(|(node, _)| node.outputs.iter().flatten());
    for id in made.chain(&graph.inputs).chain(graph.initializers.keys()) {
        known[id.0 as usize] = true;
    }
    let mut outside = Vec::new();
    let reads = nodes.iter().flat_map(|(node, _)| graph.reads(node)).collect::<Vec<ValueId>>();
    let direct = proto.output.iter().filter(|output| !output.name().is_empty()).map(|output| output.name().to_owned());
    let reads: Vec<String> = reads.into_iter().map(|id| graph.name(id).to_owned()).chain(direct).collect();
    for name in reads {
        let id = graph.value(&name);
        known.resize(graph.value_count(), false);
        if !std::mem::replace(&mut known[id.0 as usize], true) {
            graph.inputs.push(id);
            outside.push(name);
        }
    }
    outside
}

fn input_type(input: &ValueInfoProto, body: bool) -> Result<Option<TensorType>> {
    let name = input.name();
    if body {
        return Ok(tensor_type(input.r#type.as_ref()));
    }
    match input.r#type.as_ref().and_then(|ty| ty.value.as_ref()) {
        Some(type_proto::Value::TensorType(_)) => {}
        Some(_) => {
            return Err(Diagnostic::error(Code::NotSupported, format!("input `{name}` is not a tensor"))
                .help("sequences, maps and optionals cannot be fed"));
        }
        None => return Err(invalid(format!("input `{name}` has no type"))),
    }
    match tensor_type(input.r#type.as_ref()) {
        Some(ty) => Ok(Some(ty)),
        None => Err(invalid(format!("input `{name}` has no shape or an element type that cannot be fed"))
            .help("export the model with typed inputs; free dimensions are fine, a free rank is not")),
    }
}

/// The tensor type of a message, when it has an element type and a rank.
pub(super) fn tensor_type(proto: Option<&TypeProto>) -> Option<TensorType> {
    let Some(type_proto::Value::TensorType(tensor)) = proto?.value.as_ref() else { return None };
    let dtype = DType::from_onnx(tensor.elem_type())?;
    let dim = |dim: &Option<dimension::Value>| match dim {
        Some(dimension::Value::DimValue(size)) => {
            usize::try_from(*size).map_or_else(|_| Dim::Symbol(String::new()), Dim::Known)
        }
        Some(dimension::Value::DimParam(name)) => Dim::Symbol(name.clone()),
        None => Dim::Symbol(String::new()),
    };
    let dims = tensor.shape.as_ref()?.dim.iter().map(|d| dim(&d.value)).collect();
    Some(TensorType { dtype, dims })
}

/// Free text by key.
pub(super) fn properties(entries: &[StringStringEntryProto]) -> BTreeMap<String, String> {
    entries.iter().map(|entry| (entry.key().to_owned(), entry.value().to_owned())).collect()
}

/// The standard domain has two spellings.
pub(super) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn node(graph: &mut Graph, proto: &mut NodeProto, external: &mut External<'_>) -> Result<Node> {
    if proto.op_type().is_empty() {
        return Err(invalid(format!("node `{}` has no operator", proto.name())));
    }
    let mut values = |names: &[String]| {
        let used = names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        names[..used].iter().map(|name| (!name.is_empty()).then(|| graph.value(name))).collect::<Vec<_>>()
    };
    let mut node = Node {
        name: proto.name().to_owned(),
        op: proto.op_type().to_owned(),
        domain: domain(proto.domain()).to_owned(),
        inputs: values(&proto.input),
        outputs: values(&proto.output),
        attrs: BTreeMap::new(),
        metadata: properties(&proto.metadata_props),
    };
    for attribute in &mut proto.attribute {
        let name = attribute.name().to_owned();
        let value = attr(attribute, external).map_err(|cause| cause.note(format!("in {}", order::title(&node))))?;
        if let Attr::Graph { captures, .. } = &value {
            for capture in captures {
                graph.value(capture);
            }
        }
        if node.attrs.insert(name.clone(), value).is_some() {
            return Err(invalid(format!("{} has the attribute `{name}` twice", order::title(&node))));
        }
    }
    Ok(node)
}

fn attr(proto: &mut AttributeProto, external: &mut External<'_>) -> Result<Attr> {
    use AttributeType::{Float, Floats, Graph, Int, Ints, String as Text, Strings, Tensor as Constant};
    let name = proto.name().to_owned();
    if !proto.ref_attr_name().is_empty() {
        return Err(invalid(format!("attribute `{name}` refers to an attribute of a function, outside of any")));
    }
    Ok(match kind(proto) {
        Int => Attr::Int(proto.i()),
        Float => Attr::Float(proto.f()),
        Text => Attr::Str(proto.s.take().unwrap_or_default()),
        Ints => Attr::Ints(std::mem::take(&mut proto.ints)),
        Floats => Attr::Floats(std::mem::take(&mut proto.floats)),
        Strings => Attr::Strs(std::mem::take(&mut proto.strings)),
        Constant => match proto.t.as_mut() {
            Some(constant) => Attr::Tensor(tensor::read(constant, external)?),
            None => return Err(invalid(format!("attribute `{name}` is a tensor without a value"))),
        },
        Graph => match proto.g.as_mut() {
            Some(body) => {
                embed(body, external)?;
                Attr::Graph { bytes: prost::Message::encode_to_vec(body), captures: captures(body) }
            }
            None => return Err(invalid(format!("attribute `{name}` is a graph without a value"))),
        },
        AttributeType::SparseTensor => match proto.sparse_tensor.as_mut() {
            Some(sparse) => Attr::Tensor(tensor::read_sparse(sparse, external)?.1),
            None => return Err(invalid(format!("attribute `{name}` is a tensor without a value"))),
        },
        other => {
            let text = format!("attribute `{name}` has the kind {other:?}");
            return Err(Diagnostic::error(Code::NotSupported, text));
        }
    })
}

/// The kind of an attribute; files of IR version 1 do not say it.
fn kind(proto: &AttributeProto) -> AttributeType {
    use AttributeType::{Float, Floats, Graph, Int, Ints, String as Text, Strings, Tensor as Constant, Undefined};
    match proto.r#type() {
        Undefined if proto.i.is_some() => Int,
        Undefined if proto.f.is_some() => Float,
        Undefined if proto.s.is_some() => Text,
        Undefined if proto.t.is_some() => Constant,
        Undefined if proto.g.is_some() => Graph,
        Undefined if !proto.floats.is_empty() => Floats,
        Undefined if !proto.strings.is_empty() => Strings,
        Undefined => Ints,
        known => known,
    }
}

/// Pulls external data into a body, since its bytes travel without the model's folder.
fn embed(body: &mut GraphProto, external: &mut External<'_>) -> Result<()> {
    let mut take = |proto: &mut super::proto::TensorProto| -> Result<()> {
        if !proto.external_data.is_empty() {
            let name = proto.name().to_owned();
            let full = tensor::read(proto, external)?;
            *proto = tensor::write(&name, &full);
        }
        Ok(())
    };
    for tensor_proto in &mut body.initializer {
        take(tensor_proto)?;
    }
    for attribute in body.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(tensor_proto) = attribute.t.as_mut() {
            take(tensor_proto)?;
        }
    }
    for attribute in body.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(inner) = attribute.g.as_mut() {
            embed(inner, external)?;
        }
    }
    Ok(())
}

/// Names that a body reads and does not define, in order of first use, without repeats.
pub(super) fn captures(body: &GraphProto) -> Vec<String> {
    let mut own: BTreeSet<&str> = BTreeSet::new();
    own.extend(body.input.iter().map(ValueInfoProto::name));
    own.extend(body.initializer.iter().map(super::proto::TensorProto::name));
    own.extend(
        body.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref()).map(super::proto::TensorProto::name),
    );
    own.extend(body.node.iter().flat_map(|node| &node.output).map(String::as_str));
    own.insert("");
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut add = |name: &str| {
        if !own.contains(name) && seen.insert(name.to_owned()) {
            found.push(name.to_owned());
        }
    };
    for node in &body.node {
        node.input.iter().for_each(|name| add(name));
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                for name in &captures(inner) {
                    add(name);
                }
            }
        }
    }
    body.output.iter().for_each(|output| add(output.name()));
    found
}
