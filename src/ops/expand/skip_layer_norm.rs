//! SkipLayerNormalization: `LayerNormalization` of input + skip (+ bias). The fourth output is that sum.

use super::super::case::{Case, any, case};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::ir::{Attr, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("SkipLayerNormalization", expand)];

pub(super) const CASES: &[Case] = &[
    case("SkipLayerNormalization", "", &[any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[8])], |b, x| {
        contrib(b, OP, &[Some(x[0]), Some(x[1]), Some(x[2])], &[], 1)[0]
    }),
    case(
        "SkipLayerNormalization",
        "beta, bias, ε",
        &[any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[8]), any(&[8]), any(&[8])],
        |b, x| {
            let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
            contrib(b, OP, &inputs, &[("epsilon", Attr::Float(0.05))], 1)[0]
        },
    ),
    case(
        "SkipLayerNormalization",
        "skip of one row",
        &[any(&[2, 3, 8]), any(&[1, 3, 8]), any(&[8]), any(&[8])],
        |b, x| {
            let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
            contrib(b, OP, &inputs, &[], 1)[0]
        },
    ),
    case("SkipLayerNormalization", "the sum in use", &[any(&[2, 3, 8]), any(&[3, 8]), any(&[8]), any(&[8])], |b, x| {
        let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), None, Some(x[3])];
        let made = b.node(super::CONTRIB, OP, &inputs, &[], 4);
        b.mul(made[0], made[3])
    }),
];

const OP: &str = "SkipLayerNormalization";

fn expand(ctx: &mut Ctx) -> Expanded {
    let (x, skip, gamma) = (ctx.x(0)?, ctx.x(1)?, ctx.x(2)?);
    let (beta, bias) = (ctx.node.input(3), ctx.node.input(4));
    if ctx.node.output(1).or(ctx.node.output(2)).is_some_and(|value| ctx.is_read(value)) {
        return Err(ctx.unsupported("its mean or deviation is read"));
    }
    let mut sum = ctx.b.add(x, skip);
    if let Some(bias) = bias {
        sum = ctx.b.add(sum, bias);
    }
    let epsilon = ctx.node.float("epsilon", 1e-12);
    let attrs = [("axis", Attr::Int(-1)), ("epsilon", Attr::Float(epsilon))];
    let y = ctx.b.node("", "LayerNormalization", &[Some(sum), Some(gamma), beta], &attrs, 1)[0];
    Ok(vec![Some(y), None, None, Some(sum)])
}
