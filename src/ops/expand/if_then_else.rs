//! If: the branch that is taken, where the condition is known before running.

use super::super::case::{Case, any, case};
use super::inline::{Inline, fixed};
use super::{Ctx, Expanded, Expansion};
use crate::ir::onnx::Body;
use crate::ir::{Attr, Builder, Graph, Tensor, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("If", expand)];

pub(super) const CASES: &[Case] = &[
    case("If", "constant condition, captured values", &[any(&[2, 3]), any(&[3])], |b, x| {
        let yes = b.constant(Tensor::scalar(true));
        either(b, yes, x)
    }),
    case("If", "condition on a shape", &[any(&[2, 3]), any(&[3])], |b, x| {
        let (shape, last, three) = (b.op("Shape", &[x[0]]), b.ints(&[-1]), b.ints(&[4]));
        let size = b.op("Gather", &[shape, last]);
        let yes = b.equal(size, three);
        let yes = b.squeeze(yes, &[0]);
        either(b, yes, x)
    }),
    case("If", "inside another", &[any(&[2, 3]), any(&[3])], |b, x| {
        let yes = b.constant(Tensor::scalar(true));
        let square = b.mul(x[0], x[0]);
        let (outer, names) = (yes, [b.graph.name(square).to_owned(), b.graph.name(x[1]).to_owned()]);
        let inner = body(&names, |inner, reads| {
            let twice = inner.add(reads[0], reads[0]);
            let deep = [inner.graph.name(twice).to_owned(), inner.graph.name(reads[1]).to_owned()];
            let no = inner.constant(Tensor::scalar(false));
            let branches = [
                ("then_branch", body(&deep, |b, x| b.sub(x[0], x[1]))),
                ("else_branch", body(&deep, |b, x| b.mul(x[0], x[1]))),
            ];
            inner.node("", "If", &[Some(no)], &branches, 1)[0]
        });
        let other = body(&names, |b, x| b.add(x[0], x[1]));
        b.node("", "If", &[Some(outer)], &[("then_branch", inner), ("else_branch", other)], 1)[0]
    }),
];

/// x² · y where the condition holds, x² + y elsewhere.
fn either(b: &mut Builder, condition: ValueId, x: &[ValueId]) -> ValueId {
    let square = b.mul(x[0], x[0]);
    let names = [b.graph.name(square).to_owned(), b.graph.name(x[1]).to_owned()];
    let branches = [
        ("then_branch", body(&names, |b, x| b.mul(x[0], x[1]))),
        ("else_branch", body(&names, |b, x| b.add(x[0], x[1]))),
    ];
    b.node("", "If", &[Some(condition)], &branches, 1)[0]
}

/// A body without inputs of its own that reads these names from around it.
fn body(outside: &[String], emit: impl Fn(&mut Builder, &[ValueId]) -> ValueId) -> Attr {
    let mut graph = Graph::default();
    let reads: Vec<ValueId> = outside.iter().map(|name| graph.value(name)).collect();
    let scope = format!("body{}", graph.value_count());
    let output = emit(&mut Builder::new(&mut graph, scope), &reads);
    graph.inputs = reads;
    graph.outputs = vec![output];
    Body { graph, outside: outside.to_vec() }.encode()
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let condition = ctx.x(0)?;
    let taken = if fixed(ctx, condition, "condition")? == 0 { "else_branch" } else { "then_branch" };
    let made = Inline::of(ctx, taken)?.copy(ctx, &[])?;
    Ok(made.into_iter().map(Some).collect())
}
