//! EmbedLayerNormalization: `LayerNormalization` of the sum of word, position and segment embeddings. The second output counts each
//! row's unmasked words, the third is the sum.

use super::super::case::{Case, any, case};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::ir::{Attr, Builder, DType, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("EmbedLayerNormalization", expand)];

pub(super) const CASES: &[Case] = &[
    case(
        "EmbedLayerNormalization",
        "words and positions",
        &[any(&[7, 8]), any(&[5, 8]), any(&[8]), any(&[8])],
        |b, x| {
            let inputs = [Some(words(b)), None, Some(x[0]), Some(x[1]), None, Some(x[2]), Some(x[3])];
            contrib(b, "EmbedLayerNormalization", &inputs, &[("epsilon", Attr::Float(0.05))], 2)[0]
        },
    ),
    case(
        "EmbedLayerNormalization",
        "segments, mask, stated positions, the sum in use",
        &[any(&[7, 8]), any(&[5, 8]), any(&[2, 8]), any(&[8]), any(&[8])],
        |b, x| {
            let segments = b.constant(Tensor::new([2, 4], &[0i32, 0, 1, 1, 0, 1, 1, 1]));
            let mask = b.constant(Tensor::new([2, 4], &[1i32, 1, 1, 0, 1, 0, 0, 0]));
            let positions = b.constant(Tensor::new([2, 4], &[0i32, 1, 2, 3, 4, 4, 2, 0]));
            let inputs = [
                Some(words(b)),
                Some(segments),
                Some(x[0]),
                Some(x[1]),
                Some(x[2]),
                Some(x[3]),
                Some(x[4]),
                Some(mask),
                Some(positions),
            ];
            let made = contrib(b, "EmbedLayerNormalization", &inputs, &[("epsilon", Attr::Float(1e-5))], 3);
            let dtype = b.graph.dtype(x[0]).unwrap_or(DType::F32);
            let counts = b.cast(made[1], dtype);
            let counts = b.reshape(counts, &[2, 1, 1]);
            let product = b.mul(made[0], made[2]);
            b.mul(product, counts)
        },
    ),
];

fn words(b: &mut Builder) -> ValueId {
    b.constant(Tensor::new([2, 4], &[6i32, 0, 3, 3, 1, 2, 0, 6]))
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let (words, table, positions) = (ctx.x(0)?, ctx.x(2)?, ctx.x(3)?);
    let (gamma, beta, mask) = (ctx.x(5)?, ctx.x(6)?, ctx.node.input(7));
    let shape = ctx.x_shape(0)?;
    let [batch, length] = shape[..] else { return Err(ctx.invalid(format!("word ids of shape {shape:?}"))) };
    let word = ctx.b.op("Gather", &[table, words]);
    let position = match ctx.node.input(8) {
        Some(ids) => ctx.b.op("Gather", &[positions, ids]),
        None => ctx.b.slice(positions, &[0], &[length as i64], &[0], &[1]),
    };
    let mut sum = ctx.b.add(word, position);
    if let (Some(ids), Some(segments)) = (ctx.node.input(1), ctx.node.input(4)) {
        let segment = ctx.b.op("Gather", &[segments, ids]);
        sum = ctx.b.add(sum, segment);
    }
    let attrs = [("axis", Attr::Int(-1)), ("epsilon", Attr::Float(ctx.node.float("epsilon", 1e-12)))];
    let y = ctx.b.op_with("LayerNormalization", &[sum, gamma, beta], &attrs);
    let counts = ctx.node.output(1).map(|_| counts(ctx, mask, batch));
    Ok(vec![Some(y), counts, Some(sum)])
}

/// How many words of each row the mask lets through, 0 without a mask.
fn counts(ctx: &mut Ctx, mask: Option<ValueId>, batch: usize) -> ValueId {
    let Some(mask) = mask else { return ctx.b.constant(Tensor::new([batch], &vec![0i32; batch])) };
    let one = ctx.b.constant(Tensor::scalar(1i32));
    let open = ctx.b.equal(mask, one);
    let open = ctx.b.cast(open, DType::I32);
    ctx.b.reduce_sum(open, &[1], false)
}
