//! Movements that keep or repeat elements: DepthToSpace, Expand, Flatten, Reshape, SpaceToDepth, Squeeze, Tile, Transpose,
//! Unsqueeze.

use super::case::{Case, any, case};
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

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("DepthToSpace", "DCR", &[any(&[1, 8, 2, 3])], |b, x| {
        b.op_with("DepthToSpace", x, &[("blocksize", Attr::Int(2))])
    }),
    case("DepthToSpace", "CRD", &[any(&[2, 9, 1, 2])], |b, x| {
        b.op_with("DepthToSpace", x, &[("blocksize", Attr::Int(3)), ("mode", Attr::Str(b"CRD".to_vec()))])
    }),
    case("Expand", "new and wider dimensions", &[any(&[3, 1])], |b, x| b.expand(x[0], &[2, 1, 4])),
    case("Flatten", "", &[any(&[2, 3, 1, 2])], |b, x| b.op_with("Flatten", x, &[("axis", Attr::Int(2))])),
    case("Reshape", "with a free dimension", &[any(&[2, 3, 4])], |b, x| b.reshape(x[0], &[0, -1])),
    case("SpaceToDepth", "", &[any(&[1, 2, 4, 6])], |b, x| {
        b.op_with("SpaceToDepth", x, &[("blocksize", Attr::Int(2))])
    }),
    case("Squeeze", "", &[any(&[2, 1, 3, 1])], |b, x| b.squeeze(x[0], &[1, -1])),
    case("Squeeze", "all", &[any(&[2, 1, 3, 1])], |b, x| b.op("Squeeze", x)),
    case("Tile", "", &[any(&[2, 1, 3])], |b, x| {
        let repeats = b.ints(&[2, 3, 1]);
        b.op("Tile", &[x[0], repeats])
    }),
    case("Transpose", "of rank 4", &[any(&[2, 3, 4, 1])], |b, x| b.transpose(x[0], &[2, 0, 3, 1])),
    case("Transpose", "reversed", &[any(&[2, 3, 4])], |b, x| b.op("Transpose", x)),
    case("Unsqueeze", "", &[any(&[2, 3])], |b, x| b.unsqueeze(x[0], &[0, -1])),
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
        mode => return Err(ctx.unsupported(format!("mode `{mode}`; DCR and CRD are covered"))),
    };
    Ok(vec![Some(dx)])
}
