//! Loop: its steps one after another, where their number is known before running and small.

use super::super::case::{Case, any, case};
use super::inline::{Inline, MOST_STEPS, fixed, stack};
use super::{Ctx, Expanded, Expansion};
use crate::ir::onnx::Body;
use crate::ir::{Attr, Builder, DType, Graph, Tensor, TensorType, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("Loop", expand)];

pub(super) const CASES: &[Case] = &[
    case("Loop", "three steps, carried and stacked values", &[any(&[2, 3]), any(&[3])], |b, x| {
        let steps = b.constant(Tensor::scalar(3i64));
        let body = cell(b, x, |b, _, go| b.identity(go));
        let made = b.node("", "Loop", &[Some(steps), None, Some(x[0])], &[("body", body)], 2);
        b.mul(made[0], made[1])
    }),
    case("Loop", "until a known condition", &[any(&[2, 3]), any(&[3])], |b, x| {
        let (steps, yes) = (b.constant(Tensor::scalar(9i64)), b.constant(Tensor::scalar(true)));
        let body = cell(b, x, |b, step, _| {
            let two = b.constant(Tensor::scalar(2i64));
            b.less(step, two)
        });
        let made = b.node("", "Loop", &[Some(steps), Some(yes), Some(x[0])], &[("body", body)], 2);
        b.mul(made[0], made[1])
    }),
];

/// (step, go, h) → (go', tanh(h · w), h · w), with w from around it.
fn cell(b: &mut Builder, x: &[ValueId], go_on: fn(&mut Builder, ValueId, ValueId) -> ValueId) -> Attr {
    let (name, dtype) = (b.graph.name(x[1]).to_owned(), b.graph.dtype(x[0]).unwrap_or(DType::F32));
    let mut graph = Graph::default();
    let step = graph.add_input("step", TensorType::fixed(DType::I64, &[]));
    let go = graph.add_input("go", TensorType::fixed(DType::Bool, &[]));
    let h = graph.add_input("h", TensorType::fixed(dtype, &[2, 3]));
    let w = graph.value(&name);
    let mut inner = Builder::new(&mut graph, "cell");
    let (on, product) = (go_on(&mut inner, step, go), inner.mul(h, w));
    let next = inner.tanh(product);
    graph.inputs.push(w);
    graph.outputs = vec![on, next, product];
    Body { graph, outside: vec![name] }.encode()
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let mut body = Inline::of(ctx, "body")?;
    let steps = match ctx.node.input(0) {
        Some(steps) => Some(fixed(ctx, steps, "trip count")?),
        None => None,
    };
    let mut go = match ctx.node.input(1) {
        Some(condition) => fixed(ctx, condition, "condition")? != 0,
        None => true,
    };
    let mut carried: Vec<ValueId> = ctx.node.inputs.iter().skip(2).flatten().copied().collect();
    let Some(stacked) = body.outputs().checked_sub(1 + carried.len()) else {
        return Err(ctx.invalid(format!(
            "its body makes {} values for {} carried ones",
            body.outputs(),
            carried.len()
        )));
    };
    let mut stacks: Vec<Vec<ValueId>> = vec![Vec::new(); stacked];
    let mut step = 0;
    while go && steps.is_none_or(|steps| (step as i64) < steps) {
        if step == MOST_STEPS {
            let count = steps.map_or_else(|| "without end".to_owned(), |steps| format!("{steps} steps"));
            return Err(ctx.unsupported(format!("it runs {count}; at most {MOST_STEPS} are written out")));
        }
        let mut inputs = vec![ctx.b.constant(Tensor::scalar(step as i64)), ctx.b.constant(Tensor::scalar(true))];
        inputs.extend(&carried);
        let made = body.copy(ctx, &inputs)?;
        step += 1;
        // The condition after the last step decides nothing.
        if steps != Some(step as i64) {
            go = fixed(ctx, made[0], "condition")? != 0;
        }
        for (stack, value) in stacks.iter_mut().zip(&made[1 + carried.len()..]) {
            stack.push(*value);
        }
        carried = made[1..=carried.len()].to_vec();
    }
    let mut outputs: Vec<Option<ValueId>> = carried.into_iter().map(Some).collect();
    for steps in &stacks {
        outputs.push(Some(stack(ctx, steps, 0, outputs.len())?));
    }
    Ok(outputs)
}
