//! Scan: its steps one after another, where the sequences are of a known and small length.

use super::super::case::{Case, any, case};
use super::inline::{Inline, MOST_STEPS, stack};
use super::{Ctx, Expanded, Expansion};
use crate::ir::onnx::Body;
use crate::ir::{Attr, Builder, DType, Graph, Tensor, TensorType, ValueId};

pub(super) const EXPANSIONS: &[Expansion] = &[Expansion::new("Scan", expand)];

pub(super) const CASES: &[Case] = &[
    case("Scan", "along the first axis", &[any(&[2]), any(&[3, 2])], |b, x| scan(b, x, &[])),
    case("Scan", "backwards along another axis, stacked the same way", &[any(&[2]), any(&[2, 4])], |b, x| {
        let attrs = [
            ("scan_input_axes", Attr::Ints(vec![1])),
            ("scan_input_directions", Attr::Ints(vec![1])),
            ("scan_output_axes", Attr::Ints(vec![-1])),
            ("scan_output_directions", Attr::Ints(vec![1])),
        ];
        scan(b, x, &attrs)
    }),
];

/// (h, x) → (tanh(h · x), h + x) over a sequence; the last h times the stacked sums.
fn scan(b: &mut Builder, x: &[ValueId], attrs: &[(&'static str, Attr)]) -> ValueId {
    let dtype = b.graph.dtype(x[0]).unwrap_or(DType::F32);
    let mut graph = Graph::default();
    let h = graph.add_input("h", TensorType::fixed(dtype, &[2]));
    let each = graph.add_input("each", TensorType::fixed(dtype, &[2]));
    let mut inner = Builder::new(&mut graph, "cell");
    let (product, sum) = (inner.mul(h, each), inner.add(h, each));
    let next = inner.tanh(product);
    graph.outputs = vec![next, sum];
    let mut all = vec![("body", Body { graph, outside: Vec::new() }.encode()), ("num_scan_inputs", Attr::Int(1))];
    all.extend(attrs.iter().cloned());
    let made = b.node("", "Scan", &[Some(x[0]), Some(x[1])], &all, 2);
    let last = b.reduce_sum(made[0], &[0], false);
    b.mul(made[1], last)
}

fn expand(ctx: &mut Ctx) -> Expanded {
    let mut body = Inline::of(ctx, "body")?;
    let inputs: Vec<ValueId> = ctx.node.inputs.iter().flatten().copied().collect();
    let scanned = usize::try_from(ctx.node.int("num_scan_inputs", 0)).unwrap_or(0);
    let (Some(carried), true) = (inputs.len().checked_sub(scanned), scanned > 0) else {
        return Err(ctx.invalid(format!("{scanned} of its {} inputs are scanned", inputs.len())));
    };
    let Some(stacked) = body.outputs().checked_sub(carried) else {
        return Err(ctx.invalid(format!("its body makes {} values for {carried} carried ones", body.outputs())));
    };
    let listed = |name: &str, at: usize| ctx.node.ints(name).and_then(|all| all.get(at).copied()).unwrap_or(0);
    let mut axes = Vec::with_capacity(scanned);
    let mut steps = None;
    for (at, value) in inputs[carried..].iter().enumerate() {
        let shape = ctx.shape(*value)?;
        let axis = ctx.axes(&[listed("scan_input_axes", at)], shape.len())?[0];
        let length = shape[axis as usize];
        if steps.replace(length).is_some_and(|other| other != length) {
            return Err(ctx.invalid("its sequences differ in length".to_owned()));
        }
        axes.push((axis, listed("scan_input_directions", at) == 1));
    }
    let outputs: Vec<(i64, bool)> =
        (0..stacked).map(|at| (listed("scan_output_axes", at), listed("scan_output_directions", at) == 1)).collect();
    let steps = steps.unwrap_or(0);
    if steps > MOST_STEPS {
        return Err(ctx.unsupported(format!("it runs {steps} steps; at most {MOST_STEPS} are written out")));
    }
    let mut state = inputs[..carried].to_vec();
    let mut stacks: Vec<Vec<ValueId>> = vec![Vec::new(); stacked];
    for step in 0..steps {
        let mut given = state.clone();
        for (value, (axis, backwards)) in inputs[carried..].iter().zip(&axes) {
            let at = if *backwards { steps - 1 - step } else { step };
            let at = ctx.b.constant(Tensor::scalar(at as i64));
            given.push(ctx.b.op_with("Gather", &[*value, at], &[("axis", Attr::Int(*axis))]));
        }
        let made = body.copy(ctx, &given)?;
        for (stack, value) in stacks.iter_mut().zip(&made[carried..]) {
            stack.push(*value);
        }
        state = made[..carried].to_vec();
    }
    let mut made: Vec<Option<ValueId>> = state.into_iter().map(Some).collect();
    for (steps, (axis, backwards)) in stacks.iter_mut().zip(outputs) {
        if backwards {
            steps.reverse();
        }
        made.push(Some(stack(ctx, steps, axis, made.len())?));
    }
    Ok(made)
}
