//! RNN: h ← f(x·Wᵀ + h·Rᵀ + b).

use super::{Made, Sequence, affine, column_sums};
use crate::ops::{Ctx, Gradients};

pub(super) fn rnn(ctx: &mut Ctx) -> Gradients {
    let s = Sequence::read(ctx, 1, &["Tanh"])?;
    let mut made = Vec::with_capacity(s.reverse.len());
    for d in 0..s.reverse.len() {
        made.push(direction(ctx, &s, d)?);
    }
    s.gather(ctx, &made)
}

fn direction(ctx: &mut Ctx, s: &Sequence, d: usize) -> super::Result<Made> {
    let (w, r) = (ctx.x(1)?, ctx.x(2)?);
    let w = s.part(ctx, w, 0, d, &[s.hidden, s.inputs]);
    let r = s.part(ctx, r, 0, d, &[s.hidden, s.hidden]);
    let before = s.states_before(ctx, d)?;
    let bias = s.biases(ctx, d, s.hidden).map(|[a, b]| ctx.b.add(a, b));
    let sums = affine(ctx, s.x, w, bias);
    let sums = affine(ctx, before, r, Some(sums));
    let sums = ctx.b.reshape_to(sums, &[s.steps, s.batch, s.hidden]);
    let inputs = [sums, r, s.lengths(ctx), s.grad(ctx, 0, d), s.grad(ctx, 1, d)];
    let shapes = [vec![s.rows(), s.hidden], vec![s.batch, s.hidden]];
    let parts = s.walk(ctx, "RnnGrad", d, &inputs, &shapes);
    let ds = parts[0];
    let db = ctx.wants(3).then(|| column_sums(ctx, ds));
    Ok([
        ctx.wants(0).then(|| ctx.b.gemm(ds, w, false, false)),
        ctx.wants(1).then(|| ctx.b.gemm(ds, s.x, true, false)),
        ctx.wants(2).then(|| ctx.b.gemm(ds, before, true, false)),
        db.map(|db| ctx.b.concat(&[db, db], 0)),
        None,
        Some(parts[1]),
        None,
        None,
    ])
}
