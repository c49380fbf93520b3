//! Ceil, EyeLike, Floor, Hardmax, Round, Sign: piecewise constant, so that no gradient passes. And CumSum, whose gradient runs the other way.

use super::Rule;
use super::case::{Case, any, apart, away, case};
use crate::ir::{Attr, Builder, ValueId};

pub(super) const RULES: &[Rule] = &[
    Rule::steps("Ceil"),
    Rule::new("CumSum", |ctx| {
        let (dy, axis) = (ctx.dy0()?, ctx.x(1)?);
        let attrs = [
            ("exclusive", Attr::Int(ctx.node.int("exclusive", 0))),
            ("reverse", Attr::Int(1 - ctx.node.int("reverse", 0).clamp(0, 1))),
        ];
        Ok(vec![Some(ctx.b.op_with("CumSum", &[dy, axis], &attrs))])
    })
    .stops(&[1]),
    Rule::steps("EyeLike"),
    Rule::steps("Floor"),
    Rule::steps("Hardmax"),
    Rule::steps("Round"),
    Rule::steps("Sign"),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Ceil", "beside its input", &[away(&[9], &[-1.0, 0.0, 1.0])], |b, x| beside(b, "Ceil", x)),
    case("CumSum", "", &[any(&[2, 4])], |b, x| {
        let axis = b.constant(crate::ir::Tensor::scalar(1i64));
        b.op("CumSum", &[x[0], axis])
    }),
    case("CumSum", "exclusive, reverse", &[any(&[3, 4])], |b, x| {
        let axis = b.constant(crate::ir::Tensor::scalar(-2i64));
        b.op_with("CumSum", &[x[0], axis], &[("exclusive", Attr::Int(1)), ("reverse", Attr::Int(1))])
    }),
    case("EyeLike", "beside its input", &[any(&[3, 3])], |b, x| beside(b, "EyeLike", x)),
    case("Floor", "beside its input", &[away(&[9], &[-1.0, 0.0, 1.0])], |b, x| beside(b, "Floor", x)),
    case("Hardmax", "beside its input", &[apart(&[3, 4])], |b, x| beside(b, "Hardmax", x)),
    case("Round", "beside its input", &[away(&[9], &[-1.5, -0.5, 0.5, 1.5])], |b, x| beside(b, "Round", x)),
    case("Sign", "beside its input", &[away(&[9], &[0.0])], |b, x| beside(b, "Sign", x)),
];

/// x·op(x): only the first factor passes a gradient.
fn beside(b: &mut Builder, op: &str, x: &[ValueId]) -> ValueId {
    let steps = b.op(op, x);
    b.mul(x[0], steps)
}
