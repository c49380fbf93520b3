//! MultiHeadAttention of ONNX Runtime's own domain: attention by heads over queries, keys and values that are projected already.
//! Past keys and packed forms, which its CPU kernel does not take either, are refused by name.

use super::super::case::{Case, any, case};
use super::heads::{Heads, Mask, attend, parts, split};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::ir::{Attr, Builder, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("MultiHeadAttention", expand)];

pub(super) const CASES: &[Case] = &[
    case("MultiHeadAttention", "", &[any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[2, 3, 8])], |b, x| {
        heads(b, &[Some(x[0]), Some(x[1]), Some(x[2])], &[])
    }),
    case(
        "MultiHeadAttention",
        "other keys, bias, narrow values, scale",
        &[any(&[2, 3, 8]), any(&[2, 5, 8]), any(&[2, 5, 4]), any(&[20])],
        |b, x| {
            let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), Some(x[3])];
            heads(b, &inputs, &[("scale", Attr::Float(0.8))])
        },
    ),
    case("MultiHeadAttention", "unidirectional", &[any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[2, 3, 8])], |b, x| {
        heads(b, &[Some(x[0]), Some(x[1]), Some(x[2])], &[("unidirectional", Attr::Int(1))])
    }),
    case("MultiHeadAttention", "lengths of keys", &[any(&[2, 3, 8]), any(&[2, 4, 8]), any(&[2, 4, 8])], |b, x| {
        let mask = b.constant(Tensor::vector(&[2i32, 4]));
        heads(b, &[Some(x[0]), Some(x[1]), Some(x[2]), None, Some(mask)], &[])
    }),
    case("MultiHeadAttention", "mask of keys", &[any(&[2, 3, 8]), any(&[2, 4, 8]), any(&[2, 4, 8])], |b, x| {
        let mask = b.constant(Tensor::new([2, 4], &[1i32, 0, 1, 1, 1, 1, 0, 0]));
        heads(b, &[Some(x[0]), Some(x[1]), Some(x[2]), None, Some(mask)], &[])
    }),
    case(
        "MultiHeadAttention",
        "mask of pairs, bias of the scores, mild filter",
        &[any(&[2, 2, 8]), any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[2, 2, 2, 3])],
        |b, x| {
            let mask = b.constant(Tensor::new([2, 2, 3], &[1i32, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0]));
            let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), None, Some(mask), Some(x[3])];
            heads(b, &inputs, &[("mask_filter_value", Attr::Float(-2.0))])
        },
    ),
    case(
        "MultiHeadAttention",
        "keys by head, broadcast bias",
        &[any(&[2, 3, 8]), any(&[2, 2, 5, 4]), any(&[2, 2, 5, 4]), any(&[1, 1, 3, 5])],
        |b, x| heads(b, &[Some(x[0]), Some(x[1]), Some(x[2]), None, None, Some(x[3])], &[]),
    ),
    case(
        "MultiHeadAttention",
        "present keys and values",
        &[any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[2, 3, 8]), any(&[24])],
        |b, x| {
            let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
            let made = contrib(b, "MultiHeadAttention", &inputs, &[("num_heads", Attr::Int(2))], 3);
            let y = b.reduce_sum(made[0], &[0, 1, 2], false);
            let product = b.mul(made[1], made[2]);
            b.mul(product, y)
        },
    ),
];

fn heads(b: &mut Builder, inputs: &[Option<ValueId>], attrs: &[(&'static str, Attr)]) -> ValueId {
    let mut all = vec![("num_heads", Attr::Int(2))];
    all.extend(attrs.iter().cloned());
    contrib(b, "MultiHeadAttention", inputs, &all, 1)[0]
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let refused =
        [(6, "past keys"), (7, "past values"), (8, "the length of a past"), (9, "an indirection of its past")];
    for (index, what) in refused {
        if ctx.node.input(index).is_some() {
            return Err(ctx.unsupported(format!("it reads {what}")));
        }
    }
    let (Some(q), Some(k), Some(v)) = (ctx.node.input(0), ctx.node.input(1), ctx.node.input(2)) else {
        return Err(ctx.unsupported("its keys or values are packed with another input"));
    };
    if ctx.node.output(3).is_some_and(|scores| ctx.is_read(scores)) {
        return Err(ctx.unsupported("its scores are read"));
    }
    let heads = usize::try_from(ctx.node.int("num_heads", 0)).unwrap_or(0).max(1);
    let (q_shape, k_shape, v_shape) = (ctx.x_shape(0)?, ctx.x_shape(1)?, ctx.x_shape(2)?);
    let ([batch, queries, width], by_head) = (&q_shape[..], k_shape.len() == 4) else {
        return Err(ctx.invalid(format!("queries of shape {q_shape:?}")));
    };
    let keys = if by_head { k_shape[2] } else { k_shape.get(1).copied().unwrap_or(0) };
    if v_shape.len() != k_shape.len() || !(3..=4).contains(&k_shape.len()) {
        return Err(ctx.unsupported(format!("keys and values have the shapes {k_shape:?} and {v_shape:?}")));
    }
    let mut given = [q, k, v];
    if let Some(bias) = ctx.node.input(3) {
        if by_head {
            return Err(ctx.unsupported("keys by head have a bias"));
        }
        let biases = parts(ctx, bias, &[*width, *width, v_shape[2]], 0);
        for (value, bias) in given.iter_mut().zip(biases) {
            *value = ctx.b.add(*value, bias);
        }
    }
    let q = split(ctx, given[0], heads);
    let [k, v] = [given[1], given[2]].map(|value| if by_head { value } else { split(ctx, value, heads) });
    let stated = f64::from(ctx.node.float("scale", 0.0));
    let scale = if stated == 0.0 { ((width / heads) as f64).sqrt().recip() } else { stated };
    let mask = Mask {
        given: ctx.node.input(4),
        filter: ctx.node.float("mask_filter_value", -10000.0),
        causal: ctx.node.int("unidirectional", 0) != 0,
        bias: ctx.node.input(5),
    };
    let (y, _) = attend(ctx, Heads { q, k, v }, scale, &mask, [*batch, *queries, keys])?;
    Ok(vec![Some(y), Some(k), Some(v)])
}
