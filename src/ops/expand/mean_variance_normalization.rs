//! MeanVarianceNormalization: (x − μ) / (σ + 10⁻⁹) over `axes`.

use super::super::case::{Case, any, case};
use super::{Ctx, Expanded, Expansion};
use crate::ir::Attr;

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("MeanVarianceNormalization", expand)];

pub(super) const CASES: &[Case] = &[
    case("MeanVarianceNormalization", "by channel", &[any(&[2, 3, 4, 2])], |b, x| b.op("MeanVarianceNormalization", x)),
    case("MeanVarianceNormalization", "by sample", &[any(&[2, 3, 4, 2])], |b, x| {
        b.op_with("MeanVarianceNormalization", x, &[("axes", Attr::Ints(vec![1, 2, 3]))])
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    const EPSILON: f64 = 1e-9;
    let (x, rank) = (ctx.x(0)?, ctx.x_shape(0)?.len());
    let axes = ctx.axes(ctx.node.ints("axes").unwrap_or(&[0, 2, 3]), rank)?;
    let mean = ctx.b.reduce_mean(x, &axes, true);
    let centred = ctx.b.sub(x, mean);
    let square = ctx.b.mul(centred, centred);
    let variance = ctx.b.reduce_mean(square, &axes, true);
    let deviation = ctx.b.sqrt(variance);
    let epsilon = ctx.scalar(x, EPSILON);
    let deviation = ctx.b.add(deviation, epsilon);
    Ok(vec![Some(ctx.b.div(centred, deviation))])
}
