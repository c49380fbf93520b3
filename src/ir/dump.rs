//! Stable text of a graph: one line per input, initializer, node and output. Tests use it as their snapshot format.

use super::{Attr, Dim, Graph, TensorType, ValueId};
use std::fmt::Write;

impl Graph {
    /// The text.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        let name = |value: &Option<ValueId>| value.map_or("_".to_owned(), |value| self.name(value).to_owned());
        for input in &self.inputs {
            let _ = writeln!(out, "input {}: {}", self.name(*input), type_text(self.ty(*input).as_ref()));
        }
        for (id, tensor) in &self.initializers {
            let _ = writeln!(out, "const {}: {}{:?}", self.name(*id), tensor.dtype(), tensor.shape());
        }
        for node in &self.nodes {
            let outputs: Vec<String> = node.outputs.iter().map(name).collect();
            let inputs: Vec<String> = node.inputs.iter().map(name).collect();
            let _ = write!(out, "{} = {}({})", outputs.join(", "), node.title(), inputs.join(", "));
            for (key, attr) in &node.attrs {
                let _ = write!(out, " {key}={}", attr_text(attr));
            }
            out.push('\n');
        }
        for output in &self.outputs {
            let _ = writeln!(out, "output {}: {}", self.name(*output), type_text(self.ty(*output).as_ref()));
        }
        out
    }
}

fn type_text(ty: Option<&TensorType>) -> String {
    let Some(ty) = ty else { return "?".to_owned() };
    let dims: Vec<String> = ty
        .dims
        .iter()
        .map(|dim| match dim {
            Dim::Known(size) => size.to_string(),
            Dim::Symbol(name) if name.is_empty() => "?".to_owned(),
            Dim::Symbol(name) => name.clone(),
        })
        .collect();
    format!("{}[{}]", ty.dtype, dims.join(", "))
}

fn attr_text(attr: &Attr) -> String {
    match attr {
        Attr::Int(value) => value.to_string(),
        Attr::Float(value) => value.to_string(),
        Attr::Str(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Attr::Ints(values) => format!("{values:?}"),
        Attr::Floats(values) => format!("{values:?}"),
        Attr::Strs(values) => format!("{:?}", values.iter().map(|v| String::from_utf8_lossy(v)).collect::<Vec<_>>()),
        Attr::Tensor(tensor) => format!("{}{:?}", tensor.dtype(), tensor.shape()),
        Attr::Graph { bytes, .. } => format!("<graph of {} bytes>", bytes.len()),
    }
}
