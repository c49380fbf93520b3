//! LpNormalization: x divided by its norm along an axis; zeros stay zeros.

use super::super::case::{Case, any, away, case};
use super::{Ctx, Expanded, Expansion};
use crate::ir::Attr;

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("LpNormalization", expand)];

pub(super) const CASES: &[Case] = &[
    case("LpNormalization", "p = 2, last axis", &[any(&[2, 3, 4])], |b, x| b.op("LpNormalization", x)),
    case("LpNormalization", "p = 1, middle axis", &[away(&[2, 3, 4], &[0.0])], |b, x| {
        b.op_with("LpNormalization", x, &[("p", Attr::Int(1)), ("axis", Attr::Int(1))])
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    let (x, rank) = (ctx.x(0)?, ctx.x_shape(0)?.len());
    let axis = ctx.axis(-1, rank)? as i64;
    let op = match ctx.node.int("p", 2) {
        1 => "ReduceL1",
        2 => "ReduceL2",
        p => return Err(ctx.invalid(format!("`p` is {p}"))),
    };
    let axes = ctx.b.ints(&[axis]);
    let norm = ctx.b.op_with(op, &[x, axes], &[("keepdims", Attr::Int(1))]);
    let (zero, one) = (ctx.scalar(x, 0.0), ctx.scalar(x, 1.0));
    let empty = ctx.b.equal(norm, zero);
    let norm = ctx.b.select(empty, one, norm);
    Ok(vec![Some(ctx.b.div(x, norm))])
}
