//! Movements that keep or repeat elements: DepthToSpace, Expand, Flatten, Reshape, SpaceToDepth, Squeeze, Tile, Transpose,
//! Unsqueeze.

use super::{Ctx, Gradients, Rule};
use crate::ir::Attr;

pub(super) const RULES: &[Rule] = &[
    Rule::new("DepthToSpace", depth_to_space),
    Rule::new("Expand", |ctx| Ok(vec![Some(ctx.dy0()?)])).broadcast().stops(&[1]),
    Rule::new("Flatten", reshaped),
    Rule::new("Reshape", reshaped).stops(&[1]),
    Rule::new("SpaceToDepth", |ctx| {
        let (dy, block) = (ctx.dy0()?, ctx.node.int("blocksize", 1));
        Ok(vec![Some(ctx.b.op_with("DepthToSpace", &[dy], &[("blocksize", Attr::Int(block))]))])
    }),
    Rule::new("Squeeze", reshaped).stops(&[1]),
    Rule::new("Tile", tile).stops(&[1]),
    Rule::new("Transpose", transpose),
    Rule::new("Unsqueeze", reshaped).stops(&[1]),
];

fn reshaped(ctx: &mut Ctx) -> Gradients {
    let (dy, shape) = (ctx.dy0()?, ctx.x_shape(0)?);
    Ok(vec![Some(ctx.b.reshape_to(dy, &shape))])
}

/// The inverse permutation.
fn transpose(ctx: &mut Ctx) -> Gradients {
    let (dy, rank) = (ctx.dy0()?, ctx.x_shape(0)?.len());
    let perm = match ctx.node.ints("perm") {
        Some(perm) => ctx.axes(perm, rank)?,
        None => (0..rank as i64).rev().collect(),
    };
    let mut inverse = vec![0; rank];
    for (to, from) in perm.iter().enumerate() {
        inverse[*from as usize] = to as i64;
    }
    Ok(vec![Some(ctx.b.transpose(dy, &inverse))])
}

/// Copies are summed: each dimension is split into (copies, size).
fn tile(ctx: &mut Ctx) -> Gradients {
    let (dy, shape) = (ctx.dy0()?, ctx.x_shape(0)?);
    let Some(repeats) = ctx.constant_ints(1)? else { return Err(ctx.invalid("it has no repeats".to_owned())) };
    if repeats.len() != shape.len() || repeats.iter().any(|r| *r < 0) {
        return Err(ctx.invalid(format!("repeats {repeats:?} for the shape {shape:?}")));
    }
    let mut split = Vec::with_capacity(2 * shape.len());
    let mut axes = Vec::new();
    for (axis, (size, copies)) in shape.iter().zip(&repeats).enumerate() {
        split.extend([*copies as usize, *size]);
        if *copies != 1 {
            axes.push(2 * axis as i64);
        }
    }
    if axes.is_empty() {
        return Ok(vec![Some(dy)]);
    }
    let parts = ctx.b.reshape_to(dy, &split);
    let summed = ctx.b.reduce_sum(parts, &axes, true);
    Ok(vec![Some(ctx.b.reshape_to(summed, &shape))])
}

/// SpaceToDepth inverts the mode DCR; CRD (pixel shuffle) is inverted by reshape, transpose, reshape.
fn depth_to_space(ctx: &mut Ctx) -> Gradients {
    let (dy, shape, block) = (ctx.dy0()?, ctx.x_shape(0)?, ctx.node.int("blocksize", 1));
    let dx = match ctx.node.text("mode").unwrap_or("DCR") {
        "DCR" => ctx.b.op_with("SpaceToDepth", &[dy], &[("blocksize", Attr::Int(block))]),
        "CRD" => {
            let [n, c, h, w] = shape[..] else { return Err(ctx.invalid(format!("shape {shape:?}"))) };
            let Some(side) = usize::try_from(block).ok().filter(|b| *b > 0 && c % (b * b) == 0) else {
                return Err(ctx.invalid(format!("blocksize {block} for {c} channels")));
            };
            let split = ctx.b.reshape_to(dy, &[n, c / (side * side), h, side, w, side]);
            let moved = ctx.b.transpose(split, &[0, 1, 3, 5, 2, 4]);
            ctx.b.reshape_to(moved, &shape)
        }
        mode => return Err(ctx.unsupported(format!("mode `{mode}`"))),
    };
    Ok(vec![Some(dx)])
}
