//! InstanceNormalization: x̂ = (x − μ)·r for each sample and channel, y = γ·x̂ + β.
//!
//! dx = γ·r·(dy − mean dy − x̂·mean(dy·x̂)). Source: Ulyanov, Vedaldi, Lempitsky, "Instance normalization", 2016.

use super::case::{Case, any, case};
use super::{Ctx, Gradients, Rule};

pub(super) const RULES: &[Rule] = &[Rule::new("InstanceNormalization", instance_norm)];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("InstanceNormalization", "images", &[any(&[2, 3, 4, 5]), any(&[3]), any(&[3])], |b, x| {
        b.op("InstanceNormalization", x)
    }),
    case("InstanceNormalization", "sequences", &[any(&[2, 3, 7]), any(&[3]), any(&[3])], |b, x| {
        b.op_with("InstanceNormalization", x, &[("epsilon", crate::ir::Attr::Float(1e-2))])
    }),
];

fn instance_norm(ctx: &mut Ctx) -> Gradients {
    let (dy, x, scale, shape) = (ctx.dy0()?, ctx.x(0)?, ctx.x(1)?, ctx.x_shape(0)?);
    if shape.len() < 3 {
        return Err(ctx.invalid(format!("an input of shape {shape:?}")));
    }
    let spatial: Vec<i64> = (2..shape.len() as i64).collect();
    let others: Vec<i64> = std::iter::once(0).chain(2..shape.len() as i64).collect();
    let mut column = vec![1; shape.len()];
    column[1] = shape[1];
    let epsilon = f64::from(ctx.node.float("epsilon", 1e-5));
    let normal = if ctx.wants(0) || ctx.wants(1) {
        let (mean, inverse) = super::layer_norm::moments(ctx, x, &spatial, epsilon);
        let centred = ctx.b.sub(x, mean);
        let normal = ctx.b.mul(centred, inverse);
        Some((normal, inverse, ctx.b.mul(dy, normal)))
    } else {
        None
    };
    let dx = normal.filter(|_| ctx.wants(0)).map(|(normal, inverse, product)| {
        let mean = ctx.b.reduce_mean(dy, &spatial, true);
        let along = ctx.b.reduce_mean(product, &spatial, true);
        let along = ctx.b.mul(normal, along);
        let centred = ctx.b.sub(dy, mean);
        let rest = ctx.b.sub(centred, along);
        let gamma = ctx.b.reshape_to(scale, &column);
        let gain = ctx.b.mul(inverse, gamma);
        ctx.b.mul(rest, gain)
    });
    let dscale = normal.filter(|_| ctx.wants(1)).map(|(_, _, product)| ctx.b.reduce_sum(product, &others, false));
    let dbias = ctx.wants(2).then(|| ctx.b.reduce_sum(dy, &others, false));
    Ok(vec![dx, dscale, dbias])
}
