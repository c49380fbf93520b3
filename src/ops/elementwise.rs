//! Elementwise functions of one variable. The derivative is written through the output where that saves keeping the input.

use super::case::{Case, any, away, case, positive};
use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Abs", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let sign = ctx.b.sign(x);
        Ok(vec![Some(ctx.b.mul(dy, sign))])
    }),
    Rule::new("Atan", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let one = ctx.scalar(x, 1.0);
        let square = ctx.b.mul(x, x);
        let below = ctx.b.add(square, one);
        Ok(vec![Some(ctx.b.div(dy, below))])
    }),
    Rule::new("Cos", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let sin = ctx.b.op("Sin", &[x]);
        let minus = ctx.b.neg(sin);
        Ok(vec![Some(ctx.b.mul(dy, minus))])
    }),
    Rule::new("Erf", erf),
    Rule::new("Exp", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        Ok(vec![Some(ctx.b.mul(dy, y))])
    }),
    Rule::new("Log", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        Ok(vec![Some(ctx.b.div(dy, x))])
    }),
    Rule::new("Reciprocal", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        let square = ctx.b.mul(y, y);
        let minus = ctx.b.neg(square);
        Ok(vec![Some(ctx.b.mul(dy, minus))])
    }),
    Rule::new("Sin", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let cos = ctx.b.op("Cos", &[x]);
        Ok(vec![Some(ctx.b.mul(dy, cos))])
    }),
    Rule::new("Sqrt", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        let half = ctx.scale(y, dy, 0.5);
        Ok(vec![Some(ctx.b.div(half, y))])
    }),
    Rule::new("Tan", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        let one = ctx.scalar(y, 1.0);
        let square = ctx.b.mul(y, y);
        let slope = ctx.b.add(square, one);
        Ok(vec![Some(ctx.b.mul(dy, slope))])
    }),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Abs", "", &[away(&[3, 5], &[0.0])], |b, x| b.abs(x[0])),
    case("Atan", "", &[any(&[3, 5])], |b, x| b.op("Atan", x)),
    case("Cos", "", &[any(&[3, 5])], |b, x| b.op("Cos", x)),
    case("Erf", "", &[any(&[3, 5])], |b, x| b.erf(x[0])),
    case("Exp", "", &[any(&[3, 5])], |b, x| b.exp(x[0])),
    case("Log", "", &[positive(&[3, 5])], |b, x| b.log(x[0])),
    case("Reciprocal", "", &[positive(&[3, 5])], |b, x| b.reciprocal(x[0])),
    case("Sin", "", &[any(&[3, 5])], |b, x| b.op("Sin", x)),
    case("Sqrt", "", &[positive(&[1, 1])], |b, x| b.sqrt(x[0])),
    case("Tan", "", &[super::case::Input { shape: &[3, 5], draw: super::case::Draw::Uniform(-1.0, 1.0) }], |b, x| {
        b.op("Tan", x)
    }),
];

/// dx = dy · 2/√π · e^(−x²)
fn erf(ctx: &mut Ctx) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    let square = ctx.b.mul(x, x);
    let minus = ctx.b.neg(square);
    let bell = ctx.b.exp(minus);
    let slope = ctx.scale(x, bell, std::f64::consts::FRAC_2_SQRT_PI);
    Ok(vec![Some(ctx.b.mul(dy, slope))])
}
