//! Softmax and LogSoftmax over one axis.

use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[Rule::new("LogSoftmax", log_softmax), Rule::new("Softmax", softmax)];

/// dx = dy − e^y · Σ dy
fn log_softmax(ctx: &mut Ctx) -> Gradients {
    let (dy, y, axis) = (ctx.dy0()?, ctx.y(0)?, ctx.node.int("axis", -1));
    let sum = ctx.b.reduce_sum(dy, &[axis], true);
    let p = ctx.b.exp(y);
    let mean = ctx.b.mul(p, sum);
    Ok(vec![Some(ctx.b.sub(dy, mean))])
}

/// dx = y · (dy − Σ dy·y)
fn softmax(ctx: &mut Ctx) -> Gradients {
    let (dy, y, axis) = (ctx.dy0()?, ctx.y(0)?, ctx.node.int("axis", -1));
    let weighted = ctx.b.mul(dy, y);
    let sum = ctx.b.reduce_sum(weighted, &[axis], true);
    let centred = ctx.b.sub(dy, sum);
    Ok(vec![Some(ctx.b.mul(y, centred))])
}
