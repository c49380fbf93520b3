//! Clip, Max, Min.

use super::case::{Case, any, apart, away, case, scalar};
use super::{Ctx, Gradients, Rule};
use crate::ir::Tensor;

pub(super) const RULES: &[Rule] = &[
    Rule::new("Clip", clip).stops(&[1, 2]),
    Rule::new("Max", extremum).broadcast(),
    Rule::new("Min", extremum).broadcast(),
];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("Clip", "both bounds", &[away(&[3, 7], &[-0.5, 1.0])], |b, x| {
        let (low, high) = (scalar(b, x[0], -0.5), scalar(b, x[0], 1.0));
        b.op("Clip", &[x[0], low, high])
    }),
    case("Clip", "upper bound", &[away(&[3, 7], &[0.5])], |b, x| {
        let high = scalar(b, x[0], 0.5);
        b.node("", "Clip", &[Some(x[0]), None, Some(high)], &[], 1)[0]
    }),
    case("Clip", "lower bound", &[away(&[3, 7], &[0.5])], |b, x| {
        let low = scalar(b, x[0], 0.5);
        b.op("Clip", &[x[0], low])
    }),
    case("Clip", "no bound", &[any(&[3])], |b, x| b.op("Clip", x)),
    case("Max", "of a constant", &[away(&[3, 7], &[0.25])], |b, x| {
        let least = scalar(b, x[0], 0.25);
        b.op("Max", &[x[0], least])
    }),
    case("Max", "one input", &[any(&[3])], |b, x| b.op("Max", x)),
    case("Max", "halves of one input, broadcast", &[apart(&[4, 5])], |b, x| {
        let top = b.slice(x[0], &[0], &[3], &[0], &[1]);
        let last = b.slice(x[0], &[3], &[4], &[0], &[1]);
        b.op("Max", &[top, last])
    }),
    case("Min", "three parts of one input", &[apart(&[4, 5])], |b, x| {
        let parts: Vec<_> = [0, 1, 3].iter().map(|row| b.slice(x[0], &[*row], &[row + 1], &[0], &[1])).collect();
        b.op("Min", &parts)
    }),
];

/// dx = dy where min ≤ x ≤ max, bounds included as in torch; a bound that is not given does not bind.
fn clip(ctx: &mut Ctx) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
    // Bounds are nearly always numbers; torch lets the gradient through on them.
    let bound =
        |ctx: &Ctx, i: usize| ctx.node.input(i).map(|bound| ctx.b.graph.constant(bound).and_then(Tensor::to_scalar));
    if let (None | Some(Some(_)), None | Some(Some(_))) = (bound(ctx, 1), bound(ctx, 2)) {
        let (low, high) = (bound(ctx, 1).flatten(), bound(ctx, 2).flatten());
        return Ok(vec![Some(ctx.gate(dy, x, low, high, true))]);
    }
    let above = ctx.node.input(1).map(|low| ctx.b.greater_or_equal(x, low));
    let below = ctx.node.input(2).map(|high| ctx.b.less_or_equal(x, high));
    let inside = match (above, below) {
        (Some(above), Some(below)) => ctx.b.and(above, below),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return Ok(vec![Some(dy)]),
    };
    Ok(vec![Some(ctx.keep_where(x, inside, dy))])
}

/// The gradient goes to the input that is the extremum; inputs that tie share it evenly (torch's `maximum` gives each half).
fn extremum(ctx: &mut Ctx) -> Gradients {
    let (dy, y) = (ctx.dy0()?, ctx.y(0)?);
    let inputs: Vec<_> = ctx.node.inputs.iter().copied().flatten().collect();
    if inputs.len() == 1 {
        return Ok(vec![Some(dy)]);
    }
    let dtype = ctx.dtype(y);
    let mut masks = Vec::with_capacity(inputs.len());
    for x in &inputs {
        let hit = ctx.b.equal(*x, y);
        masks.push(ctx.b.cast(hit, dtype));
    }
    let count = ctx.b.op("Sum", &masks);
    let share = ctx.b.div(dy, count);
    Ok((0..inputs.len()).map(|i| ctx.wants(i).then(|| ctx.b.mul(share, masks[i]))).collect())
}
