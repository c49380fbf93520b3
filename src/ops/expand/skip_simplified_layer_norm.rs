//! SkipSimplifiedLayerNormalization: `SimplifiedLayerNormalization` of input + skip (+ bias). The fourth output is that sum.

use super::super::case::{Case, any, case};
use super::simplified_layer_norm::root_mean_square;
use super::{Ctx, Expanded, Expansion, contrib};
use crate::ir::{Attr, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib(OP, expand)];

const OP: &str = "SkipSimplifiedLayerNormalization";

pub(super) const CASES: &[Case] = &[
    case(OP, "", &[any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[8])], |b, x| {
        contrib(b, OP, &[Some(x[0]), Some(x[1]), Some(x[2])], &[], 1)[0]
    }),
    case(OP, "bias, ε, the sum in use", &[any(&[2, 3, 8]), any(&[3, 8]), any(&[8]), any(&[8])], |b, x| {
        let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
        let made = contrib(b, OP, &inputs, &[("epsilon", Attr::Float(0.05))], 4);
        b.mul(made[0], made[3])
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    let (x, skip, gamma) = (ctx.x(0)?, ctx.x(1)?, ctx.x(2)?);
    if ctx.node.output(1).or(ctx.node.output(2)).is_some_and(|value| ctx.is_read(value)) {
        return Err(ctx.unsupported("its mean or deviation is read"));
    }
    let mut sum = ctx.b.add(x, skip);
    if let Some(bias) = ctx.node.input(3) {
        sum = ctx.b.add(sum, bias);
    }
    let epsilon = f64::from(ctx.node.float("epsilon", 1e-12));
    let (y, _) = root_mean_square(ctx, sum, gamma, &[-1], epsilon)?;
    Ok(vec![Some(y), None, None, Some(sum)])
}
