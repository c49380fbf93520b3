//! LSTM, with or without peepholes; `input_forget` couples the gates.

use super::{Made, Sequence, affine, column_sums, empty};
use crate::ops::{Ctx, Gradients};

pub(super) fn lstm(ctx: &mut Ctx) -> Gradients {
    let s = Sequence::read(ctx, 4, &["Sigmoid", "Tanh", "Tanh"])?;
    let mut made = Vec::with_capacity(s.reverse.len());
    for d in 0..s.reverse.len() {
        made.push(direction(ctx, &s, d)?);
    }
    s.gather(ctx, &made)
}

fn direction(ctx: &mut Ctx, s: &Sequence, d: usize) -> super::Result<Made> {
    let (w, r, wide) = (ctx.x(1)?, ctx.x(2)?, 4 * s.hidden);
    let w = s.part(ctx, w, 0, d, &[wide, s.inputs]);
    let r = s.part(ctx, r, 0, d, &[wide, s.hidden]);
    let before = s.states_before(ctx, d)?;
    let bias = s.biases(ctx, d, wide).map(|[a, b]| ctx.b.add(a, b));
    let sums = affine(ctx, s.x, w, bias);
    let sums = affine(ctx, before, r, Some(sums));
    let sums = ctx.b.reshape_to(sums, &[s.steps, s.batch, wide]);
    let cells = s.input(ctx, 6, d, &[s.batch, s.hidden]).unwrap_or_else(|| empty(ctx));
    let peepholes = s.input(ctx, 7, d, &[3 * s.hidden]);
    let mut shapes = vec![vec![s.rows(), wide], vec![s.batch, s.hidden], vec![s.batch, s.hidden]];
    if peepholes.is_some() {
        shapes.push(vec![s.batch, 3 * s.hidden]);
    }
    let peepholes = peepholes.unwrap_or_else(|| empty(ctx));
    let lengths = s.lengths(ctx);
    let [dy, dh, dc] = [0, 1, 2].map(|i| s.grad(ctx, i, d));
    let parts = s.walk(ctx, "LstmGrad", d, &[sums, r, peepholes, cells, lengths, dy, dh, dc], &shapes);
    let ds = parts[0];
    let db = ctx.wants(3).then(|| column_sums(ctx, ds));
    Ok([
        ctx.wants(0).then(|| ctx.b.gemm(ds, w, false, false)),
        ctx.wants(1).then(|| ctx.b.gemm(ds, s.x, true, false)),
        ctx.wants(2).then(|| ctx.b.gemm(ds, before, true, false)),
        db.map(|db| ctx.b.concat(&[db, db], 0)),
        None,
        Some(parts[1]),
        Some(parts[2]),
        parts.get(3).filter(|_| ctx.wants(7)).map(|rows| column_sums(ctx, *rows)),
    ])
}
