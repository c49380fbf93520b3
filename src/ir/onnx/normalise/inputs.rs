//! Attributes that became inputs, and the like.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, DType, Node, Tensor, ValueId};

/// Squeeze, Unsqueeze and the reductions: `axes` becomes the second input.
pub(super) fn axes(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if let Some(Attr::Ints(axes)) = node.attrs.remove("axes") {
        let axes = site.constant("axes", Tensor::vector(&axes));
        node.inputs.truncate(1);
        node.inputs.push(Some(axes));
    }
    site.keep(node);
    Ok(())
}

/// Clip: `min` and `max` become inputs.
pub(super) fn clip(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let x = Site::required(&node, 0)?;
    node.inputs.truncate(1);
    for name in ["min", "max"] {
        let bound = match node.attrs.remove(name) {
            // The defaults of the old form: the range of the type.
            Some(Attr::Float(bound)) if bound.abs() < f32::MAX => Some(site.float_like(name, x, f64::from(bound))),
            _ => None,
        };
        node.inputs.push(bound);
    }
    site.keep(node);
    Ok(())
}

/// Dropout: `ratio` becomes an input. The old form is the one of inference, which the new one is without its third input.
pub(super) fn dropout(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if let Some(mask) = node.output(1).filter(|_| site.version < 10) {
        if !site.unread(mask) {
            return Err(site.refuse(&node, "has a mask that is read, and masks were not bool then"));
        }
        node.outputs.truncate(1);
    }
    let x = Site::required(&node, 0)?;
    let ratio = f64::from(node.float("ratio", 0.5));
    node.attrs.remove("ratio");
    node.inputs.truncate(1);
    let ratio = site.float_like("ratio", x, ratio);
    node.inputs.push(Some(ratio));
    site.keep(node);
    Ok(())
}

/// Pad: `pads` and `value` become inputs.
pub(super) fn pad(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let x = Site::required(&node, 0)?;
    let Some(Attr::Ints(pads)) = node.attrs.remove("pads") else {
        return Err(site.refuse(&node, "has no `pads`"));
    };
    let value = node.float("value", 0.0);
    node.attrs.remove("value");
    node.inputs.truncate(1);
    let pads = site.constant("pads", Tensor::vector(&pads));
    node.inputs.push(Some(pads));
    if value != 0.0 {
        let value = site.float_like("value", x, f64::from(value));
        node.inputs.push(Some(value));
    }
    site.keep(node);
    Ok(())
}

/// Slice: starts, ends and axes become inputs.
pub(super) fn slice(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let (Some(Attr::Ints(starts)), Some(Attr::Ints(ends))) = (node.attrs.remove("starts"), node.attrs.remove("ends"))
    else {
        return Err(site.refuse(&node, "has no `starts` or `ends`"));
    };
    node.inputs.truncate(1);
    let axes = node.attrs.remove("axes");
    for (what, values) in [("starts", Some(starts)), ("ends", Some(ends)), ("axes", axes.and_then(ints))] {
        let input = values.map(|values| site.constant(what, Tensor::vector(&values)));
        node.inputs.push(input);
    }
    site.keep(node);
    Ok(())
}

fn ints(attr: Attr) -> Option<Vec<i64>> {
    match attr {
        Attr::Ints(values) => Some(values),
        _ => None,
    }
}

/// Split: `split` becomes an input; without it the number of parts is stated.
pub(super) fn split(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if let Some(Attr::Ints(parts)) = node.attrs.remove("split") {
        let parts = site.constant("split", Tensor::vector(&parts));
        node.inputs.truncate(1);
        node.inputs.push(Some(parts));
    }
    if node.input(1).is_none() {
        node.attrs.insert("num_outputs".to_owned(), Attr::Int(node.outputs.len() as i64));
    }
    site.keep(node);
    Ok(())
}

/// `TopK`: `k` becomes an input.
pub(super) fn top_k(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let k = node.int("k", 0);
    node.attrs.remove("k");
    node.inputs.truncate(1);
    let k = site.constant("k", Tensor::vector(&[k]));
    node.inputs.push(Some(k));
    site.keep(node);
    Ok(())
}

/// Scatter has another name.
pub(super) fn scatter(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    "ScatterElements".clone_into(&mut node.op);
    site.keep(node);
    Ok(())
}

/// Floats of a constant, when the value is one.
pub(super) fn constant_floats(site: &Site<'_>, value: Option<ValueId>) -> Option<Vec<f32>> {
    let tensor = site.graph.constant(value?)?;
    match tensor.dtype() {
        DType::F32 => tensor.to_vec(),
        _ => None,
    }
}
