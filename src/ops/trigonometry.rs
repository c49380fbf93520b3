//! Inverse and hyperbolic functions: Acos, Acosh, Asin, Asinh, Atanh, Cosh, Sinh. The others are in `elementwise`.

use super::case::{Case, Draw, Input, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::ValueId;

pub(super) const RULES: &[Rule] = &[
    Rule::new("Acos", |ctx| {
        // −1/√(1 − x²)
        let (dy, below) = (ctx.dy0()?, shifted_square(ctx, -1.0, 1.0)?);
        let root = ctx.b.sqrt(below);
        let minus = ctx.b.neg(root);
        Ok(vec![Some(ctx.b.div(dy, minus))])
    }),
    Rule::new("Acosh", |ctx| {
        // 1/√(x² − 1)
        let (dy, below) = (ctx.dy0()?, shifted_square(ctx, 1.0, -1.0)?);
        let root = ctx.b.sqrt(below);
        Ok(vec![Some(ctx.b.div(dy, root))])
    }),
    Rule::new("Asin", |ctx| {
        // 1/√(1 − x²)
        let (dy, below) = (ctx.dy0()?, shifted_square(ctx, -1.0, 1.0)?);
        let root = ctx.b.sqrt(below);
        Ok(vec![Some(ctx.b.div(dy, root))])
    }),
    Rule::new("Asinh", |ctx| {
        // 1/√(x² + 1)
        let (dy, below) = (ctx.dy0()?, shifted_square(ctx, 1.0, 1.0)?);
        let root = ctx.b.sqrt(below);
        Ok(vec![Some(ctx.b.div(dy, root))])
    }),
    Rule::new("Atanh", |ctx| {
        // 1/(1 − x²)
        let (dy, below) = (ctx.dy0()?, shifted_square(ctx, -1.0, 1.0)?);
        Ok(vec![Some(ctx.b.div(dy, below))])
    }),
    Rule::new("Cosh", |ctx| partner(ctx, "Sinh")),
    Rule::new("Sinh", |ctx| partner(ctx, "Cosh")),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Acos", "", &[INNER], |b, x| b.op("Acos", x)),
    case("Acosh", "", &[OUTER], |b, x| b.op("Acosh", x)),
    case("Asin", "", &[INNER], |b, x| b.op("Asin", x)),
    case("Asinh", "", &[any(&[3, 5])], |b, x| b.op("Asinh", x)),
    case("Atanh", "", &[INNER], |b, x| b.op("Atanh", x)),
    case("Cosh", "", &[any(&[3, 5])], |b, x| b.op("Cosh", x)),
    case("Sinh", "", &[any(&[3, 5])], |b, x| b.op("Sinh", x)),
];

/// Within the reach of Acos, Asin and Atanh.
const INNER: Input = Input { shape: &[3, 5], draw: Draw::Uniform(-0.6, 0.6) };
/// Within the reach of Acosh.
const OUTER: Input = Input { shape: &[3, 5], draw: Draw::Uniform(1.5, 3.0) };

/// factor·x² + shift
fn shifted_square(ctx: &mut Ctx, factor: f64, shift: f64) -> Result<ValueId> {
    let x = ctx.x(0)?;
    let square = ctx.b.mul(x, x);
    let shift = ctx.scalar(x, shift);
    Ok(if factor < 0.0 { ctx.b.sub(shift, square) } else { ctx.b.add(square, shift) })
}

/// The derivative is another function of the same x.
fn partner(ctx: &mut Ctx, op: &str) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    let slope = ctx.b.op(op, &[x]);
    Ok(vec![Some(ctx.b.mul(dy, slope))])
}
