//! The data input of a network: which it is, and the sizes of its samples.

use super::network::BATCH;
use crate::diag::{Code, Diagnostic, Result, either, nearest};
use crate::ir::{DType, Dim, Graph, TensorType, ValueId};
use crate::spec::{Model, join};

/// A graph with nothing but its input.
pub(super) fn bare(model: &Model) -> Result<Graph> {
    let mut graph = Graph::default();
    "pipe".clone_into(&mut graph.name);
    graph.opsets.insert(String::new(), crate::ir::OPSET);
    let mut roles = model.input.iter();
    let (Some((role, shape)), None) = (roles.next(), roles.next()) else {
        return Err(Diagnostic::error(Code::NotSupported, "a network built from layers has exactly one input")
            .at("/model/input", ""));
    };
    let mut dims = vec![Dim::Symbol(BATCH.to_owned())];
    dims.extend(shape.iter().map(|d| Dim::Known(*d)));
    graph.add_input(role, TensorType { dtype: DType::F32, dims });
    Ok(graph)
}

/// The input that data feeds.
pub(super) fn data_input(graph: &Graph, model: &Model) -> Result<ValueId> {
    let names: Vec<&str> = graph.inputs.iter().map(|input| graph.name(*input)).collect();
    if model.inputs.len() > 1 {
        return Err(Diagnostic::error(
            Code::NotSupported,
            "models fed by several data inputs are not run by this version",
        )
        .at("/model/inputs", ""));
    }
    if let Some((role, name)) = model.inputs.iter().next() {
        let found = graph.find(name).filter(|value| graph.inputs.contains(value));
        return found.ok_or_else(|| {
            let label = match nearest(name, names.iter().copied()).first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => "not an input of the model".to_owned(),
            };
            Diagnostic::error(Code::InputRole, format!("the model has no input `{name}`"))
                .at(join("/model/inputs", role), label)
                .help(format!("its inputs are: {}", names.join(", ")))
        });
    }
    match graph.inputs.as_slice() {
        [only] => Ok(*only),
        _ => Err(Diagnostic::error(
            Code::InputRole,
            format!("the model has {} inputs: {}", names.len(), names.join(", ")),
        )
        .at("/model/source", "")
        .help("say which one the data feeds, such as `inputs: {image: NAME}`")),
    }
}

/// Gives the input a free batch dimension and fixed others; those that the model leaves open are the sample's.
pub(super) fn free_input(
    graph: &mut Graph,
    input: ValueId,
    model: &Model,
    sample: Option<&[usize]>,
) -> Result<Vec<usize>> {
    let name = graph.name(input).to_owned();
    let Some(ty) = graph.ty(input) else {
        return Err(Diagnostic::error(Code::ModelInvalid, format!("input `{name}` has no type")));
    };
    if ty.dims.is_empty() {
        return Err(Diagnostic::error(
            Code::InputRole,
            format!("input `{name}` is a scalar and has no batch dimension"),
        ));
    }
    let symbols: Vec<&str> = ty
        .dims
        .iter()
        .skip(1)
        .filter_map(|dim| match dim {
            Dim::Symbol(name) if !name.is_empty() => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if let Some(name) = model.shape.keys().find(|name| !symbols.contains(&name.as_str())) {
        return Err(no_dimension(name, &symbols));
    }
    let mut shape = Vec::new();
    let mut unknown = Vec::new();
    for (axis, dim) in ty.dims.iter().enumerate().skip(1) {
        let given = sample.filter(|sample| sample.len() + 1 == ty.dims.len()).map(|sample| sample[axis - 1]);
        match dim {
            Dim::Known(size) => shape.push(*size),
            Dim::Symbol(symbol) => match model.shape.get(symbol).copied().or(given) {
                Some(size) => shape.push(size),
                None => unknown.push(if symbol.is_empty() { format!("axis {axis}") } else { format!("`{symbol}`") }),
            },
        }
    }
    if !unknown.is_empty() {
        return Err(Diagnostic::error(
            Code::ShapeMismatch,
            format!("input `{name}` has free dimensions: {}", unknown.join(", ")),
        )
        .at("/model/source", "")
        .help("give them with `shape: {NAME: SIZE}`, or end the transforms in a fixed size"));
    }
    let mut dims = vec![Dim::Symbol(BATCH.to_owned())];
    dims.extend(shape.iter().map(|d| Dim::Known(*d)));
    let ty = TensorType { dtype: ty.dtype, dims };
    graph.set_type(input, Some(ty));
    if graph.inputs.len() > 1 {
        let others: Vec<&str> =
            graph.inputs.iter().filter(|other| **other != input).map(|other| graph.name(*other)).collect();
        return Err(Diagnostic::error(Code::InputRole, format!("no data feeds {}", others.join(", ")))
            .help("models fed by several data inputs are not run by this version"));
    }
    Ok(shape)
}

/// A size for a dimension that the input does not leave open.
fn no_dimension(name: &str, symbols: &[&str]) -> Diagnostic {
    let label = match nearest(name, symbols.iter().copied()).first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => "not left open by the model".to_owned(),
    };
    let error = Diagnostic::error(Code::UnknownName, format!("the model's input has no free dimension `{name}`"));
    let error = error.at_key(join("/model/shape", name), label);
    match symbols {
        [] => error.help("all its dimensions but the batch are fixed: leave `shape` out"),
        symbols => error.help(format!("its free dimensions are: {}", either(symbols))),
    }
}
