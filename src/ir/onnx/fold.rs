//! Turns weights that hide in nodes into initializers: `Constant`, `ConstantOfShape` of a constant shape, `Identity` of an initializer.

use super::order;
use super::proto::GraphProto;
use super::read::Staged;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, DType, Element, Node, Tensor, ValueId};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes that `ConstantOfShape` may fill in one model: a file of a few bytes can ask for any amount. What is beyond stays a node.
const FILL_LIMIT: usize = 1 << 30;

/// Folds what can be folded; values keep their names.
pub(super) fn constants(staged: &mut Staged) -> Result<()> {
    let captured = captured(staged);
    let graph = &mut staged.graph;
    let mut alias: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    let mut budget = FILL_LIMIT;
    let mut kept = Vec::with_capacity(staged.nodes.len());
    for (mut node, version) in std::mem::take(&mut staged.nodes) {
        for input in node.inputs.iter_mut().flatten() {
            if let Some(source) = alias.get(input) {
                *input = *source;
            }
        }
        let (Some(output), "") = (node.output(0), node.domain.as_str()) else {
            kept.push((node, version));
            continue;
        };
        let constant = match node.op.as_str() {
            "Constant" => constant(&node)?,
            "ConstantOfShape" => {
                let shape = node.input(0).and_then(|shape| graph.constant(shape)).and_then(Tensor::to_ints);
                match shape {
                    Some(shape) => filled(&node, &shape, &mut budget)?,
                    None => None,
                }
            }
            "Identity" => {
                let source = node.input(0).filter(|id| graph.initializers.contains_key(id));
                let tensor = source.and_then(|id| graph.constant(id)).cloned();
                match (source, tensor) {
                    // Exporters hide a merged copy of a vector behind Identity under its own name; a matrix stays tied to its source.
                    (Some(source), Some(tensor)) => {
                        let named = graph.outputs.contains(&output) || captured.contains(graph.name(output));
                        if tensor.shape().len() >= 2 && !named {
                            alias.insert(output, source);
                            continue;
                        }
                        (tensor.shape().len() < 2).then_some(tensor)
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        match constant {
            Some(tensor) => {
                graph.set_type(output, None);
                graph.initializers.insert(output, tensor);
            }
            None => kept.push((node, version)),
        }
    }
    staged.nodes = kept;
    Ok(())
}

/// Names that bodies read: their values must keep standing under these names.
fn captured(staged: &Staged) -> BTreeSet<String> {
    let bodies = staged.nodes.iter().flat_map(|(node, _)| node.bodies());
    bodies.flat_map(|(_, captures)| captures.iter().cloned()).collect()
}

/// The value of a `Constant` node; `None` for text, which stays a node.
fn constant(node: &Node) -> Result<Option<Tensor>> {
    let found = node.attrs.iter().find(|(name, _)| name.starts_with("value") || name.as_str() == "sparse_value");
    Ok(Some(match found.map(|(_, attr)| attr) {
        Some(Attr::Tensor(tensor)) => tensor.clone(),
        Some(Attr::Float(value)) => Tensor::scalar(*value),
        Some(Attr::Floats(values)) => Tensor::vector(values),
        Some(Attr::Int(value)) => Tensor::scalar(*value),
        Some(Attr::Ints(values)) => Tensor::vector(values),
        Some(Attr::Str(_) | Attr::Strs(_)) => return Ok(None),
        Some(Attr::Graph { .. }) | None => {
            let text = format!("{} has no value", order::title(node));
            return Err(Diagnostic::error(Code::ModelInvalid, text));
        }
    }))
}

/// The tensor of a `ConstantOfShape` node; `None` when it would be too large.
fn filled(node: &Node, shape: &[i64], budget: &mut usize) -> Result<Option<Tensor>> {
    let invalid = |text: &str| Diagnostic::error(Code::ModelInvalid, format!("{} {text}", order::title(node)));
    let default = Tensor::vector(&[0f32]);
    let value = match node.attrs.get("value") {
        None => &default,
        Some(Attr::Tensor(value)) if value.len() == 1 => value,
        Some(_) => return Err(invalid("has a value that is not one element")),
    };
    let dims: Option<Vec<usize>> = shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let dims = dims.ok_or_else(|| invalid(&format!("fills the shape {shape:?}")))?;
    let size = value.dtype().size();
    let bytes = dims.iter().try_fold(size, |n, d| n.checked_mul(*d)).filter(|bytes| *bytes <= *budget);
    // A zero hides absurd neighbours from the product.
    let sane = dims.iter().all(|dim| *dim <= FILL_LIMIT);
    let Some(bytes) = bytes.filter(|_| sane) else { return Ok(None) };
    *budget -= bytes;
    Ok(Tensor::from_bytes(value.dtype(), dims, value.bytes().repeat(bytes / size.max(1))))
}

/// A tensor of one float in a type that floats can have; `None` for other types.
pub(super) fn float(dtype: DType, value: f64) -> Option<Tensor> {
    match dtype {
        DType::F32 => Some(Tensor::scalar(value as f32)),
        DType::F64 => Some(Tensor::scalar(value)),
        DType::F16 => Tensor::from_bytes(dtype, Vec::new(), half_bits(value as f32).to_le_bytes().to_vec()),
        DType::Bf16 => {
            let mut bytes = Vec::new();
            ((f32::to_bits(value as f32) + 0x8000) >> 16).to_le_bytes()[..2]
                .iter()
                .for_each(|byte| byte.put(&mut bytes));
            Tensor::from_bytes(dtype, Vec::new(), bytes)
        }
        _ => None,
    }
}

/// The nearest half float; ties to even, too large to infinity.
fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude >= 0x4780_0000 {
        return sign | if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    }
    if magnitude < 0x3880_0000 {
        // Subnormal: scale so that the wanted bits are the integer part.
        let scaled = f64::from(f32::from_bits(magnitude)) * f64::from(1u32 << 24);
        return sign | scaled.round_ties_even() as u16;
    }
    let rounded = magnitude + 0x0fff + ((magnitude >> 13) & 1);
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

/// The body of an attribute that [`super::read`] encoded.
pub(super) fn body(bytes: &[u8]) -> Result<GraphProto> {
    GraphProto::decode(bytes)
        .map_err(|cause| Diagnostic::error(Code::ModelRead, "a body cannot be decoded").note(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_round_to_even() {
        let cases = [
            (0.0, 0),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (1e6, 0x7c00),
            (5.960_464_5e-8, 1),
            (0.1, 0x2e66),
        ];
        for (value, bits) in cases {
            assert_eq!(half_bits(value), bits, "{value}");
        }
        assert_eq!(half_bits(1.0 + 1.0 / 2048.0), 0x3c00);
        assert_eq!(half_bits(1.0 + 3.0 / 2048.0), 0x3c02);
    }
}
