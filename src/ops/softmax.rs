//! Softmax and LogSoftmax over one axis.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[Rule::new("LogSoftmax", log_softmax), Rule::new("Softmax", softmax)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("LogSoftmax", "last", &[any(&[3, 5])], |b, x| b.log_softmax(x[0], -1)),
    case("LogSoftmax", "middle", &[any(&[2, 3, 4])], |b, x| b.log_softmax(x[0], 1)),
    case("Softmax", "last", &[any(&[3, 5])], |b, x| b.softmax(x[0], -1)),
    case("Softmax", "first of three", &[any(&[4, 2, 3])], |b, x| b.softmax(x[0], 0)),
    case("Softmax", "one class", &[any(&[3, 1])], |b, x| b.softmax(x[0], 1)),
];

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
