//! Reductions over constant axes: ReduceL1, L2, LogSum, LogSumExp, Max, Mean, Min, Prod, Sum, SumSquare.

use super::case::{Case, any, apart, away, case, positive};
use super::{Ctx, Gradients, Result, Rule};
use crate::ir::{Attr, Builder, ValueId};

pub(super) const RULES: &[Rule] = &[
    Rule::new("ReduceL1", |ctx| {
        let (r, x) = (Reduction::read(ctx, false)?, ctx.x(0)?);
        let sign = ctx.b.sign(x);
        Ok(vec![Some(ctx.b.mul(sign, r.dy))])
    })
    .stops(&[1]),
    Rule::new("ReduceL2", l2).stops(&[1]),
    Rule::new("ReduceLogSum", |ctx| {
        // y = ln Σx: dx = dy·e^(−y).
        let r = Reduction::read(ctx, false)?;
        let minus = ctx.b.neg(r.y);
        let factor = ctx.b.exp(minus);
        let product = ctx.b.mul(r.dy, factor);
        Ok(vec![Some(ctx.b.expand(product, &r.shape))])
    })
    .stops(&[1]),
    Rule::new("ReduceLogSumExp", |ctx| {
        let (r, x) = (Reduction::read(ctx, false)?, ctx.x(0)?);
        let shifted = ctx.b.sub(x, r.y);
        let p = ctx.b.exp(shifted);
        Ok(vec![Some(ctx.b.mul(p, r.dy))])
    })
    .stops(&[1]),
    Rule::new("ReduceMax", extremum).stops(&[1]),
    Rule::new("ReduceMean", |ctx| {
        let (r, x) = (Reduction::read(ctx, true)?, ctx.x(0)?);
        let part = ctx.scale(x, r.dy, 1.0 / r.count().max(1) as f64);
        Ok(vec![Some(ctx.b.expand(part, &r.shape))])
    })
    .stops(&[1]),
    Rule::new("ReduceMin", extremum).stops(&[1]),
    Rule::new("ReduceProd", product).stops(&[1]),
    Rule::new("ReduceSum", |ctx| {
        let r = Reduction::read(ctx, true)?;
        Ok(vec![Some(ctx.b.expand(r.dy, &r.shape))])
    })
    .stops(&[1]),
    Rule::new("ReduceSumSquare", |ctx| {
        let (r, x) = (Reduction::read(ctx, false)?, ctx.x(0)?);
        let twice = ctx.scale(x, r.dy, 2.0);
        Ok(vec![Some(ctx.b.mul(x, twice))])
    })
    .stops(&[1]),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("ReduceL1", "", &[away(&[2, 3, 4], &[0.0])], |b, x| over(b, "ReduceL1", x[0], &[1], true)),
    case("ReduceL2", "", &[any(&[2, 3, 4])], |b, x| over(b, "ReduceL2", x[0], &[-1], false)),
    case("ReduceLogSum", "", &[positive(&[2, 3, 4])], |b, x| over(b, "ReduceLogSum", x[0], &[0, 2], false)),
    case("ReduceLogSumExp", "", &[any(&[2, 3, 4])], |b, x| over(b, "ReduceLogSumExp", x[0], &[1, 2], true)),
    case("ReduceMax", "", &[apart(&[3, 4])], |b, x| over(b, "ReduceMax", x[0], &[1], false)),
    case("ReduceMax", "all axes", &[apart(&[3, 4])], |b, x| b.op("ReduceMax", x)),
    case("ReduceMean", "two axes dropped", &[any(&[2, 3, 4, 1])], |b, x| b.reduce_mean(x[0], &[-2, 0], false)),
    case("ReduceMean", "all axes", &[any(&[2, 3])], |b, x| b.op_with("ReduceMean", x, &[("keepdims", Attr::Int(0))])),
    case("ReduceMean", "no axes at all", &[any(&[2, 3])], |b, x| {
        b.op_with("ReduceMean", x, &[("noop_with_empty_axes", Attr::Int(1))])
    }),
    case("ReduceMin", "", &[apart(&[3, 4])], |b, x| over(b, "ReduceMin", x[0], &[0], true)),
    case("ReduceProd", "", &[any(&[2, 3, 4])], |b, x| over(b, "ReduceProd", x[0], &[1], false)),
    case("ReduceProd", "all axes", &[away(&[2, 3], &[0.0])], |b, x| b.op("ReduceProd", x)),
    case("ReduceSum", "kept", &[any(&[2, 3, 4])], |b, x| b.reduce_sum(x[0], &[1], true)),
    case("ReduceSum", "dropped", &[any(&[2, 3, 4])], |b, x| b.reduce_sum(x[0], &[2, 0], false)),
    case("ReduceSumSquare", "", &[any(&[2, 3, 4])], |b, x| over(b, "ReduceSumSquare", x[0], &[1, 2], false)),
];

/// A reduction with its output and gradient in the shape that keeps the reduced dimensions as 1.
struct Reduction {
    axes: Vec<i64>,
    shape: Vec<usize>,
    y: ValueId,
    dy: ValueId,
}

impl Reduction {
    /// `noop`: whether empty axes with `noop_with_empty_axes` are understood, as the identity.
    fn read(ctx: &mut Ctx, noop: bool) -> Result<Self> {
        let (dy, y, shape) = (ctx.dy0()?, ctx.y(0)?, ctx.x_shape(0)?);
        let axes = ctx.constant_ints(1)?.unwrap_or_default();
        let axes = match (axes.is_empty(), ctx.node.int("noop_with_empty_axes", 0) != 0) {
            (true, true) if noop => Vec::new(),
            (true, true) => return Err(ctx.unsupported("`noop_with_empty_axes` without axes; axes are covered")),
            (true, false) => (0..shape.len() as i64).collect(),
            (false, _) => ctx.axes(&axes, shape.len())?,
        };
        let kept: Vec<usize> =
            shape.iter().enumerate().map(|(i, size)| if axes.contains(&(i as i64)) { 1 } else { *size }).collect();
        let (mut y, mut dy) = (y, dy);
        if ctx.node.int("keepdims", 1) == 0 {
            y = ctx.b.reshape_to(y, &kept);
            dy = ctx.b.reshape_to(dy, &kept);
        }
        Ok(Self { axes, shape, y, dy })
    }

    /// How many elements go into one.
    fn count(&self) -> usize {
        self.axes.iter().map(|axis| self.shape[*axis as usize]).product()
    }
}

/// y = √Σx²: dx = dy·x/y, and 0 where y = 0.
fn l2(ctx: &mut Ctx) -> Gradients {
    let (r, x) = (Reduction::read(ctx, false)?, ctx.x(0)?);
    let (zero, one) = (ctx.scalar(x, 0.0), ctx.scalar(x, 1.0));
    let flat = ctx.b.equal(r.y, zero);
    let safe = ctx.b.select(flat, one, r.y);
    let factor = ctx.b.div(r.dy, safe);
    Ok(vec![Some(ctx.b.mul(x, factor))])
}

/// dx = dy · the product of all others: that of the non-zero ones where no other is zero, else 0.
fn product(ctx: &mut Ctx) -> Gradients {
    let (r, x) = (Reduction::read(ctx, true)?, ctx.x(0)?);
    if r.axes.is_empty() {
        return Ok(vec![Some(r.dy)]);
    }
    let (dtype, zero, one) = (ctx.dtype(x), ctx.scalar(x, 0.0), ctx.scalar(x, 1.0));
    let is_zero = ctx.b.equal(x, zero);
    let safe = ctx.b.select(is_zero, one, x);
    let axes = ctx.b.ints(&r.axes);
    let all = ctx.b.op("ReduceProd", &[safe, axes]);
    let zeros = ctx.b.cast(is_zero, dtype);
    let count = ctx.b.reduce_sum(zeros, &r.axes, true);
    let others = ctx.b.sub(count, zeros);
    let alone = ctx.b.equal(others, zero);
    let rest = ctx.b.div(all, safe);
    let rest = ctx.b.select(alone, rest, zero);
    Ok(vec![Some(ctx.b.mul(rest, r.dy))])
}

/// The elements that are the extremum share the gradient evenly, as in torch's `amax`.
fn extremum(ctx: &mut Ctx) -> Gradients {
    let (r, x) = (Reduction::read(ctx, true)?, ctx.x(0)?);
    let dtype = ctx.dtype(x);
    let hit = ctx.b.equal(x, r.y);
    let mask = ctx.b.cast(hit, dtype);
    let count = if r.axes.is_empty() { mask } else { ctx.b.reduce_sum(mask, &r.axes, true) };
    let share = ctx.b.div(r.dy, count);
    Ok(vec![Some(ctx.b.mul(mask, share))])
}

/// A reduction of a case.
fn over(b: &mut Builder, op: &str, x: ValueId, axes: &[i64], keepdims: bool) -> ValueId {
    let axes = b.ints(axes);
    b.op_with(op, &[x, axes], &[("keepdims", Attr::Int(i64::from(keepdims)))])
}
