//! The GELU family of ONNX Runtime's own domain, BiasGelu, FastGelu, Gelu, QuickGelu, and the own Gelu.
//! Source: Hendrycks, Gimpel, "Gaussian error linear units", 2016.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{self, Attr, Builder, ValueId};

const DOMAIN: &str = "com.microsoft";

pub(super) const RULES: &[Rule] = &[
    Rule::new("BiasGelu", |ctx| {
        let x = biased(ctx)?;
        let dx = grad(ctx, x, false)?;
        Ok(vec![Some(dx), Some(dx)])
    })
    .broadcast()
    .domain(DOMAIN),
    Rule::new("FastGelu", |ctx| {
        let x = biased(ctx)?;
        let dx = grad(ctx, x, true)?;
        Ok(vec![Some(dx), Some(dx)])
    })
    .broadcast()
    .domain(DOMAIN),
    Rule::new("Gelu", |ctx| {
        let x = ctx.x(0)?;
        Ok(vec![Some(grad(ctx, x, false)?)])
    })
    .domain(DOMAIN),
    Rule::new("Gelu", |ctx| {
        let (x, tanh) = (ctx.x(0)?, ctx.node.int("tanh", 0) == 1);
        Ok(vec![Some(grad(ctx, x, tanh)?)])
    })
    .domain(ir::DOMAIN),
    Rule::new("QuickGelu", quick).domain(DOMAIN),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("BiasGelu", "", &[any(&[2, 3, 5]), any(&[5])], |b, x| of(b, "BiasGelu", x)),
    case("FastGelu", "", &[any(&[3, 5])], |b, x| of(b, "FastGelu", x)),
    case("FastGelu", "with a bias", &[any(&[3, 5]), any(&[5])], |b, x| of(b, "FastGelu", x)),
    case("Gelu", "", &[any(&[3, 5])], |b, x| of(b, "Gelu", x)),
    case("Gelu", "own", &[any(&[3, 5])], |b, x| b.node(ir::DOMAIN, "Gelu", &[Some(x[0])], &[], 1)[0]),
    case("Gelu", "own, by tanh", &[any(&[3, 5])], |b, x| {
        b.node(ir::DOMAIN, "Gelu", &[Some(x[0])], &[("tanh", Attr::Int(1))], 1)[0]
    }),
    case("QuickGelu", "", &[any(&[3, 5])], |b, x| of(b, "QuickGelu", x)),
];

/// What the function is taken of: the first input, and the second added to it where there is one.
fn biased(ctx: &mut Ctx) -> Result<ValueId> {
    let (a, ty) = (ctx.x(0)?, ctx.graph().ty(ctx.y(0)?));
    let Some(bias) = ctx.node.input(1) else { return Ok(a) };
    let x = ctx.b.add(a, bias);
    ctx.b.graph.set_type(x, ty);
    Ok(x)
}

/// The gradient of x as an own operator.
fn grad(ctx: &mut Ctx, x: ValueId, tanh: bool) -> Result<ValueId> {
    let dy = ctx.dy0()?;
    let attrs = [("tanh", Attr::Int(i64::from(tanh)))];
    Ok(ctx.b.node(ir::DOMAIN, "GeluGrad", &[dy, x].map(Some), &attrs, 1)[0])
}

/// y = x·s, s = sigmoid(αx): dx = dy·(s + αx·s·(1 − s)).
fn quick(ctx: &mut Ctx) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    let alpha = f64::from(ctx.node.float("alpha", 1.702));
    let one = ctx.scalar(x, 1.0);
    let scaled = ctx.scale(x, x, alpha);
    let s = ctx.b.sigmoid(scaled);
    let rest = ctx.b.sub(one, s);
    let rise = ctx.b.mul(scaled, rest);
    let factor = ctx.b.add(rise, one);
    let slope = ctx.b.mul(s, factor);
    Ok(vec![Some(ctx.b.mul(dy, slope))])
}

/// A node of a case.
fn of(b: &mut Builder, op: &str, x: &[ValueId]) -> ValueId {
    let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
    b.node(DOMAIN, op, &inputs, &[], 1)[0]
}
