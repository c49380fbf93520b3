//! GlobalLpPool, LpPool: y = (Σ |x|^p)^(1/p) over a window. dx = sign(x)·|x|^(p−1) · Σ over the windows of dy·y^(1−p).

use super::case::{Case, any, away, case};
use super::window::Window;
use super::{Ctx, Gradients, Rule, pool};
use crate::ir::{Attr, Builder, ValueId};

pub(super) const RULES: &[Rule] = &[
    Rule::new("GlobalLpPool", |ctx| {
        let shape = ctx.x_shape(0)?;
        let weight = weight(ctx)?;
        let spread = ctx.b.expand(weight, &shape);
        scaled(ctx, spread)
    }),
    Rule::new("LpPool", |ctx| {
        let (x_shape, y_shape) = (ctx.x_shape(0)?, ctx.y_shape()?);
        let kernel = pool::kernel(ctx, &x_shape)?;
        let window = Window::read(ctx, &kernel, &x_shape[2..])?;
        let weight = weight(ctx)?;
        let spread = pool::spread(ctx, weight, &window, &x_shape, &y_shape)?;
        scaled(ctx, spread)
    }),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("GlobalLpPool", "", &[any(&[2, 3, 4, 5])], |b, x| b.op("GlobalLpPool", x)),
    case("GlobalLpPool", "p = 3", &[away(&[2, 3, 6], &[0.0])], |b, x| {
        b.op_with("GlobalLpPool", x, &[("p", Attr::Int(3))])
    }),
    case("LpPool", "tiles", &[any(&[2, 3, 4, 6])], |b, x| of(b, x, 2, &[2, 3], &[2, 3], &[0, 0, 0, 0], &[])),
    case("LpPool", "overlap, pads, p = 3", &[away(&[1, 2, 7, 5], &[0.0])], |b, x| {
        of(b, x, 3, &[3, 2], &[2, 1], &[1, 0, 1, 1], &[])
    }),
    case("LpPool", "p = 1", &[away(&[1, 2, 6, 5], &[0.0])], |b, x| of(b, x, 1, &[3, 2], &[1, 2], &[0, 0, 0, 0], &[])),
    case("LpPool", "dilated", &[any(&[1, 2, 8, 6])], |b, x| {
        of(b, x, 2, &[3, 2], &[1, 2], &[0, 0, 0, 0], &[("dilations", Attr::Ints(vec![2, 3]))])
    }),
    case("LpPool", "ceil, 1d", &[any(&[2, 3, 8])], |b, x| {
        of(b, x, 2, &[3], &[2], &[0, 0], &[("ceil_mode", Attr::Int(1))])
    }),
];

/// dy·y^(1−p), 0 where y = 0.
fn weight(ctx: &mut Ctx) -> super::Result<ValueId> {
    let (dy, x, y) = (ctx.dy0()?, ctx.x(0)?, ctx.y(0)?);
    let p = ctx.node.int("p", 2);
    if p < 1 {
        return Err(ctx.invalid(format!("p {p}")));
    }
    if p == 1 {
        return Ok(dy);
    }
    let (zero, one, power) = (ctx.scalar(x, 0.0), ctx.scalar(x, 1.0), ctx.scalar(x, (p - 1) as f64));
    let flat = ctx.b.equal(y, zero);
    let safe = ctx.b.select(flat, one, y);
    let divisor = if p == 2 { safe } else { ctx.b.pow(safe, power) };
    Ok(ctx.b.div(dy, divisor))
}

/// sign(x)·|x|^(p−1) times what the windows of each x sum to.
fn scaled(ctx: &mut Ctx, spread: ValueId) -> Gradients {
    let x = ctx.x(0)?;
    let factor = match ctx.node.int("p", 2) {
        1 => ctx.b.sign(x),
        2 => x,
        p => {
            let size = ctx.b.abs(x);
            let power = ctx.scalar(x, (p - 2) as f64);
            let size = ctx.b.pow(size, power);
            ctx.b.mul(x, size)
        }
    };
    Ok(vec![Some(ctx.b.mul(factor, spread))])
}

/// A pooling of a case.
fn of(
    b: &mut Builder,
    x: &[ValueId],
    p: i64,
    kernel: &[i64],
    strides: &[i64],
    pads: &[i64],
    more: &[(&str, Attr)],
) -> ValueId {
    let attrs = [
        ("p", Attr::Int(p)),
        ("kernel_shape", Attr::Ints(kernel.to_vec())),
        ("strides", Attr::Ints(strides.to_vec())),
        ("pads", Attr::Ints(pads.to_vec())),
    ];
    b.op_with("LpPool", x, &[&attrs[..], more].concat())
}
