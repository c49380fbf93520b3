//! Attention by heads, as the operators of ONNX Runtime's own domain have it in common: softmax(scale · q kᵀ + mask) v.

use super::Ctx;
use crate::diag::Result;
use crate::ir::{Attr, Tensor, ValueId};

/// Queries [B, N, S, H], keys [B, N, T, H] and values [B, N, T, V] of N heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) q: ValueId,
    pub(super) k: ValueId,
    pub(super) v: ValueId,
}

/// Which scores count.
pub(super) struct Mask {
    /// Integers: lengths [B], ends and starts [2B], or 0 for what is hidden in [B, T] or [B, S, T].
    pub(super) given: Option<ValueId>,
    /// What hidden scores are lowered by.
    pub(super) filter: f32,
    /// Whether a query sees no later key.
    pub(super) causal: bool,
    /// Added to the scores, broadcast to [B, N, S, T].
    pub(super) bias: Option<ValueId>,
}

/// [B, S, N·H] as [B, N, S, H].
pub(super) fn split(ctx: &mut Ctx, x: ValueId, heads: usize) -> ValueId {
    let apart = ctx.b.reshape(x, &[0, 0, heads as i64, -1]);
    ctx.b.transpose(apart, &[0, 2, 1, 3])
}

/// The parts of a tensor along an axis, of stated sizes.
pub(super) fn parts(ctx: &mut Ctx, x: ValueId, sizes: &[usize], axis: i64) -> Vec<ValueId> {
    let sizes: Vec<i64> = sizes.iter().map(|size| *size as i64).collect();
    let split = ctx.b.ints(&sizes);
    ctx.b.node("", "Split", &[Some(x), Some(split)], &[("axis", Attr::Int(axis))], sizes.len())
}

/// The output [B, S, N·V] and the masked scores [B, N, S, T]. `sizes` are B, S and T.
pub(super) fn attend(
    ctx: &mut Ctx,
    heads: Heads,
    scale: f64,
    mask: &Mask,
    sizes: [usize; 3],
) -> Result<(ValueId, ValueId)> {
    let like = ctx.x(0)?;
    let turned = ctx.b.transpose(heads.k, &[0, 1, 3, 2]);
    // The smaller factor is scaled, not the scores.
    let scale = ctx.scalar(like, scale);
    let q = ctx.b.mul(heads.q, scale);
    let mut scores = ctx.b.matmul(q, turned);
    if let Some(bias) = mask.bias {
        scores = ctx.b.add(scores, bias);
    }
    if let Some(added) = added(ctx, like, mask, sizes)? {
        scores = ctx.b.add(scores, added);
    }
    let weights = ctx.b.softmax(scores, -1);
    let mixed = ctx.b.matmul(weights, heads.v);
    let turned = ctx.b.transpose(mixed, &[0, 2, 1, 3]);
    Ok((ctx.b.reshape(turned, &[0, 0, -1]), scores))
}

/// The mask as a tensor that is added to scores, broadcast to [B, N, S, T].
fn added(ctx: &mut Ctx, like: ValueId, mask: &Mask, [batch, queries, keys]: [usize; 3]) -> Result<Option<ValueId>> {
    let zero = ctx.scalar(like, 0.0);
    let mut sum = None;
    if let Some(given) = mask.given {
        let shape = ctx.shape(given)?;
        let (seen, axes): (ValueId, &[i64]) = match *shape.as_slice() {
            [size] if size == batch || size == 2 * batch => {
                let places: Vec<i32> = (0..keys as i32).collect();
                let places = ctx.b.constant(Tensor::vector(&places));
                (within(ctx, given, places, batch, size), &[1, 2])
            }
            [_, size] if size == keys => (above_zero(ctx, given), &[1, 2]),
            [_, _, size] if size == keys => (above_zero(ctx, given), &[1]),
            _ => {
                return Err(ctx.unsupported(format!(
                    "its mask has the shape {shape:?}; lengths, [B, T] and [B, S, T] are covered"
                )));
            }
        };
        let seen = ctx.b.unsqueeze(seen, axes);
        let hidden = ctx.scalar(like, f64::from(mask.filter));
        sum = Some(ctx.b.select(seen, zero, hidden));
    }
    if mask.causal && queries > 1 {
        let ahead: Vec<bool> = (0..queries).flat_map(|s| (0..keys).map(move |t| t > s)).collect();
        let ahead = ctx.b.constant(Tensor::new([1, 1, queries, keys], &ahead));
        let lowest = ctx.scalar(like, f64::from(f32::MIN));
        sum = Some(ctx.b.select(ahead, lowest, sum.unwrap_or(zero)));
    }
    Ok(sum)
}

/// Whether a place lies before its row's end, and not before its start where there is one: [B, T].
fn within(ctx: &mut Ctx, given: ValueId, places: ValueId, batch: usize, size: usize) -> ValueId {
    let (end, start) = if size == batch {
        (given, None)
    } else {
        let halves = parts(ctx, given, &[batch, batch], 0);
        (halves[0], Some(halves[1]))
    };
    let end = ctx.b.unsqueeze(end, &[1]);
    let before = ctx.b.less(places, end);
    match start {
        None => before,
        Some(start) => {
            let start = ctx.b.unsqueeze(start, &[1]);
            let after = ctx.b.greater_or_equal(places, start);
            ctx.b.and(before, after)
        }
    }
}

fn above_zero(ctx: &mut Ctx, given: ValueId) -> ValueId {
    let zero = ctx.b.constant(Tensor::scalar(0i32));
    ctx.b.greater(given, zero)
}
