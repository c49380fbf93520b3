//! LayerNormalization: x̂ = (x − μ)·r over the dimensions from `axis` on, y = γ·x̂ + β.
//!
//! dx = r·(g − mean g − x̂·mean(g·x̂)) with g = γ·dy. μ and r are the node's own outputs. In f32 the gradients are own operators: in standard
//! ones they pass a dozen times over the memory of a layer.
//! Source: Ba, Kiros, Hinton, "Layer normalization", 2016.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule, sum_to};
use crate::ir::{Attr, DOMAIN, DType, TensorType, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("LayerNormalization", layer_norm)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("LayerNormalization", "last axis", &[any(&[2, 3, 5]), any(&[5]), any(&[5])], |b, x| {
        b.op("LayerNormalization", x)
    }),
    case("LayerNormalization", "two axes, without bias", &[any(&[2, 3, 5]), any(&[3, 5])], |b, x| {
        b.op_with("LayerNormalization", x, &[("axis", Attr::Int(1)), ("epsilon", Attr::Float(1e-2))])
    }),
    case("LayerNormalization", "its own outputs in use", &[any(&[4, 6]), any(&[6]), any(&[6])], |b, x| {
        b.node("", "LayerNormalization", &[Some(x[0]), Some(x[1]), Some(x[2])], &[], 3)[0]
    }),
];

fn layer_norm(ctx: &mut Ctx) -> Gradients {
    if ctx.dy.iter().skip(1).any(Option::is_some) {
        return Err(
            ctx.unsupported("the loss depends on the mean or the deviation themselves; the first output is covered")
        );
    }
    let (dy, x, scale, shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?, ctx.x_shape(0)?);
    let axis = ctx.axis(-1, shape.len())?;
    let axes: Vec<i64> = (axis as i64..shape.len() as i64).collect();
    if ctx.x_shape(1)? == shape[axis..] && ctx.dtype(x) == DType::F32 {
        return own(ctx, &shape, axis);
    }
    let normal = if ctx.wants(0) || ctx.wants(1) {
        let (mean, inverse) = statistics(ctx, &shape, axis)?;
        let centred = ctx.b.sub(x, mean);
        Some((ctx.b.mul(centred, inverse), inverse))
    } else {
        None
    };
    let dx = normal.filter(|_| ctx.wants(0)).map(|(normal, inverse)| {
        let g = ctx.b.mul(dy, scale);
        let mean = ctx.b.reduce_mean(g, &axes, true);
        let product = ctx.b.mul(g, normal);
        let along = ctx.b.reduce_mean(product, &axes, true);
        let along = ctx.b.mul(normal, along);
        let centred = ctx.b.sub(g, mean);
        let rest = ctx.b.sub(centred, along);
        ctx.b.mul(rest, inverse)
    });
    let dscale = normal.filter(|_| ctx.wants(1)).map(|(normal, _)| ctx.b.mul(dy, normal));
    let dscale = dscale.map(|whole| summed(ctx, whole, &shape, 1)).transpose()?;
    let dbias = ctx.wants(2).then(|| summed(ctx, dy, &shape, 2)).transpose()?;
    Ok(vec![dx, dscale, dbias])
}

/// As own operators, where the scale has the dimensions that are normalised.
fn own(ctx: &mut Ctx, shape: &[usize], axis: usize) -> Gradients {
    let (dy, x, scale) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (mean, inverse) = statistics(ctx, shape, axis)?;
    let dx = ctx.wants(0).then(|| {
        let inputs = [dy, x, scale, mean, inverse].map(Some);
        ctx.b.node(DOMAIN, "LayerNormDataGrad", &inputs, &[], 1)[0]
    });
    let sums = (ctx.wants(1) || ctx.wants(2)).then(|| {
        let over = [("over", Attr::Int((shape.len() - axis) as i64))];
        ctx.b.node(DOMAIN, "LayerNormSums", &[dy, x, mean, inverse].map(Some), &over, 1)[0]
    });
    let row = |ctx: &mut Ctx, row: i64| {
        let sums = sums.filter(|_| ctx.wants(1 + row as usize))?;
        let row = ctx.b.slice(sums, &[row], &[row + 1], &[0], &[1]);
        Some(ctx.b.reshape_to(row, &shape[axis..]))
    };
    let (dscale, dbias) = (row(ctx, 0), row(ctx, 1));
    let dbias = dbias.map(|row| summed(ctx, row, &shape[axis..], 2)).transpose()?;
    Ok(vec![dx, dscale, dbias])
}

/// The gradient of an input that was broadcast to a shape.
fn summed(ctx: &mut Ctx, whole: ValueId, from: &[usize], input: usize) -> Result<ValueId> {
    let to = ctx.x_shape(input)?;
    Ok(sum_to(ctx.b, whole, from, &to))
}

/// Mean and inverse deviation. In f64 they are computed again, since the node's own are f32 (`stash_type`).
fn statistics(ctx: &mut Ctx, shape: &[usize], axis: usize) -> Result<(ValueId, ValueId)> {
    let x = ctx.x(0)?;
    if ctx.dtype(x) == DType::F32 {
        let kept: Vec<usize> = shape.iter().enumerate().map(|(i, size)| if i < axis { *size } else { 1 }).collect();
        let ty = TensorType::fixed(DType::F32, &kept);
        return Ok((ctx.extra_output(1, ty.clone()), ctx.extra_output(2, ty)));
    }
    let axes: Vec<i64> = (axis as i64..shape.len() as i64).collect();
    let epsilon = f64::from(ctx.node.float("epsilon", 1e-5));
    Ok(moments(ctx, x, &axes, epsilon))
}

/// Mean and inverse deviation over axes, kept as dimensions of size 1.
pub(super) fn moments(ctx: &mut Ctx, x: ValueId, axes: &[i64], epsilon: f64) -> (ValueId, ValueId) {
    let mean = ctx.b.reduce_mean(x, axes, true);
    let centred = ctx.b.sub(x, mean);
    let square = ctx.b.mul(centred, centred);
    let variance = ctx.b.reduce_mean(square, axes, true);
    let epsilon = ctx.scalar(x, epsilon);
    let shifted = ctx.b.add(variance, epsilon);
    let deviation = ctx.b.sqrt(shifted);
    (mean, ctx.b.reciprocal(deviation))
}
