//! Attention of ONNX Runtime's own domain: one packed projection to queries, keys and values, then attention by heads.
//! Past keys and rotary positions are refused by name.

use super::super::case::{Case, any, case};
use super::heads::{Heads, Mask, attend, parts, split};
use super::{Ctx, Expanded, Expansion, contrib};
use crate::ir::{Attr, Builder, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::contrib("Attention", expand)];

pub(super) const CASES: &[Case] = &[
    case("Attention", "", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        attention(b, &[Some(x[0]), Some(x[1]), Some(x[2])], &[])
    }),
    case("Attention", "unidirectional", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        attention(b, &[Some(x[0]), Some(x[1]), Some(x[2])], &[("unidirectional", Attr::Int(1))])
    }),
    case("Attention", "values of another width, scale", &[any(&[2, 3, 4]), any(&[4, 20]), any(&[20])], |b, x| {
        let sizes = ("qkv_hidden_sizes", Attr::Ints(vec![8, 8, 4]));
        attention(b, &[Some(x[0]), Some(x[1]), Some(x[2])], &[sizes, ("scale", Attr::Float(0.9))])
    }),
    case("Attention", "lengths", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        masked(b, x, Tensor::vector(&[2i32, 3]))
    }),
    case("Attention", "ends and starts", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        masked(b, x, Tensor::vector(&[3i32, 2, 1, 0]))
    }),
    case("Attention", "mask of keys", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        masked(b, x, Tensor::new([2, 3], &[1i32, 0, 1, 1, 1, 0]))
    }),
    case("Attention", "mask of pairs", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        let pairs = [1i32, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1];
        masked(b, x, Tensor::new([2, 3, 3], &pairs))
    }),
    case(
        "Attention",
        "bias of the scores, mask, unidirectional, mild filter",
        &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24]), any(&[1, 2, 3, 3])],
        |b, x| {
            let mask = b.constant(Tensor::new([2, 3], &[1i32, 0, 1, 1, 1, 0]));
            let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), Some(mask), None, Some(x[3])];
            attention(b, &inputs, &[("unidirectional", Attr::Int(1)), ("mask_filter_value", Attr::Float(-1.5))])
        },
    ),
    case("Attention", "present keys and values", &[any(&[2, 3, 4]), any(&[4, 24]), any(&[24])], |b, x| {
        let inputs = [Some(x[0]), Some(x[1]), Some(x[2])];
        let made = contrib(b, "Attention", &inputs, &[("num_heads", Attr::Int(2))], 2);
        let (y, present) = (b.reduce_sum(made[0], &[0, 1, 2], false), b.mul(made[1], made[1]));
        b.mul(present, y)
    }),
];

fn attention(b: &mut Builder, inputs: &[Option<ValueId>], attrs: &[(&'static str, Attr)]) -> ValueId {
    let mut all = vec![("num_heads", Attr::Int(2))];
    all.extend(attrs.iter().cloned());
    contrib(b, "Attention", inputs, &all, 1)[0]
}

fn masked(b: &mut Builder, x: &[ValueId], mask: Tensor) -> ValueId {
    let mask = b.constant(mask);
    attention(b, &[Some(x[0]), Some(x[1]), Some(x[2]), Some(mask)], &[])
}

fn expand(ctx: &mut Ctx) -> Expanded {
    for (index, what) in [(4, "past keys"), (6, "the length of a past")] {
        if ctx.node.input(index).is_some() {
            return Err(ctx.unsupported(format!("it reads {what}")));
        }
    }
    if ctx.node.int("do_rotary", 0) != 0 {
        return Err(ctx.unsupported("`do_rotary` is set"));
    }
    let (x, weights) = (ctx.x(0)?, ctx.x(1)?);
    let (shape, columns) = (ctx.x_shape(0)?, ctx.x_shape(1)?);
    let ([batch, length, _], [_, columns]) = (&shape[..], &columns[..]) else {
        return Err(ctx.invalid(format!("input and weights have the shapes {shape:?} and {columns:?}")));
    };
    let heads = usize::try_from(ctx.node.int("num_heads", 0)).unwrap_or(0).max(1);
    let stated = ctx.node.ints("qkv_hidden_sizes").unwrap_or_default();
    let sizes: Vec<usize> = match stated {
        [] => vec![columns / 3; 3],
        stated => stated.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect(),
    };
    if sizes.len() != 3 || sizes.iter().sum::<usize>() != *columns || sizes.iter().any(|size| size % heads != 0) {
        return Err(ctx.invalid(format!("weights of {columns} columns make {sizes:?} of {heads} heads")));
    }
    let mut packed = ctx.b.matmul(x, weights);
    if let Some(bias) = ctx.node.input(2) {
        packed = ctx.b.add(packed, bias);
    }
    let three = parts(ctx, packed, &sizes, 2);
    let [q, k, v] = [three[0], three[1], three[2]].map(|part| split(ctx, part, heads));
    let stated = f64::from(ctx.node.float("scale", 0.0));
    let scale = if stated == 0.0 { ((sizes[0] / heads) as f64).sqrt().recip() } else { stated };
    let mask = Mask {
        given: ctx.node.input(3),
        filter: ctx.node.float("mask_filter_value", -10000.0),
        causal: ctx.node.int("unidirectional", 0) != 0,
        bias: ctx.node.input(5),
    };
    let (y, _) = attend(ctx, Heads { q, k, v }, scale, &mask, [*batch, *length, *length])?;
    let present = ctx.node.output(1).map(|_| {
        let (k, v) = (ctx.b.unsqueeze(k, &[0]), ctx.b.unsqueeze(v, &[0]));
        ctx.b.concat(&[k, v], 0)
    });
    Ok(vec![Some(y), present])
}
