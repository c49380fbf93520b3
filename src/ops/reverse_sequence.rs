//! ReverseSequence: the first elements of every sequence turned round, which undoes itself.

use super::case::{Case, any, case};
use super::{Gradients, Rule};
use crate::ir::{Attr, Tensor};

pub(super) const RULES: &[Rule] = &[Rule::new("ReverseSequence", reverse_sequence).stops(&[1])];

/// Graphs for the sweep.
pub(super) const CASES: &[Case] = &[
    case("ReverseSequence", "", &[any(&[4, 3, 2])], |b, x| {
        let lengths = b.constant(Tensor::vector(&[3i64, 1, 4]));
        b.op("ReverseSequence", &[x[0], lengths])
    }),
    case("ReverseSequence", "batch first", &[any(&[3, 4])], |b, x| {
        let lengths = b.constant(Tensor::vector(&[4i64, 2, 3]));
        b.op_with("ReverseSequence", &[x[0], lengths], &[("batch_axis", Attr::Int(0)), ("time_axis", Attr::Int(1))])
    }),
];

fn reverse_sequence(ctx: &mut super::Ctx) -> Gradients {
    let (dy, lengths) = (ctx.dy0()?, ctx.x(1)?);
    let attrs = [
        ("batch_axis", Attr::Int(ctx.node.int("batch_axis", 1))),
        ("time_axis", Attr::Int(ctx.node.int("time_axis", 0))),
    ];
    Ok(vec![Some(ctx.b.op_with("ReverseSequence", &[dy, lengths], &attrs))])
}
