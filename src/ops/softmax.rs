//! Softmax and LogSoftmax over one axis.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, DOMAIN, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("LogSoftmax", log_softmax), Rule::new("Softmax", softmax)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("LogSoftmax", "last", &[any(&[3, 5])], |b, x| b.log_softmax(x[0], -1)),
    case("LogSoftmax", "middle", &[any(&[2, 3, 4])], |b, x| b.log_softmax(x[0], 1)),
    case("Softmax", "last", &[any(&[3, 5])], |b, x| b.softmax(x[0], -1)),
    case("Softmax", "first of three", &[any(&[4, 2, 3])], |b, x| b.softmax(x[0], 0)),
    case("Softmax", "one class", &[any(&[3, 1])], |b, x| b.softmax(x[0], 1)),
];

/// As an own operator, over the last axis.
fn own(ctx: &mut Ctx, attrs: &[(&str, Attr)]) -> Result<Option<ValueId>> {
    let (dy, y, rank) = (ctx.dy0()?, ctx.y(0)?, ctx.y_shape()?.len());
    if rank == 0 || ctx.axis(-1, rank)? + 1 != rank {
        return Ok(None);
    }
    Ok(Some(ctx.b.node(DOMAIN, "SoftmaxGrad", &[dy, y].map(Some), attrs, 1)[0]))
}

/// dx = dy − e^y · Σ dy
fn log_softmax(ctx: &mut Ctx) -> Gradients {
    let (dy, y, axis) = (ctx.dy0()?, ctx.y(0)?, ctx.node.int("axis", -1));
    if let Some(dx) = own(ctx, &[("log", Attr::Int(1))])? {
        return Ok(vec![Some(dx)]);
    }
    let sum = ctx.b.reduce_sum(dy, &[axis], true);
    let p = ctx.b.exp(y);
    let mean = ctx.b.mul(p, sum);
    Ok(vec![Some(ctx.b.sub(dy, mean))])
}

/// dx = y · (dy − Σ dy·y)
fn softmax(ctx: &mut Ctx) -> Gradients {
    let (dy, y, axis) = (ctx.dy0()?, ctx.y(0)?, ctx.node.int("axis", -1));
    if let Some(dx) = own(ctx, &[])? {
        return Ok(vec![Some(dx)]);
    }
    let weighted = ctx.b.mul(dy, y);
    let sum = ctx.b.reduce_sum(weighted, &[axis], true);
    let centred = ctx.b.sub(dy, sum);
    Ok(vec![Some(ctx.b.mul(y, centred))])
}
