//! The GELU family of ONNX Runtime's own domain: BiasGelu, FastGelu, Gelu, QuickGelu.
//! Source: Hendrycks, Gimpel, "Gaussian error linear units", 2016.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Builder, ValueId};

const DOMAIN: &str = "com.microsoft";

pub(super) const RULES: &[Rule] = &[
    Rule::new("BiasGelu", |ctx| {
        let (a, b) = (ctx.x(0)?, ctx.x(1)?);
        let x = ctx.b.add(a, b);
        let dx = exact(ctx, a, x)?;
        Ok(vec![Some(dx), Some(dx)])
    })
    .broadcast()
    .domain(DOMAIN),
    Rule::new("FastGelu", |ctx| {
        let a = ctx.x(0)?;
        let x = match ctx.node.input(1) {
            Some(bias) => ctx.b.add(a, bias),
            None => a,
        };
        let dx = tanh_form(ctx, a, x)?;
        Ok(vec![Some(dx), Some(dx)])
    })
    .broadcast()
    .domain(DOMAIN),
    Rule::new("Gelu", |ctx| {
        let x = ctx.x(0)?;
        Ok(vec![Some(exact(ctx, x, x)?)])
    })
    .domain(DOMAIN),
    Rule::new("QuickGelu", quick).domain(DOMAIN),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("BiasGelu", "", &[any(&[2, 3, 5]), any(&[5])], |b, x| of(b, "BiasGelu", x)),
    case("FastGelu", "", &[any(&[3, 5])], |b, x| of(b, "FastGelu", x)),
    case("FastGelu", "with a bias", &[any(&[3, 5]), any(&[5])], |b, x| of(b, "FastGelu", x)),
    case("Gelu", "", &[any(&[3, 5])], |b, x| of(b, "Gelu", x)),
    case("QuickGelu", "", &[any(&[3, 5])], |b, x| of(b, "QuickGelu", x)),
];

/// y = x·Φ(x): dx = dy·(Φ(x) + x·φ(x)), Φ and φ the normal distribution and its density.
fn exact(ctx: &mut Ctx, like: ValueId, x: ValueId) -> Result<ValueId> {
    let dy = ctx.dy0()?;
    let (half, one) = (ctx.scalar(like, 0.5), ctx.scalar(like, 1.0));
    let scaled = ctx.scale(like, x, std::f64::consts::FRAC_1_SQRT_2);
    let erf = ctx.b.erf(scaled);
    let twice = ctx.b.add(erf, one);
    let below = ctx.b.mul(twice, half);
    let square = ctx.b.mul(x, x);
    let exponent = ctx.scale(like, square, -0.5);
    let bell = ctx.b.exp(exponent);
    let density = ctx.scale(like, bell, 1.0 / std::f64::consts::TAU.sqrt());
    let steep = ctx.b.mul(x, density);
    let slope = ctx.b.add(below, steep);
    Ok(ctx.b.mul(dy, slope))
}

/// y = x/2·(1 + t), t = tanh(√(2/π)·(x + 0.044715·x³)).
fn tanh_form(ctx: &mut Ctx, like: ValueId, x: ValueId) -> Result<ValueId> {
    const CUBIC: f64 = 0.044_715;
    let dy = ctx.dy0()?;
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let (half, one) = (ctx.scalar(like, 0.5), ctx.scalar(like, 1.0));
    let square = ctx.b.mul(x, x);
    // t's argument is x·(root + root·c·x²), its derivative root + 3·root·c·x².
    let (base, bend, steep) =
        (ctx.scalar(like, root), ctx.scale(like, square, root * CUBIC), ctx.scale(like, square, 3.0 * root * CUBIC));
    let factor = ctx.b.add(base, bend);
    let inner = ctx.b.mul(x, factor);
    let t = ctx.b.tanh(inner);
    let rise = ctx.b.add(base, steep);
    let t_square = ctx.b.mul(t, t);
    let rest = ctx.b.sub(one, t_square);
    let dt = ctx.b.mul(rest, rise);
    let x_dt = ctx.b.mul(x, dt);
    let plus = ctx.b.add(t, one);
    let twice = ctx.b.add(plus, x_dt);
    let slope = ctx.b.mul(twice, half);
    Ok(ctx.b.mul(dy, slope))
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
