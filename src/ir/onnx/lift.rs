//! Takes the weights of bodies (`If`, `Loop`, `Scan`) out: they become initializers of the graph around, which the bodies read by name.
//! A weight is a parameter wherever its node stands, and only what the graph itself holds can be named, frozen and trained.

use super::external::External;
use super::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use super::read::{self, domain};
use super::{body, fold, tensor};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, DType, Graph, Tensor};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Takes the floats out of all bodies; other constants, such as axes, stay.
pub(super) fn weights(graph: &mut Graph) -> Result<()> {
    let mut bodies: Vec<(usize, String, GraphProto)> = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for (name, attr) in &node.attrs {
            if let Attr::Graph { bytes, .. } = attr {
                bodies.push((index, name.clone(), fold::body(bytes)?));
            }
        }
    }
    let mut lift = Lift { defined: BTreeMap::new(), graph };
    for (_, _, body) in &bodies {
        lift.count(body);
    }
    for (index, name, mut body) in bodies {
        let owner = owner(lift.graph, index);
        if lift.take(&mut body, &owner)? {
            let attr = Attr::Graph { captures: read::captures(&body), bytes: body.encode_to_vec() };
            lift.graph.nodes[index].attrs.insert(name, attr);
        }
    }
    Ok(())
}

fn owner(graph: &Graph, index: usize) -> String {
    let node = &graph.nodes[index];
    match node.output(0) {
        Some(output) if node.name.is_empty() => graph.name(output).to_owned(),
        _ => node.name.clone(),
    }
}

struct Lift<'g> {
    graph: &'g mut Graph,
    /// How many bodies define each name. Two branches may use one name for two things.
    defined: BTreeMap<String, usize>,
}

impl Lift<'_> {
    fn count(&mut self, body: &GraphProto) {
        let own = body.initializer.iter().map(TensorProto::name);
        let inputs = body.input.iter().map(ValueInfoProto::name);
        let made = body.node.iter().flat_map(|node| &node.output).map(String::as_str);
        for name in own.chain(inputs).chain(made) {
            *self.defined.entry(name.to_owned()).or_default() += 1;
        }
        for inner in body.node.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_ref()) {
            self.count(inner);
        }
    }

    /// Takes the floats of one body and of those inside it; says whether there were any.
    fn take(&mut self, body: &mut GraphProto, owner: &str) -> Result<bool> {
        let mut renamed = BTreeMap::new();
        let mut found: Vec<(String, Tensor)> = Vec::new();
        let given: Vec<String> = body.input.iter().map(|input| input.name().to_owned()).collect();
        let is_float = |proto: &TensorProto| DType::from_onnx(proto.data_type()).is_some_and(DType::is_float);
        for mut proto in std::mem::take(&mut body.initializer) {
            // A constant that is an input as well is the value for when nothing is fed. One without a name is refused where the body is read.
            if !is_float(&proto) || proto.name().is_empty() || given.iter().any(|name| name == proto.name()) {
                body.initializer.push(proto);
                continue;
            }
            found.push((proto.name().to_owned(), tensor::read(&mut proto, &mut External::new(None))?));
        }
        for mut node in std::mem::take(&mut body.node) {
            match constant(&mut node)? {
                Some(tensor) => found.push((node.output.first().cloned().unwrap_or_default(), tensor)),
                None => body.node.push(node),
            }
        }
        let mut own = BTreeSet::new();
        if let Some((name, _)) = found.iter().find(|(name, _)| !own.insert(name.as_str())) {
            let text = format!("a body of `{owner}` has two constants named `{name}`");
            return Err(Diagnostic::error(Code::ModelInvalid, text));
        }
        let mut changed = !found.is_empty();
        for (name, tensor) in found {
            // An output must be made inside.
            let output = body.output.iter().any(|output| output.name() == name);
            let hint = if output { self.below(owner, &name) } else { self.unused(owner, &name) };
            let value = self.graph.add_initializer(&hint, tensor);
            let outer = self.graph.name(value).to_owned();
            if output {
                let op_type = Some("Identity".to_owned());
                let node = NodeProto { op_type, input: vec![outer], output: vec![name], ..NodeProto::default() };
                body.node.insert(0, node);
            } else if outer != name {
                renamed.insert(name, outer);
            }
        }
        for inner in body.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|held| held.g.as_mut()) {
            changed |= self.take(inner, owner)?;
        }
        if !renamed.is_empty() {
            body::rename(body, &renamed);
        }
        Ok(changed)
    }

    /// Its own name where no other body has a thing of that name, else one below its owner's.
    fn unused(&self, owner: &str, name: &str) -> String {
        let once = self.defined.get(name).is_none_or(|count| *count < 2);
        if once && self.graph.find(name).is_none() { name.to_owned() } else { self.below(owner, name) }
    }

    fn below(&self, owner: &str, name: &str) -> String {
        let mut hint = format!("{owner}/{name}");
        while self.defined.contains_key(&hint) || self.graph.find(&hint).is_some() {
            hint.push('~');
        }
        hint
    }
}

/// The floats of a `Constant` node.
fn constant(node: &mut NodeProto) -> Result<Option<Tensor>> {
    let unnamed = node.output.first().is_none_or(String::is_empty);
    if node.op_type() != "Constant" || !domain(node.domain()).is_empty() || unnamed {
        return Ok(None);
    }
    let Some(attribute) = node.attribute.first_mut() else { return Ok(None) };
    let name = attribute.name().to_owned();
    Ok(match (name.as_str(), attribute.t.as_mut()) {
        ("value", Some(proto)) if DType::from_onnx(proto.data_type()).is_some_and(DType::is_float) => {
            Some(tensor::read(proto, &mut External::new(None))?)
        }
        ("value_float", _) => attribute.f.map(Tensor::scalar),
        ("value_floats", _) => Some(Tensor::vector(&attribute.floats)),
        _ => None,
    })
}
