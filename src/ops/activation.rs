//! Activations. At a kink the derivative is torch's: 0 for Relu, the left slope for LeakyRelu, PRelu, Elu, Celu and Selu.

use super::case::{Case, any, away, case};
use super::{Ctx, Gradients, Rule};
use crate::ir::{Attr, ValueId};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Celu", |ctx| {
        // For x ≤ 0: y = α(e^(x/α) − 1), so that y' = y/α + 1.
        let y = ctx.y(0)?;
        let (alpha, one) = (f64::from(ctx.node.float("alpha", 1.0)), ctx.scalar(y, 1.0));
        let scaled = ctx.scale(y, y, 1.0 / alpha);
        let left = ctx.b.add(scaled, one);
        one_sided(ctx, one, left)
    }),
    Rule::new("Elu", |ctx| {
        // For x ≤ 0: y = α(e^x − 1), so that y' = y + α.
        let y = ctx.y(0)?;
        let (alpha, one) = (f64::from(ctx.node.float("alpha", 1.0)), ctx.scalar(y, 1.0));
        let alpha = ctx.scalar(y, alpha);
        let left = ctx.b.add(y, alpha);
        one_sided(ctx, one, left)
    }),
    Rule::new("HardSigmoid", hard_sigmoid),
    Rule::new("HardSwish", hard_swish),
    Rule::new("LeakyRelu", |ctx| {
        let x = ctx.x(0)?;
        let (alpha, one) = (f64::from(ctx.node.float("alpha", 0.01)), ctx.scalar(x, 1.0));
        let left = ctx.scalar(x, alpha);
        one_sided(ctx, one, left)
    }),
    Rule::new("Mish", mish),
    Rule::new("PRelu", prelu).broadcast(),
    Rule::new("Relu", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        Ok(vec![Some(ctx.gate(dy, y, Some(0.0), None, false))])
    }),
    Rule::new("Selu", |ctx| {
        // For x ≤ 0: y = γα(e^x − 1), so that y' = y + γα. Defaults from the ONNX definition.
        let y = ctx.y(0)?;
        let alpha = f64::from(ctx.node.float("alpha", 1.673_263_2));
        let gamma = f64::from(ctx.node.float("gamma", 1.050_701));
        let (right, shift) = (ctx.scalar(y, gamma), ctx.scalar(y, gamma * alpha));
        let left = ctx.b.add(y, shift);
        one_sided(ctx, right, left)
    }),
    Rule::new("Shrink", |ctx| {
        // x ± bias outside [−λ, λ], 0 inside.
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let lambda = f64::from(ctx.node.float("lambd", 0.5));
        let bound = ctx.scalar(x, lambda);
        let size = ctx.b.abs(x);
        let outside = ctx.b.greater(size, bound);
        Ok(vec![Some(ctx.keep_where(x, outside, dy))])
    }),
    Rule::new("Sigmoid", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        let one = ctx.scalar(y, 1.0);
        let rest = ctx.b.sub(one, y);
        let slope = ctx.b.mul(y, rest);
        Ok(vec![Some(ctx.b.mul(dy, slope))])
    }),
    Rule::new("Softplus", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let slope = ctx.b.sigmoid(x);
        Ok(vec![Some(ctx.b.mul(dy, slope))])
    }),
    Rule::new("Softsign", |ctx| {
        // y = x/(1+|x|): y' = (1 − |y|)².
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        let one = ctx.scalar(y, 1.0);
        let size = ctx.b.abs(y);
        let rest = ctx.b.sub(one, size);
        let slope = ctx.b.mul(rest, rest);
        Ok(vec![Some(ctx.b.mul(dy, slope))])
    }),
    Rule::new("Tanh", |ctx| {
        let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
        let one = ctx.scalar(y, 1.0);
        let square = ctx.b.mul(y, y);
        let slope = ctx.b.sub(one, square);
        Ok(vec![Some(ctx.b.mul(dy, slope))])
    }),
    Rule::new("ThresholdedRelu", |ctx| {
        let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
        let alpha = f64::from(ctx.node.float("alpha", 1.0));
        let alpha = ctx.scalar(x, alpha);
        let passes = ctx.b.greater(x, alpha);
        Ok(vec![Some(ctx.keep_where(x, passes, dy))])
    }),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Celu", "", &[away(&[3, 7], &[0.0])], |b, x| b.op_with("Celu", x, &[("alpha", Attr::Float(0.7))])),
    case("Elu", "", &[away(&[3, 7], &[0.0])], |b, x| b.op_with("Elu", x, &[("alpha", Attr::Float(1.3))])),
    case("HardSigmoid", "", &[away(&[3, 7], &[-1.0, 1.5])], |b, x| {
        b.op_with("HardSigmoid", x, &[("alpha", Attr::Float(0.4)), ("beta", Attr::Float(0.4))])
    }),
    case("HardSwish", "", &[away(&[3, 7], &[-1.5, 1.5])], |b, x| {
        let two = super::case::scalar(b, x[0], 2.0);
        let wide = b.mul(x[0], two);
        b.op("HardSwish", &[wide])
    }),
    case("LeakyRelu", "", &[away(&[3, 7], &[0.0])], |b, x| b.op_with("LeakyRelu", x, &[("alpha", Attr::Float(0.2))])),
    case("LeakyRelu", "negative slope below zero", &[away(&[9], &[0.0])], |b, x| {
        b.op_with("LeakyRelu", x, &[("alpha", Attr::Float(-0.5))])
    }),
    case("Mish", "", &[any(&[3, 7])], |b, x| b.op("Mish", x)),
    case("PRelu", "one slope", &[away(&[2, 3, 4], &[0.0]), any(&[1])], |b, x| b.op("PRelu", x)),
    case("PRelu", "a slope for each channel", &[away(&[2, 3, 4, 1], &[0.0]), any(&[3, 1, 1])], |b, x| b.op("PRelu", x)),
    case("Relu", "", &[away(&[3, 7], &[0.0])], |b, x| b.relu(x[0])),
    case("Selu", "", &[away(&[3, 7], &[0.0])], |b, x| b.op("Selu", x)),
    case("Selu", "own constants", &[away(&[3, 7], &[0.0])], |b, x| {
        b.op_with("Selu", x, &[("alpha", Attr::Float(1.2)), ("gamma", Attr::Float(0.6))])
    }),
    case("Shrink", "", &[away(&[3, 7], &[-0.6, 0.6])], |b, x| {
        b.op_with("Shrink", x, &[("lambd", Attr::Float(0.6)), ("bias", Attr::Float(0.2))])
    }),
    case("Sigmoid", "", &[any(&[3, 7])], |b, x| b.sigmoid(x[0])),
    case("Softplus", "", &[any(&[3, 7])], |b, x| b.op("Softplus", x)),
    case("Softsign", "", &[away(&[3, 7], &[0.0])], |b, x| b.op("Softsign", x)),
    case("Tanh", "", &[any(&[1, 7])], |b, x| b.tanh(x[0])),
    case("ThresholdedRelu", "", &[away(&[3, 7], &[0.6])], |b, x| {
        b.op_with("ThresholdedRelu", x, &[("alpha", Attr::Float(0.6))])
    }),
];

/// dx = dy · (x > 0 ? right : left)
fn one_sided(ctx: &mut Ctx, right: ValueId, left: ValueId) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    let zero = ctx.scalar(x, 0.0);
    let positive = ctx.b.greater(x, zero);
    let slope = ctx.b.select(positive, right, left);
    Ok(vec![Some(ctx.b.mul(dy, slope))])
}

/// y = clip(αx + β, 0, 1): dx = α·dy inside the range, 0 at its ends and outside.
fn hard_sigmoid(ctx: &mut Ctx) -> Gradients {
    let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
    let alpha = f64::from(ctx.node.float("alpha", 0.2));
    let inside = inside_unit(ctx, y);
    let scaled = ctx.scale(y, dy, alpha);
    Ok(vec![Some(ctx.keep_where(y, inside, scaled))])
}

fn inside_unit(ctx: &mut Ctx, y: ValueId) -> ValueId {
    let (zero, one) = (ctx.scalar(y, 0.0), ctx.scalar(y, 1.0));
    let (above, below) = (ctx.b.greater(y, zero), ctx.b.less(y, one));
    ctx.b.and(above, below)
}

/// y = x·clip(x/6 + 1/2, 0, 1): y' is 0 below −3, 1 above 3, x/3 + 1/2 between.
fn hard_swish(ctx: &mut Ctx) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    let (low, high) = (ctx.scalar(x, -3.0), ctx.scalar(x, 3.0));
    let (zero, half, one) = (ctx.scalar(x, 0.0), ctx.scalar(x, 0.5), ctx.scalar(x, 1.0));
    let third = ctx.scale(x, x, 1.0 / 3.0);
    let line = ctx.b.add(third, half);
    let (above, below) = (ctx.b.greater(x, high), ctx.b.less(x, low));
    let right = ctx.b.select(above, one, line);
    let slope = ctx.b.select(below, zero, right);
    Ok(vec![Some(ctx.b.mul(dy, slope))])
}

/// y = x·t with t = tanh(softplus(x)): y' = t + x·(1 − t²)·sigmoid(x).
fn mish(ctx: &mut Ctx) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    let one = ctx.scalar(x, 1.0);
    let soft = ctx.b.op("Softplus", &[x]);
    let t = ctx.b.tanh(soft);
    let square = ctx.b.mul(t, t);
    let rest = ctx.b.sub(one, square);
    let sigmoid = ctx.b.sigmoid(x);
    let rise = ctx.b.mul(rest, sigmoid);
    let steep = ctx.b.mul(x, rise);
    let slope = ctx.b.add(t, steep);
    Ok(vec![Some(ctx.b.mul(dy, slope))])
}

/// y = x > 0 ? x : slope·x, the slope broadcast to x: dslope = Σ dy·min(x, 0).
fn prelu(ctx: &mut Ctx) -> Gradients {
    let (dy, x, slope) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let (zero, one) = (ctx.scalar(x, 0.0), ctx.scalar(x, 1.0));
    let dx = ctx.wants(0).then(|| {
        let positive = ctx.b.greater(x, zero);
        let factor = ctx.b.select(positive, one, slope);
        ctx.b.mul(dy, factor)
    });
    let dslope = ctx.wants(1).then(|| {
        let left = ctx.b.op("Min", &[x, zero]);
        ctx.b.mul(dy, left)
    });
    Ok(vec![dx, dslope])
}
