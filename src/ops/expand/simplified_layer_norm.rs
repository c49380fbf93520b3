//! SimplifiedLayerNormalization: x / √(mean(x²) + ε) · scale over the dimensions from `axis` on. ONNX Runtime's own operator, in the
//! standard domain. Source: Zhang, Sennrich, "Root mean square layer normalization", 2019.

use super::super::case::{Case, any, case};
use super::{Ctx, Expanded, Expansion};
use crate::diag::Result;
use crate::ir::{Attr, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("SimplifiedLayerNormalization", expand)];

pub(super) const CASES: &[Case] = &[
    case("SimplifiedLayerNormalization", "last axis", &[any(&[2, 3, 8]), any(&[8])], |b, x| {
        b.op_with("SimplifiedLayerNormalization", x, &[("epsilon", Attr::Float(0.05))])
    }),
    case("SimplifiedLayerNormalization", "two axes", &[any(&[2, 3, 4]), any(&[3, 4])], |b, x| {
        b.op_with("SimplifiedLayerNormalization", x, &[("axis", Attr::Int(1))])
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    let (x, scale, rank) = (ctx.x(0)?, ctx.x(1)?, ctx.x_shape(0)?.len());
    let axes: Vec<i64> = (ctx.axis(-1, rank)? as i64..rank as i64).collect();
    let epsilon = f64::from(ctx.node.float("epsilon", 1e-5));
    let (y, inverse) = root_mean_square(ctx, x, scale, &axes, epsilon)?;
    Ok(vec![Some(y), Some(inverse)])
}

/// x·r·scale and r = 1/√(mean(x²) + ε), with ε in the type of the node's first input.
pub(super) fn root_mean_square(
    ctx: &mut Ctx,
    x: ValueId,
    scale: ValueId,
    axes: &[i64],
    epsilon: f64,
) -> Result<(ValueId, ValueId)> {
    let square = ctx.b.mul(x, x);
    let mean = ctx.b.reduce_mean(square, axes, true);
    let like = ctx.x(0)?;
    let epsilon = ctx.scalar(like, epsilon);
    let shifted = ctx.b.add(mean, epsilon);
    let root = ctx.b.sqrt(shifted);
    let inverse = ctx.b.reciprocal(root);
    let normal = ctx.b.mul(x, inverse);
    Ok((ctx.b.mul(normal, scale), inverse))
}
