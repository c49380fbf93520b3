//! CenterCropPad; Pad in its mode `constant`; pads may be negative.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule};
use crate::ir::Attr;

pub(super) const RULES: &[Rule] =
    &[Rule::new("CenterCropPad", center).stops(&[1]), Rule::new("Pad", pad).stops(&[1, 2, 3])];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("CenterCropPad", "", &[any(&[4, 5, 3])], |b, x| {
        let shape = b.ints(&[7, 2, 3]);
        b.op("CenterCropPad", &[x[0], shape])
    }),
    case("CenterCropPad", "some axes", &[any(&[2, 6, 3])], |b, x| {
        let shape = b.ints(&[6, 3]);
        b.op_with("CenterCropPad", &[x[0], shape], &[("axes", Attr::Ints(vec![-1, 1]))])
    }),
    case("Pad", "asymmetric", &[any(&[2, 3])], |b, x| b.pad_zero(x[0], &[1, 0, 2, 3])),
    case("Pad", "negative", &[any(&[4, 5])], |b, x| b.pad_zero(x[0], &[-1, 2, 0, -3])),
    case("Pad", "some axes", &[any(&[2, 3, 4])], |b, x| {
        let pads = b.ints(&[1, 2, 0, -1]);
        let axes = b.ints(&[-1, 1]);
        b.node("", "Pad", &[Some(x[0]), Some(pads), None, Some(axes)], &[], 1)[0]
    }),
];

/// The middle is where it was: half of what was cut off, rounded down, is put before it again, and the other way round.
fn center(ctx: &mut Ctx) -> Gradients {
    let (dy, from, to) = (ctx.dy0()?, ctx.x_shape(0)?, ctx.y_shape()?);
    if from.len() != to.len() {
        return Err(ctx.invalid(format!("shapes {from:?} and {to:?}")));
    }
    let before = from
        .iter()
        .zip(&to)
        .map(|(from, to)| if from >= to { ((from - to) / 2) as i64 } else { -(((to - from) / 2) as i64) });
    let mut pads: Vec<i64> = before.collect();
    for i in 0..from.len() {
        pads.push(from[i] as i64 - to[i] as i64 - pads[i]);
    }
    Ok(vec![Some(ctx.b.pad_zero(dy, &pads))])
}

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
