//! Pad in its mode `constant`; pads may be negative.

use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[Rule::new("Pad", pad).stops(&[1, 2, 3])];

/// What was added is cut off, what was cut off gets zeros.
fn pad(ctx: &mut Ctx) -> Gradients {
    let (dy, rank) = (ctx.dy0()?, ctx.x_shape(0)?.len());
    let mode = ctx.node.text("mode").unwrap_or("constant");
    if mode != "constant" {
        return Err(ctx.unsupported(format!("mode `{mode}`; only `constant` is covered")));
    }
    let Some(pads) = ctx.constant_ints(1)? else { return Err(ctx.invalid("it has no pads".to_owned())) };
    let axes = match ctx.constant_ints(3)? {
        Some(axes) => ctx.axes(&axes, rank)?,
        None => (0..rank as i64).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(ctx.invalid(format!("{} pads for {} axes", pads.len(), axes.len())));
    }
    let mut undo = vec![0; 2 * rank];
    for (i, axis) in axes.iter().enumerate() {
        undo[*axis as usize] = -pads[i];
        undo[rank + *axis as usize] = -pads[axes.len() + i];
    }
    Ok(vec![Some(ctx.b.pad_zero(dy, &undo))])
}
