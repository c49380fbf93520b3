//! RotaryEmbedding of ONNX Runtime's own domain: pairs of features turned by an angle that grows with the position.
//! Source: Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.

use super::super::case::{Case, any, case};
use super::heads::parts;
use super::{Ctx, Expanded, Expansion, contrib};
use crate::diag::Result;
use crate::ir::{Attr, Builder, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("RotaryEmbedding", expand)];

pub(super) const CASES: &[Case] = &[
    case("RotaryEmbedding", "from an offset", &[any(&[2, 3, 8]), any(&[6, 2]), any(&[6, 2])], |b, x| {
        let offset = b.constant(Tensor::vector(&[2i64]));
        rotary(b, x, offset, &[])
    }),
    case("RotaryEmbedding", "stated positions, interleaved", &[any(&[2, 3, 8]), any(&[6, 2]), any(&[6, 2])], |b, x| {
        let positions = b.constant(Tensor::new([2, 3], &[0i64, 1, 2, 3, 5, 5]));
        rotary(b, x, positions, &[("interleaved", Attr::Int(1))])
    }),
    case("RotaryEmbedding", "a part of each head", &[any(&[2, 3, 16]), any(&[6, 2]), any(&[6, 2])], |b, x| {
        let offset = b.constant(Tensor::vector(&[0i64]));
        rotary(b, x, offset, &[("num_heads", Attr::Int(2)), ("rotary_embedding_dim", Attr::Int(4))])
    }),
    case("RotaryEmbedding", "by heads", &[any(&[2, 4, 3, 6]), any(&[6, 3]), any(&[6, 3])], |b, x| {
        let positions = b.constant(Tensor::new([2, 3], &[0i64, 1, 2, 3, 5, 5]));
        rotary(b, x, positions, &[])
    }),
];

fn rotary(b: &mut Builder, x: &[ValueId], positions: ValueId, attrs: &[(&str, Attr)]) -> ValueId {
    contrib(b, "RotaryEmbedding", &[Some(x[0]), Some(positions), Some(x[1]), Some(x[2])], attrs, 1)[0]
}

fn expand(ctx: &mut Ctx) -> Expanded {
    if ctx.node.int("is_packed_batching", 0) != 0 {
        return Err(ctx.unsupported("`is_packed_batching` is set"));
    }
    if ctx.node.float("scale", 1.0) != 1.0 {
        return Err(ctx.unsupported("`scale` is not 1"));
    }
    let (x, positions) = (ctx.x(0)?, ctx.x(1)?);
    let (shape, places, cache) = (ctx.x_shape(0)?, ctx.x_shape(1)?, ctx.x_shape(2)?);
    let half = cache.last().copied().unwrap_or(0);
    let stated = usize::try_from(ctx.node.int("rotary_embedding_dim", 0)).unwrap_or(0);
    let heads = usize::try_from(ctx.node.int("num_heads", 0)).unwrap_or(0);
    // Always [batch, length, heads, width] inside.
    let (apart, length, width) = match *shape.as_slice() {
        [_, length, hidden] => {
            let width = if stated > 0 && heads > 0 { hidden / heads } else { 2 * half };
            (ctx.b.reshape(x, &[0, 0, -1, width as i64]), length, width)
        }
        [_, _, length, width] => (ctx.b.transpose(x, &[0, 2, 1, 3]), length, width),
        _ => return Err(ctx.invalid(format!("input of shape {shape:?}"))),
    };
    let positions = if places.iter().product::<usize>() == 1 {
        let steps: Vec<i64> = (0..length as i64).collect();
        let (steps, first) = (ctx.b.constant(Tensor::new([1, length], &steps)), ctx.b.reshape(positions, &[1]));
        ctx.b.add(steps, first)
    } else {
        positions
    };
    let turned = turn(ctx, apart, width, half, positions, ctx.node.int("interleaved", 0) != 0)?;
    let y = if shape.len() == 4 { ctx.b.transpose(turned, &[0, 2, 1, 3]) } else { ctx.b.reshape(turned, &[0, 0, -1]) };
    Ok(vec![Some(y)])
}

/// `x` [batch, length, heads, width] with its first 2·half features turned; inputs 2 and 3 of the node hold the cosines and sines.
fn turn(
    ctx: &mut Ctx,
    x: ValueId,
    width: usize,
    half: usize,
    positions: ValueId,
    interleaved: bool,
) -> Result<ValueId> {
    let (cos, sin) = (ctx.x(2)?, ctx.x(3)?);
    rotate(ctx, x, width, half, [cos, sin], positions, interleaved)
}

/// The same with tables of cosines and sines, one row for each position.
pub(super) fn rotate(
    ctx: &mut Ctx,
    x: ValueId,
    width: usize,
    half: usize,
    tables: [ValueId; 2],
    positions: ValueId,
    interleaved: bool,
) -> Result<ValueId> {
    if half == 0 || 2 * half > width {
        return Err(ctx.invalid(format!("{} features of {width} are turned", 2 * half)));
    }
    let [cos, sin] = tables.map(|table| {
        let rows = ctx.b.op("Gather", &[table, positions]);
        ctx.b.unsqueeze(rows, &[2])
    });
    let (moving, rest) = if 2 * half == width {
        (x, None)
    } else {
        let both = parts(ctx, x, &[2 * half, width - 2 * half], 3);
        (both[0], Some(both[1]))
    };
    // Pairs stand side by side, or half a width apart.
    let (pairs, axis) = if interleaved { ([half as i64, 2], 4) } else { ([2, half as i64], 3) };
    let paired = ctx.b.reshape(moving, &[0, 0, 0, pairs[0], pairs[1]]);
    let both = parts(ctx, paired, &[1, 1], axis);
    let [a, b] = [both[0], both[1]].map(|part| ctx.b.squeeze(part, &[axis]));
    let (ac, bs) = (ctx.b.mul(a, cos), ctx.b.mul(b, sin));
    let (bc, a_s) = (ctx.b.mul(b, cos), ctx.b.mul(a, sin));
    let (first, second) = (ctx.b.sub(ac, bs), ctx.b.add(bc, a_s));
    let [first, second] = [first, second].map(|part| ctx.b.unsqueeze(part, &[axis]));
    let joined = ctx.b.concat(&[first, second], axis);
    let turned = ctx.b.reshape(joined, &[0, 0, 0, 2 * half as i64]);
    Ok(match rest {
        Some(rest) => ctx.b.concat(&[turned, rest], 3),
        None => turned,
    })
}
