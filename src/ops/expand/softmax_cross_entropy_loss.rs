//! SoftmaxCrossEntropyLoss: `NegativeLogLikelihoodLoss` of the log-softmax over axis 1, which is the second output.

use super::super::case::{Case, any, case, positive};
use super::negative_log_likelihood_loss::{loss, of_log_probabilities, reduction};
use super::{Ctx, Expanded, Expansion};
use crate::ir::{Attr, Tensor};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new(OP, expand)];

const OP: &str = "SoftmaxCrossEntropyLoss";

pub(super) const CASES: &[Case] = &[
    case(OP, "mean", &[any(&[3, 5])], |b, x| loss(b, OP, x, &[3], &[])),
    case(OP, "none, places", &[any(&[2, 5, 2, 2])], |b, x| loss(b, OP, x, &[2, 2, 2], &[reduction("none")])),
    case(OP, "sum, weights", &[any(&[3, 5]), positive(&[5])], |b, x| loss(b, OP, x, &[3], &[reduction("sum")])),
    case(OP, "mean, weights, places, ignored", &[any(&[2, 5, 3]), positive(&[5])], |b, x| {
        loss(b, OP, x, &[2, 3], &[("ignore_index", Attr::Int(1))])
    }),
    case(OP, "mean, ignored below zero, log-probabilities in use", &[any(&[3, 5])], |b, x| {
        let labels = b.constant(Tensor::vector(&[2i64, -100, 0]));
        let attrs = [("ignore_index", Attr::Int(-100))];
        let made = b.node("", OP, &[Some(x[0]), Some(labels)], &attrs, 2);
        b.mul(made[0], made[1])
    }),
];

fn expand(ctx: &mut Ctx) -> Expanded {
    let x = ctx.x(0)?;
    let log = ctx.b.log_softmax(x, 1);
    let loss = of_log_probabilities(ctx, log)?;
    Ok(vec![Some(loss), Some(log)])
}
