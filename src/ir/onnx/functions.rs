//! Inlines the functions that a model defines for itself.
//!
//! A called body is copied with its inner names prefixed by the name of the call; what it copies is counted, since a few nested
//! functions can stand for more nodes than there is memory.

use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::read::domain;
use crate::diag::{Code, Diagnostic, Result};
use prost::Message;
use std::collections::BTreeMap;

/// Deepest chain of calls.
const DEPTH: usize = 64;
/// Most memory that inlining may take.
const BUDGET: usize = 1 << 29;
/// What a node takes in memory beside its contents, as a rough guess.
const NODE: usize = 1 << 10;

type Key = (String, String, String);

/// The functions of a model.
#[derive(Debug, Default)]
pub(super) struct Functions {
    by_key: BTreeMap<Key, (FunctionProto, i64)>,
    copied: usize,
}

/// The version of the standard domain among imports; 0 when it is not imported.
pub(super) fn standard_version(imports: &[OperatorSetIdProto]) -> i64 {
    imports
        .iter()
        .filter(|import| domain(import.domain()).is_empty())
        .map(OperatorSetIdProto::version)
        .max()
        .unwrap_or(0)
}

impl Functions {
    /// Takes the functions out of a model.
    pub(super) fn take(model: &mut ModelProto) -> Result<Self> {
        let mut by_key = BTreeMap::new();
        for function in std::mem::take(&mut model.functions) {
            let key =
                (domain(function.domain()).to_owned(), function.name().to_owned(), function.overload().to_owned());
            let version = standard_version(&function.opset_import);
            if let Some((twin, _)) = by_key.insert(key, (function, version)) {
                let text = format!("the function `{}` is defined twice", twin.name());
                return Err(Diagnostic::error(Code::ModelInvalid, text));
            }
        }
        Ok(Self { by_key, copied: 0 })
    }

    /// The nodes with every call replaced by the nodes that it stands for, each with the version of its standard domain.
    pub(super) fn inline(&mut self, nodes: Vec<NodeProto>, version: i64) -> Result<Vec<(NodeProto, i64)>> {
        let mut out = Vec::with_capacity(nodes.len());
        if self.by_key.is_empty() {
            out.extend(nodes.into_iter().map(|node| (node, version)));
            return Ok(out);
        }
        self.expand(nodes, version, 0, &mut out)?;
        Ok(out)
    }

    fn expand(
        &mut self,
        nodes: Vec<NodeProto>,
        version: i64,
        depth: usize,
        out: &mut Vec<(NodeProto, i64)>,
    ) -> Result<()> {
        for mut node in nodes {
            let key = (domain(node.domain()).to_owned(), node.op_type().to_owned(), node.overload().to_owned());
            for body in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
                self.expand_body(body, version, depth)?;
            }
            let Some((function, own)) = self.by_key.get(&key).map(|(function, own)| (function.clone(), *own)) else {
                out.push((node, version));
                continue;
            };
            self.copied = self.copied.saturating_add(function.encoded_len() + NODE * function.node.len());
            if depth >= DEPTH || self.copied > BUDGET {
                let text = format!("the function `{}` calls itself or grows without end", function.name());
                return Err(Diagnostic::error(Code::ModelInvalid, text));
            }
            // A function without standard nodes need not import the standard domain.
            let inner = if own == 0 { version } else { own };
            self.expand(instantiate(&function, &node)?, inner, depth + 1, out)?;
        }
        Ok(())
    }

    fn expand_body(&mut self, body: &mut GraphProto, version: i64, depth: usize) -> Result<()> {
        let mut out = Vec::new();
        self.expand(std::mem::take(&mut body.node), version, depth, &mut out)?;
        for (node, own) in out {
            if own != version && domain(node.domain()).is_empty() {
                let text = format!("a body calls a function of opset {own} inside a model of opset {version}");
                return Err(Diagnostic::error(Code::NotSupported, text).help("inline the functions before exporting"));
            }
            body.node.push(node);
        }
        Ok(())
    }
}

/// The nodes of a function with the names and attributes of one call.
fn instantiate(function: &FunctionProto, call: &NodeProto) -> Result<Vec<NodeProto>> {
    let label = [call.name(), call.output.first().map_or("", String::as_str), function.name()];
    let prefix = format!("{}/", label.into_iter().find(|name| !name.is_empty()).unwrap_or("call"));
    if call.input.len() > function.input.len() || call.output.len() > function.output.len() {
        let text =
            format!("the call `{}` has more inputs or outputs than its function `{}`", call.name(), function.name());
        return Err(Diagnostic::error(Code::ModelInvalid, text));
    }
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (index, formal) in function.input.iter().enumerate() {
        names.insert(formal.clone(), call.input.get(index).cloned().unwrap_or_default());
    }
    let mut nodes = Vec::with_capacity(function.node.len());
    let mut passed = Vec::new();
    for (formal, actual) in function.output.iter().zip(&call.output).filter(|(_, actual)| !actual.is_empty()) {
        match names.get(formal) {
            // What a function hands through needs a node of its own to make the second name.
            Some(source) => passed.push(NodeProto {
                name: Some(format!("{prefix}{formal}")),
                op_type: Some("Identity".to_owned()),
                input: vec![source.clone()],
                output: vec![actual.clone()],
                ..NodeProto::default()
            }),
            None => {
                names.insert(formal.clone(), actual.clone());
            }
        }
    }
    let scope = Scope { names: &names, prefix: &prefix, call, function };
    for node in &function.node {
        let mut node = node.clone();
        scope.node(&mut node);
        for property in &call.metadata_props {
            if node.metadata_props.iter().all(|own| own.key() != property.key()) {
                node.metadata_props.push(property.clone());
            }
        }
        nodes.push(node);
    }
    nodes.extend(passed);
    Ok(nodes)
}

/// What names and attribute references inside a function mean for one call.
struct Scope<'a> {
    names: &'a BTreeMap<String, String>,
    prefix: &'a str,
    call: &'a NodeProto,
    function: &'a FunctionProto,
}

impl Scope<'_> {
    fn rename(&self, name: &mut String) {
        if let Some(actual) = self.names.get(name) {
            name.clone_from(actual);
        } else if !name.is_empty() {
            name.insert_str(0, self.prefix);
        }
    }

    fn node(&self, node: &mut NodeProto) {
        node.input.iter_mut().chain(&mut node.output).for_each(|name| self.rename(name));
        if let Some(name) = node.name.as_mut() {
            name.insert_str(0, self.prefix);
        }
        node.attribute =
            std::mem::take(&mut node.attribute).into_iter().filter_map(|attr| self.attribute(attr)).collect();
    }

    /// The attribute with its reference resolved; one that the call leaves open is left out.
    fn attribute(&self, mut attribute: AttributeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name().is_empty() {
            let wanted = attribute.ref_attr_name();
            let given = self.call.attribute.iter().chain(&self.function.attribute_proto).find(|a| a.name() == wanted);
            let mut given = given?.clone();
            given.name = attribute.name.take();
            return Some(given);
        }
        if let Some(body) = attribute.g.as_mut() {
            self.body(body);
        }
        attribute.graphs.iter_mut().for_each(|body| self.body(body));
        Some(attribute)
    }

    fn body(&self, body: &mut GraphProto) {
        for info in body.input.iter_mut().chain(&mut body.output).chain(&mut body.value_info) {
            if let Some(name) = info.name.as_mut() {
                self.rename(name);
            }
        }
        for name in body.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut()) {
            self.rename(name);
        }
        body.node.iter_mut().for_each(|node| self.node(node));
    }
}
