//! NegativeLogLikelihoodLoss: −w·x[label] for every row and place; class `ignore_index` counts nothing. The mean is weighted.

use super::super::case::{Case, any, case, positive};
use super::{Ctx, Expanded, Expansion};
use crate::diag::Result;
use crate::ir::{Attr, Builder, DType, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new(OP, expand)];

const OP: &str = "NegativeLogLikelihoodLoss";

pub(super) const CASES: &[Case] = &[
    case(OP, "mean", &[any(&[3, 5])], |b, x| loss(b, OP, x, &[3], &[])),
    case(OP, "none", &[any(&[3, 5])], |b, x| loss(b, OP, x, &[3], &[reduction("none")])),
    case(OP, "sum, places", &[any(&[2, 5, 3])], |b, x| loss(b, OP, x, &[2, 3], &[reduction("sum")])),
    case(OP, "mean, weights, places, ignored", &[any(&[2, 5, 2, 2]), positive(&[5])], |b, x| {
        loss(b, OP, x, &[2, 2, 2], &[("ignore_index", Attr::Int(1))])
    }),
    case(OP, "none, weights, ignored", &[any(&[3, 5]), positive(&[5])], |b, x| {
        loss(b, OP, x, &[3], &[reduction("none"), ("ignore_index", Attr::Int(4))])
    }),
    case(OP, "sum, ignored below zero", &[any(&[4, 5])], |b, x| {
        let labels = b.constant(Tensor::vector(&[2i64, -1, 0, -1]));
        b.op_with(OP, &[x[0], labels], &[reduction("sum"), ("ignore_index", Attr::Int(-1))])
    }),
];

pub(super) fn reduction(kind: &str) -> (&'static str, Attr) {
    ("reduction", Attr::Str(kind.as_bytes().to_vec()))
}

/// A loss of a case, with labels 0 to 4.
pub(super) fn loss(
    b: &mut Builder,
    op: &str,
    x: &[ValueId],
    labels: &[usize],
    attrs: &[(&'static str, Attr)],
) -> ValueId {
    const CLASSES: [i32; 8] = [4, 0, 1, 3, 1, 2, 4, 0];
    let count = labels.iter().product();
    let labels = b.constant(Tensor::new(labels, &CLASSES[..count]));
    let inputs: Vec<ValueId> = [x[0], labels].into_iter().chain(x.get(1).copied()).collect();
    b.op_with(op, &inputs, attrs)
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let x = ctx.x(0)?;
    Ok(vec![Some(of_log_probabilities(ctx, x)?)])
}

/// The loss from log-probabilities; labels and weights are the node's.
pub(super) fn of_log_probabilities(ctx: &mut Ctx, x: ValueId) -> Result<ValueId> {
    let (like, labels, weights) = (ctx.x(0)?, ctx.x(1)?, ctx.node.input(2));
    let kind = ctx.node.text("reduction").unwrap_or("mean").to_owned();
    let ignored = match ctx.node.attrs.get("ignore_index") {
        Some(Attr::Int(class)) => Some(*class),
        _ => None,
    };
    let (one, zero) = (ctx.scalar(like, 1.0), ctx.scalar(like, 0.0));
    // A class that is ignored need not be one that there is.
    let (labels, counts) = match ignored {
        None => (labels, None),
        Some(class) => {
            let integers = |value: i64| match ctx.dtype(labels) {
                DType::I32 => Tensor::scalar(value as i32),
                _ => Tensor::scalar(value),
            };
            let (class, first) = (integers(class), integers(0));
            let (class, first) = (ctx.b.constant(class), ctx.b.constant(first));
            let gone = ctx.b.equal(labels, class);
            (ctx.b.select(gone, first, labels), Some(ctx.b.select(gone, zero, one)))
        }
    };
    let index = ctx.b.unsqueeze(labels, &[1]);
    let picked = ctx.b.op_with("GatherElements", &[x, index], &[("axis", Attr::Int(1))]);
    let picked = ctx.b.squeeze(picked, &[1]);
    let mut losses = ctx.b.neg(picked);
    let weights = weights.map(|weights| ctx.b.op("Gather", &[weights, labels]));
    let weights = match (weights, counts) {
        (Some(weights), Some(counts)) => Some(ctx.b.mul(weights, counts)),
        (weights, counts) => weights.or(counts),
    };
    if let Some(weights) = weights {
        losses = ctx.b.mul(losses, weights);
    }
    let all = [("keepdims", Attr::Int(0))];
    match (kind.as_str(), weights) {
        ("none", _) => Ok(losses),
        ("sum", _) => Ok(ctx.b.op_with("ReduceSum", &[losses], &all)),
        ("mean", None) => Ok(ctx.b.op_with("ReduceMean", &[losses], &all)),
        ("mean", Some(weights)) => {
            let (sum, total) =
                (ctx.b.op_with("ReduceSum", &[losses], &all), ctx.b.op_with("ReduceSum", &[weights], &all));
            Ok(ctx.b.div(sum, total))
        }
        (other, _) => Err(ctx.invalid(format!("reduction `{other}`"))),
    }
}
