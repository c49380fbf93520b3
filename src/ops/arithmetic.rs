//! Elementwise arithmetic with broadcasting: Add, Div, Identity, Mean, Mul, Neg, Pow, Sub, Sum.

use super::case::{Case, any, case, positive, scalar};
use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Add", |ctx| {
        let dy = ctx.dy0()?;
        Ok(vec![Some(dy), Some(dy)])
    })
    .broadcast(),
    Rule::new("Div", div).broadcast(),
    Rule::new("Identity", |ctx| Ok(vec![Some(ctx.dy0()?)])),
    Rule::new("Mean", |ctx| {
        let (dy, x, count) = (ctx.dy0()?, ctx.x(0)?, ctx.node.inputs.len());
        let part = ctx.scale(x, dy, 1.0 / count as f64);
        Ok(vec![Some(part); count])
    })
    .broadcast(),
    Rule::new("Mul", |ctx| {
        let (dy, a, b) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
        let da = ctx.wants(0).then(|| ctx.b.mul(dy, b));
        let db = ctx.wants(1).then(|| ctx.b.mul(dy, a));
        Ok(vec![da, db])
    })
    .broadcast(),
    Rule::new("Neg", |ctx| {
        let dy = ctx.dy0()?;
        Ok(vec![Some(ctx.b.neg(dy))])
    }),
    Rule::new("Pow", pow).broadcast(),
    Rule::new("Sub", |ctx| {
        let dy = ctx.dy0()?;
        let db = ctx.wants(1).then(|| ctx.b.neg(dy));
        Ok(vec![Some(dy), db])
    })
    .broadcast(),
    Rule::new("Sum", |ctx| Ok(vec![Some(ctx.dy0()?); ctx.node.inputs.len()])).broadcast(),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Add", "broadcast both ways", &[any(&[2, 1, 4]), any(&[3, 1])], |b, x| b.add(x[0], x[1])),
    case("Add", "one value twice", &[any(&[3])], |b, x| b.add(x[0], x[0])),
    case("Add", "scalar", &[any(&[]), any(&[2, 3])], |b, x| b.add(x[0], x[1])),
    case("Div", "broadcast", &[any(&[2, 3, 4]), positive(&[4])], |b, x| b.div(x[0], x[1])),
    case("Div", "denominator of higher rank", &[any(&[3, 1]), positive(&[2, 3, 4])], |b, x| b.div(x[0], x[1])),
    case("Identity", "", &[any(&[2, 3])], |b, x| b.identity(x[0])),
    case("Mean", "three shapes", &[any(&[2, 3]), any(&[3]), any(&[2, 1])], |b, x| b.op("Mean", x)),
    case("Mean", "one input", &[any(&[2, 3])], |b, x| b.op("Mean", x)),
    case("Mul", "broadcast", &[any(&[2, 3, 4]), any(&[2, 1, 1])], |b, x| b.mul(x[0], x[1])),
    case("Mul", "square", &[any(&[5])], |b, x| b.mul(x[0], x[0])),
    case("Neg", "", &[any(&[2, 3])], |b, x| b.neg(x[0])),
    case("Pow", "both", &[positive(&[2, 3]), any(&[3])], |b, x| b.pow(x[0], x[1])),
    case("Pow", "square", &[any(&[2, 3])], |b, x| {
        let p = scalar(b, x[0], 2.0);
        b.pow(x[0], p)
    }),
    case("Pow", "root", &[positive(&[1])], |b, x| {
        let p = scalar(b, x[0], 0.5);
        b.pow(x[0], p)
    }),
    case("Pow", "integer exponent of higher rank", &[any(&[3])], |b, x| {
        let p = b.constant(crate::ir::Tensor::new([1, 1], &[3i64]));
        b.pow(x[0], p)
    }),
    case("Pow", "exponent 1 and 0", &[any(&[3])], |b, x| {
        let (one, zero) = (scalar(b, x[0], 1.0), scalar(b, x[0], 0.0));
        let (line, flat) = (b.pow(x[0], one), b.pow(x[0], zero));
        b.add(line, flat)
    }),
    case("Pow", "constant exponents with a zero", &[any(&[3])], |b, x| {
        let p = super::case::constant(b, x[0], &[3], &[0.0, 1.0, 3.0]);
        b.pow(x[0], p)
    }),
    case("Pow", "constant base", &[any(&[2, 3])], |b, x| {
        let base = scalar(b, x[0], 1.7);
        b.pow(base, x[0])
    }),
    case("Sub", "broadcast", &[any(&[1, 4]), any(&[2, 3, 1])], |b, x| b.sub(x[0], x[1])),
    case("Sum", "three shapes", &[any(&[2, 3]), any(&[3]), any(&[])], |b, x| b.op("Sum", x)),
];

/// y = a/b: da = dy/b, db = −dy·y/b.
fn div(ctx: &mut Ctx) -> Gradients {
    let (dy, b, y) = (ctx.dy0()?, ctx.x(1)?, ctx.y(0)?);
    let da = ctx.b.div(dy, b);
    let db = ctx.wants(1).then(|| {
        let product = ctx.b.mul(da, y);
        ctx.b.neg(product)
    });
    Ok(vec![ctx.wants(0).then_some(da), db])
}

/// y = x^p: dx = dy·p·x^(p−1), and 0 where p = 0; dp = dy·y·ln x, and 0 where x = 0 ≤ p. As torch does.
/// The exponent may have another element type than the base.
fn pow(ctx: &mut Ctx) -> Gradients {
    let (dy, x, p, y) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?, ctx.y(0)?);
    let dx = if ctx.wants(0) { Some(pow_base(ctx)?) } else { None };
    let dp = ctx.wants(1).then(|| {
        let (zero, one) = (ctx.scalar(x, 0.0), ctx.scalar(x, 1.0));
        let p = if ctx.dtype(p) == ctx.dtype(x) { p } else { ctx.b.cast(p, ctx.dtype(x)) };
        let (at_zero, grows) = (ctx.b.equal(x, zero), ctx.b.greater_or_equal(p, zero));
        let flat = ctx.b.and(at_zero, grows);
        let safe = ctx.b.select(flat, one, x);
        let log = ctx.b.log(safe);
        let slope = ctx.b.mul(y, log);
        ctx.b.mul(dy, slope)
    });
    let dp = match dp {
        Some(dp) if ctx.dtype(p) != ctx.dtype(x) => Some(ctx.b.cast(dp, ctx.dtype(p))),
        other => other,
    };
    Ok(vec![dx, dp])
}

fn pow_base(ctx: &mut Ctx) -> super::Result<crate::ir::ValueId> {
    let (dy, x, p) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?);
    let constant = ctx.graph().constant(p).and_then(|tensor| {
        let ints = || tensor.to_ints().filter(|ints| ints.len() == 1).map(|ints| ints[0] as f64);
        tensor.to_scalar().or_else(ints)
    });
    // A shape such as [1, 1, 1] around the exponent can raise the rank of the result, hence the gradient's shape is dy's.
    if let Some(power) = constant {
        if power == 1.0 {
            return Ok(dy);
        }
        let slope = if power == 2.0 {
            ctx.scale(x, x, 2.0)
        } else {
            let less = ctx.scalar(x, power - 1.0);
            let lower = ctx.b.pow(x, less);
            ctx.scale(x, lower, power)
        };
        if power == 0.0 {
            return Ok(ctx.scale(x, dy, 0.0));
        }
        return Ok(ctx.b.mul(dy, slope));
    }
    let (zero, one) = (ctx.scalar(x, 0.0), ctx.scalar(x, 1.0));
    let p = if ctx.dtype(p) == ctx.dtype(x) { p } else { ctx.b.cast(p, ctx.dtype(x)) };
    let less = ctx.b.sub(p, one);
    let lower = ctx.b.pow(x, less);
    let slope = ctx.b.mul(lower, p);
    let flat = ctx.b.equal(p, zero);
    let slope = ctx.b.select(flat, zero, slope);
    Ok(ctx.b.mul(dy, slope))
}
