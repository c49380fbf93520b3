//! GroupQueryAttention of ONNX Runtime's own domain: causal attention in which several heads of queries share keys and values. Written
//! out for whole sequences; past keys, quantized caches and the like are refused by name. Rows behind a sequence's length hold nothing
//! that counts, in its kernel as in this form.
//! Source: Ainslie et al., "GQA: training generalized multi-query transformer models from multi-head checkpoints", 2023.

use super::super::case::{Case, any, case};
use super::heads::{Heads, Mask, attend, parts};
use super::rotary_embedding::rotate;
use super::{Ctx, Expanded, Expansion, contrib};
use crate::diag::Result;
use crate::ir::{Attr, Builder, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("GroupQueryAttention", expand)];

pub(super) const CASES: &[Case] = &[
    case("GroupQueryAttention", "", &[any(&[2, 3, 32]), any(&[2, 3, 16]), any(&[2, 3, 16])], |b, x| {
        grouped(b, [Some(x[0]), Some(x[1]), Some(x[2])], &[], &[], 1)[0]
    }),
    case("GroupQueryAttention", "packed, scale", &[any(&[2, 3, 64])], |b, x| {
        grouped(b, [Some(x[0]), None, None], &[], &[("scale", Attr::Float(0.4))], 1)[0]
    }),
    case(
        "GroupQueryAttention",
        "rotary",
        &[any(&[1, 3, 64]), any(&[1, 3, 32]), any(&[1, 3, 32]), any(&[5, 8]), any(&[5, 8])],
        |b, x| {
            let tables = [Some(x[3]), Some(x[4])];
            grouped(b, [Some(x[0]), Some(x[1]), Some(x[2])], &tables, &[("do_rotary", Attr::Int(1))], 1)[0]
        },
    ),
    case(
        "GroupQueryAttention",
        "bias of the scores, present keys",
        &[any(&[2, 3, 32]), any(&[2, 3, 16]), any(&[2, 3, 16]), any(&[1, 4, 3, 3])],
        |b, x| {
            let more = [None, None, None, Some(x[3])];
            let made = grouped(b, [Some(x[0]), Some(x[1]), Some(x[2])], &more, &[], 3);
            let y = b.reduce_sum(made[0], &[0, 1, 2], false);
            let product = b.mul(made[1], made[2]);
            b.mul(product, y)
        },
    ),
];

/// Four heads of queries, two of keys, whole sequences.
fn grouped(
    b: &mut Builder,
    qkv: [Option<ValueId>; 3],
    more: &[Option<ValueId>],
    attrs: &[(&str, Attr)],
    outputs: usize,
) -> Vec<ValueId> {
    let shape = qkv[0].and_then(|q| b.graph.shape(q)).unwrap_or_default();
    let last = b.constant(Tensor::vector(&vec![shape[1] as i32 - 1; shape[0]]));
    let total = b.constant(Tensor::vector(&[shape[1] as i32]));
    let mut inputs = vec![qkv[0], qkv[1], qkv[2], None, None, Some(last), Some(total)];
    inputs.extend(more);
    let mut all = vec![("num_heads", Attr::Int(4)), ("kv_num_heads", Attr::Int(2))];
    all.extend(attrs.iter().cloned());
    contrib(b, "GroupQueryAttention", &inputs, &all, outputs)
}

fn refuse(ctx: &Ctx) -> Result<()> {
    let inputs = [
        (3, "past keys"),
        (4, "past values"),
        (11, "a sink of its heads"),
        (12, "a scale of quantized keys"),
        (13, "a scale of quantized values"),
        (14, "weights that normalise its queries"),
        (15, "weights that normalise its keys"),
    ];
    for (index, what) in inputs {
        if ctx.node.input(index).is_some() {
            return Err(ctx.unsupported(format!("it reads {what}")));
        }
    }
    for name in ["smooth_softmax", "qk_output", "kv_cache_bit_width", "sliding_window_cache"] {
        if ctx.node.int(name, 0) > 0 {
            return Err(ctx.unsupported(format!("`{name}` is set")));
        }
    }
    if ctx.node.int("local_window_size", -1) > 0 || ctx.node.float("softcap", 0.0) != 0.0 {
        return Err(ctx.unsupported("`local_window_size` or `softcap` is set"));
    }
    Ok(())
}

fn expand(ctx: &mut Ctx) -> Expanded {
    refuse(ctx)?;
    let (x, shape) = (ctx.x(0)?, ctx.x_shape(0)?);
    let count = |name: &str| usize::try_from(ctx.node.int(name, 0)).unwrap_or(0).max(1);
    let (heads, groups) = (count("num_heads"), count("kv_num_heads"));
    let [batch, length, hidden] = shape[..] else { return Err(ctx.invalid(format!("queries of shape {shape:?}"))) };
    let (q, k, v, width) = if let (Some(k), Some(v)) = (ctx.node.input(1), ctx.node.input(2)) {
        (x, k, v, hidden / heads)
    } else {
        let width = hidden / (heads + 2 * groups);
        let three = parts(ctx, x, &[heads * width, groups * width, groups * width], 2);
        (three[0], three[1], three[2], width)
    };
    if heads % groups != 0 || width == 0 {
        return Err(ctx.invalid(format!("{heads} heads share {groups} of width {width}")));
    }
    if ctx.node.input(1).is_some() && ctx.x_shape(1)? != [batch, length, groups * width] {
        return Err(ctx.unsupported("it has more keys than queries"));
    }
    let [mut q, mut k, v] = [(q, heads), (k, groups), (v, groups)]
        .map(|(part, heads)| ctx.b.reshape(part, &[0, 0, heads as i64, width as i64]));
    if ctx.node.int("do_rotary", 0) != 0 {
        let (cos, sin) = (ctx.x(7)?, ctx.x(8)?);
        let half = ctx.x_shape(7)?.last().copied().unwrap_or(0);
        let positions = ctx.node.input(9).unwrap_or_else(|| {
            let steps: Vec<i64> = (0..length as i64).collect();
            ctx.b.constant(Tensor::new([1, length], &steps))
        });
        let interleaved = ctx.node.int("rotary_interleaved", 0) != 0;
        q = rotate(ctx, q, width, half, [cos, sin], positions, interleaved)?;
        k = rotate(ctx, k, width, half, [cos, sin], positions, interleaved)?;
    }
    let [q, k, v] = [q, k, v].map(|part| ctx.b.transpose(part, &[0, 2, 1, 3]));
    let [all_k, all_v] = [k, v].map(|part| {
        if heads == groups {
            return part;
        }
        let apart = ctx.b.unsqueeze(part, &[2]);
        let copies = ctx.b.expand(apart, &[batch, groups, heads / groups, length, width]);
        ctx.b.reshape_to(copies, &[batch, heads, length, width])
    });
    let stated = f64::from(ctx.node.float("scale", 0.0));
    let scale = if stated == 0.0 { (width as f64).sqrt().recip() } else { stated };
    let mask = Mask { given: None, filter: 0.0, causal: ctx.node.int("causal", 1) != 0, bias: ctx.node.input(10) };
    let (y, _) = attend(ctx, Heads { q, k: all_k, v: all_v }, scale, &mask, [batch, length, length])?;
    Ok(vec![Some(y), Some(k), Some(v)])
}
