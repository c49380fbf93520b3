//! Clip, Max, Min.

use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule::new("Clip", clip).stops(&[1, 2]),
    Rule::new("Max", extremum).broadcast(),
    Rule::new("Min", extremum).broadcast(),
];

/// dx = dy where min ≤ x ≤ max, bounds included as in torch; a bound that is not given does not bind.
fn clip(ctx: &mut Ctx) -> Gradients {
    let (dy, x) = (ctx.dy0()?, ctx.x(0)?);
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
