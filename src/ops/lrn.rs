//! LRN: y = x·s^−β with s = k + α/n·Σ x² over n neighbouring channels.
//!
//! dx = dy·s^−β − 2αβ/n·x·Σ (dy·x·s^−(β+1)) over the channels whose neighbour x is.
//! Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule};
use crate::ir::{Attr, ValueId};

pub(super) const RULES: &[Rule] = &[Rule::new("LRN", lrn)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("LRN", "five channels", &[any(&[2, 7, 3, 2])], |b, x| {
        b.op_with("LRN", x, &[("size", Attr::Int(5)), ("alpha", Attr::Float(0.9)), ("beta", Attr::Float(0.75))])
    }),
    case("LRN", "three channels, own constants", &[any(&[1, 5, 3, 2])], |b, x| {
        let attrs = [
            ("size", Attr::Int(3)),
            ("alpha", Attr::Float(0.6)),
            ("beta", Attr::Float(0.5)),
            ("bias", Attr::Float(2.0)),
        ];
        b.op_with("LRN", x, &attrs)
    }),
    case("LRN", "wider than the channels", &[any(&[1, 2, 2, 3])], |b, x| {
        b.op_with("LRN", x, &[("size", Attr::Int(5)), ("alpha", Attr::Float(0.9))])
    }),
];

fn lrn(ctx: &mut Ctx) -> Gradients {
    let (dy, x, shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x_shape(0)?);
    let size = ctx.node.int("size", 0);
    let (alpha, beta) = (f64::from(ctx.node.float("alpha", 1e-4)), f64::from(ctx.node.float("beta", 0.75)));
    let bias = f64::from(ctx.node.float("bias", 1.0));
    if size < 1 || size % 2 == 0 || shape.len() < 3 {
        return Err(ctx.unsupported(format!("size {size} for the shape {shape:?}; odd sizes are covered")));
    }
    let square = ctx.b.mul(x, x);
    let mean = neighbours(ctx, square, &shape, size);
    let scaled = ctx.scale(x, mean, alpha);
    let bias = ctx.scalar(x, bias);
    let s = ctx.b.add(scaled, bias);
    let minus_beta = ctx.scalar(x, -beta);
    let gain = ctx.b.pow(s, minus_beta);
    let direct = ctx.b.mul(dy, gain);
    let weighted = ctx.b.mul(direct, x);
    let weighted = ctx.b.div(weighted, s);
    let mean = neighbours(ctx, weighted, &shape, size);
    let along = ctx.b.mul(mean, x);
    let along = ctx.scale(x, along, 2.0 * alpha * beta);
    Ok(vec![Some(ctx.b.sub(direct, along))])
}

/// Σ/n over a window of channels, zeros outside.
fn neighbours(ctx: &mut Ctx, value: ValueId, shape: &[usize], size: i64) -> ValueId {
    let rest: usize = shape[2..].iter().product();
    let flat = ctx.b.reshape_to(value, &[shape[0], 1, shape[1], rest]);
    let attrs = [
        ("kernel_shape", Attr::Ints(vec![size, 1])),
        ("pads", Attr::Ints(vec![size / 2, 0, size / 2, 0])),
        ("count_include_pad", Attr::Int(1)),
    ];
    let mean = ctx.b.op_with("AveragePool", &[flat], &attrs);
    ctx.b.reshape_to(mean, shape)
}
