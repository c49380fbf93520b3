//! GlobalLpPool: the p-norm of every channel.

use super::super::case::{Case, any, away, case};
use super::{Ctx, Expanded, Expansion};
use crate::ir::Attr;

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("GlobalLpPool", expand)];

pub(super) const CASES: &[Case] = &[
    case("GlobalLpPool", "p = 2", &[any(&[2, 3, 4, 2])], |b, x| b.op("GlobalLpPool", x)),
    case("GlobalLpPool", "p = 1", &[away(&[2, 3, 4, 2], &[0.0])], |b, x| {
        b.op_with("GlobalLpPool", x, &[("p", Attr::Int(1))])
    }),
    case("GlobalLpPool", "p = 3", &[away(&[2, 3, 5], &[0.0])], |b, x| {
        b.op_with("GlobalLpPool", x, &[("p", Attr::Int(3))])
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    let (x, rank, p) = (ctx.x(0)?, ctx.x_shape(0)?.len(), ctx.node.int("p", 2));
    let axes: Vec<i64> = (2..rank as i64).collect();
    let kept = [("keepdims", Attr::Int(1))];
    let axes = ctx.b.ints(&axes);
    let y = match p {
        ..=0 => return Err(ctx.invalid(format!("`p` is {p}"))),
        1 => ctx.b.op_with("ReduceL1", &[x, axes], &kept),
        2 => ctx.b.op_with("ReduceL2", &[x, axes], &kept),
        p => {
            let (power, root) = (ctx.scalar(x, p as f64), ctx.scalar(x, 1.0 / p as f64));
            let size = ctx.b.abs(x);
            let raised = ctx.b.pow(size, power);
            let sum = ctx.b.op_with("ReduceSum", &[raised, axes], &kept);
            ctx.b.pow(sum, root)
        }
    };
    Ok(vec![Some(y)])
}
