//! GRU, with `linear_before_reset` (as in torch) and without.

use super::{Made, Sequence, affine, column_sums, columns, empty};
use crate::ir::ValueId;
use crate::ops::{Ctx, Gradients};

pub(super) fn gru(ctx: &mut Ctx) -> Gradients {
    let s = Sequence::read(ctx, 3, &["Sigmoid", "Tanh"])?;
    let linear = ctx.node.int("linear_before_reset", 0) != 0;
    let mut made = Vec::with_capacity(s.reverse.len());
    for d in 0..s.reverse.len() {
        made.push(direction(ctx, &s, d, linear)?);
    }
    s.gather(ctx, &made)
}

fn direction(ctx: &mut Ctx, s: &Sequence, d: usize, linear: bool) -> super::Result<Made> {
    let (w, r, hidden) = (ctx.x(1)?, ctx.x(2)?, s.hidden);
    let w = s.part(ctx, w, 0, d, &[3 * hidden, s.inputs]);
    let r = s.part(ctx, r, 0, d, &[3 * hidden, hidden]);
    let before = s.states_before(ctx, d)?;
    let (sums, recurrent) = sums(ctx, s, d, [w, r, before], linear);
    let lengths = s.lengths(ctx);
    let [dy, dh] = [0, 1].map(|i| s.grad(ctx, i, d));
    let shapes = [vec![s.rows(), 3 * hidden], vec![s.batch, hidden], vec![s.rows(), hidden]];
    let states = ctx.b.reshape_to(before, &[s.steps, s.batch, hidden]);
    let parts = s.walk(ctx, "GruGrad", d, &[sums, recurrent, states, r, lengths, dy, dh], &shapes);
    let (ds, extra) = (parts[0], parts[2]);
    // Gradients of what R and its bias make.
    let through = if linear && (ctx.wants(2) || ctx.wants(3)) {
        let gates = columns(ctx, ds, 0, 2 * hidden);
        ctx.b.concat(&[gates, extra], 1)
    } else {
        ds
    };
    let dr = ctx.wants(2).then(|| {
        if linear {
            return ctx.b.gemm(through, before, true, false);
        }
        let (gates, candidate) = (columns(ctx, ds, 0, 2 * hidden), columns(ctx, ds, 2 * hidden, 3 * hidden));
        let parts = [ctx.b.gemm(gates, before, true, false), ctx.b.gemm(candidate, extra, true, false)];
        ctx.b.concat(&parts, 0)
    });
    let db = ctx.wants(3).then(|| {
        let parts = [column_sums(ctx, ds), column_sums(ctx, through)];
        ctx.b.concat(&parts, 0)
    });
    Ok([
        ctx.wants(0).then(|| ctx.b.gemm(ds, w, false, false)),
        ctx.wants(1).then(|| ctx.b.gemm(ds, s.x, true, false)),
        dr,
        db,
        None,
        Some(parts[1]),
        None,
        None,
    ])
}

/// The sums as the own operator takes them, and the recurrent part of the candidate's if it is linear before the reset.
fn sums(ctx: &mut Ctx, s: &Sequence, d: usize, [w, r, before]: [ValueId; 3], linear: bool) -> (ValueId, ValueId) {
    let (hidden, gates) = (s.hidden, 2 * s.hidden);
    let biases = s.biases(ctx, d, 3 * hidden);
    let (bias, back) = match biases {
        Some([w, r]) if linear => (Some(w), Some(r)),
        Some([w, r]) => (Some(ctx.b.add(w, r)), None),
        None => (None, None),
    };
    let given = affine(ctx, s.x, w, bias);
    let (gates_part, recurrent) = if linear {
        let all = affine(ctx, before, r, back);
        let recurrent = columns(ctx, all, gates, 3 * hidden);
        (columns(ctx, all, 0, gates), ctx.b.reshape_to(recurrent, &[s.steps, s.batch, hidden]))
    } else {
        let weights = ctx.b.slice(r, &[0], &[gates as i64], &[0], &[1]);
        (affine(ctx, before, weights, None), empty(ctx))
    };
    let first = columns(ctx, given, 0, gates);
    let parts = [ctx.b.add(first, gates_part), columns(ctx, given, gates, 3 * hidden)];
    let sums = ctx.b.concat(&parts, 1);
    (ctx.b.reshape_to(sums, &[s.steps, s.batch, 3 * hidden]), recurrent)
}
