//! Normalisation layers.

use super::{Site, fold};
use crate::diag::Result;
use crate::ir::{Attr, DType, Node, Tensor, ValueId};

/// `BatchNormalization` before 14: without `spatial`, and with outputs that only training had.
pub(super) fn batch(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if node.attrs.remove("spatial") == Some(Attr::Int(0)) {
        return Err(site.refuse(&node, "normalises every position on its own (`spatial` is 0)"));
    }
    if node.outputs.iter().skip(1).flatten().any(|output| !site.unread(*output)) {
        return Err(site.refuse(&node, "has statistics that are read"));
    }
    node.outputs.truncate(1);
    site.keep(node);
    Ok(())
}

/// `GroupNormalization` of 18 to 20: scale and bias by group, which is `InstanceNormalization` of the grouped tensor.
pub(super) fn group_18(site: &mut Site<'_>, node: Node) -> Result<()> {
    let (x, scale, bias) = (Site::required(&node, 0)?, Site::required(&node, 1)?, Site::required(&node, 2)?);
    let grouped = instance(site, &node, x, scale, bias)?;
    let shape = site.op("Shape", &[x], &[]);
    let Some(output) = node.output(0) else { return Ok(()) };
    site.op_to(output, "Reshape", &[grouped, shape], &[]);
    Ok(())
}

/// `GroupNormalization` of 21: scale and bias by channel.
pub(super) fn group_21(site: &mut Site<'_>, node: Node) -> Result<()> {
    let (x, scale, bias) = (Site::required(&node, 0)?, Site::required(&node, 1)?, Site::required(&node, 2)?);
    let groups = groups(site, &node)?;
    let (ones, zeros) = (by_group(site, "one", x, groups, 1.0), by_group(site, "zero", x, groups, 0.0));
    let grouped = instance(site, &node, x, ones, zeros)?;
    // [N, C, positions]: then the affine part needs no rank.
    let shape = site.op("Shape", &[x], &[]);
    let head = site.op("Shape", &[x], &[("end", Attr::Int(2))]);
    let rest = site.constant("rest", Tensor::vector(&[-1i64]));
    let flat = site.op("Concat", &[head, rest], &[("axis", Attr::Int(0))]);
    let by_channel = site.op("Reshape", &[grouped, flat], &[]);
    let axis = site.constant("axis", Tensor::vector(&[1i64]));
    let (scale, bias) = (site.op("Unsqueeze", &[scale, axis], &[]), site.op("Unsqueeze", &[bias, axis], &[]));
    let scaled = site.op("Mul", &[by_channel, scale], &[]);
    let moved = site.op("Add", &[scaled, bias], &[]);
    let Some(output) = node.output(0) else { return Ok(()) };
    site.op_to(output, "Reshape", &[moved, shape], &[]);
    Ok(())
}

/// One number for every group, in the element type of `x`.
fn by_group(site: &mut Site<'_>, what: &str, x: ValueId, groups: i64, value: f64) -> ValueId {
    const MOST: i64 = 1 << 16;
    let element = site.dtype(x).and_then(|dtype| fold::float(dtype, value)).filter(|_| groups <= MOST);
    let vector = element.and_then(|element| {
        let bytes = element.bytes().repeat(groups as usize);
        Tensor::from_bytes(element.dtype(), vec![groups as usize], bytes)
    });
    if let Some(vector) = vector {
        site.constant(what, vector)
    } else {
        let one = site.float_like(what, x, value);
        let count = site.constant("groups", Tensor::vector(&[groups]));
        site.op("Expand", &[one, count], &[])
    }
}

fn groups(site: &Site<'_>, node: &Node) -> Result<i64> {
    match node.int("num_groups", 0) {
        groups if groups > 0 => Ok(groups),
        _ => Err(site.refuse(node, "has no `num_groups`")),
    }
}

/// `x` as [N, groups, rest], each group normalised.
fn instance(site: &mut Site<'_>, node: &Node, x: ValueId, scale: ValueId, bias: ValueId) -> Result<ValueId> {
    let groups = groups(site, node)?;
    let epsilon = node.float("epsilon", 1e-5);
    let shape = site.constant("grouped", Tensor::vector(&[0, groups, -1]));
    let x = site.op("Reshape", &[x, shape], &[]);
    Ok(site.op("InstanceNormalization", &[x, scale, bias], &[("epsilon", Attr::Float(epsilon))]))
}

/// `RMSNormalization`: x / √(mean(x²) + ε) · scale, the statistics in `stash_type`.
pub(super) fn rms(site: &mut Site<'_>, node: Node) -> Result<()> {
    let (x, scale) = (Site::required(&node, 0)?, Site::required(&node, 1)?);
    let axis = node.int("axis", -1);
    let axes: Vec<i64> = match (axis, site.rank(x)) {
        (..=-1, _) => (axis..0).collect(),
        (_, Some(rank)) => (axis..rank as i64).collect(),
        (_, None) => return Err(site.refuse(&node, "counts its axis from the front of a tensor of unknown rank")),
    };
    let Some(output) = node.output(0) else { return Ok(()) };
    let stash = DType::from_onnx(i32::try_from(node.int("stash_type", 1)).unwrap_or(0));
    let cast = stash.filter(|stash| site.dtype(x) != Some(*stash));
    let wide = match cast {
        Some(stash) => site.op("Cast", &[x], &[("to", Attr::Int(stash as i64))]),
        None => x,
    };
    let axes = site.constant("axes", Tensor::vector(&axes));
    let square = site.op("Mul", &[wide, wide], &[]);
    let mean = site.op("ReduceMean", &[square, axes], &[("keepdims", Attr::Int(1))]);
    let epsilon = site.float_like("epsilon", wide, f64::from(node.float("epsilon", 1e-5)));
    let shifted = site.op("Add", &[mean, epsilon], &[]);
    let root = site.op("Sqrt", &[shifted], &[]);
    let mut normal = site.op("Div", &[wide, root], &[]);
    if cast.is_some() {
        normal = site.op("CastLike", &[normal, x], &[]);
    }
    site.op_to(output, "Mul", &[normal, scale], &[]);
    Ok(())
}
