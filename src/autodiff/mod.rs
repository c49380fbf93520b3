//! Reverse-mode differentiation over the graph (DESIGN D1–D5).
//!
//! [`differentiate`] walks the forward graph backwards once, asks the rule of each node on a path from a wanted value to the
//! loss, sums the gradients of values with several readers, reduces broadcast dimensions, drops what nobody needs and
//! orders what it emitted so that activations die early. [`expand`] comes first, for operators that have no rule of their own but a
//! form in others. Absence: it knows no operator by name and reads no files.

mod expand;
mod order;
mod problems;

pub use expand::{expand, write_out};

use crate::diag::{Diagnostic, Result};
use crate::ir::{Builder, DType, Graph, Node, Tensor, ValueId};
use crate::ops::{self, Ctx, Rule};

/// Appends the gradient of the scalar `loss` with respect to each value of `wrt`, and returns them in that order.
/// Every forward value must carry a static type.
///
/// # Errors
/// `P0401` for an operator without a rule or outside its range, `P0402` for a value that the loss cannot reach,
/// `P0404` when it is not floating point, or every path is not. All of them at once, those nearest to the loss first.
pub fn differentiate(
    graph: &mut Graph,
    loss: ValueId,
    wrt: &[ValueId],
) -> std::result::Result<Vec<ValueId>, Vec<Diagnostic>> {
    let forward = graph.nodes.len();
    let active = Active::find(graph, loss, wrt);
    let mut lost: Vec<ValueId> = wrt.iter().copied().filter(|value| !active.values[value.0 as usize]).collect();
    let mut grads: Vec<Vec<ValueId>> = vec![Vec::new(); graph.value_count()];
    let dtype = graph.dtype(loss).unwrap_or(DType::F32);
    let shape = graph.shape(loss).unwrap_or_default();
    let mut b = Builder::new(graph, "grad");
    let one = b.scalar(dtype, 1.0);
    let seed = if shape.is_empty() { one } else { b.expand(one, &shape) };
    grads[loss.0 as usize].push(seed);
    let mut problems = Vec::new();
    let mut unruled = Vec::new();
    for index in (0..forward).rev().filter(|index| active.nodes[*index]) {
        let Some(dy) = incoming(graph, index, &mut grads) else { continue };
        let node = &graph.nodes[index];
        let emitted = if let Some(rule) = ops::rule(&node.domain, &node.op) {
            backward(graph, index, &rule, &dy, &active, &mut grads).map_err(|why| problems.push(why)).is_ok()
        } else {
            unruled.push(index);
            false
        };
        if !emitted {
            stand_in(graph, index, &active, &mut grads);
        }
    }
    problems.extend(problems::no_rule(graph, &unruled));
    let mut wanted = Vec::with_capacity(wrt.len());
    for value in wrt.iter().filter(|value| active.values[value.0 as usize]) {
        match total(graph, *value, &mut grads) {
            Some(grad) => wanted.push(grad),
            // Reached by the static analysis, yet every rule on the way gave nothing: the derivative is zero everywhere.
            None => lost.push(*value),
        }
    }
    problems.extend(problems::lost(graph, forward, loss, &lost));
    if !problems.is_empty() {
        return Err(problems);
    }
    order::schedule(graph, forward, &wanted);
    graph.verify("differentiate").map_err(|problem| vec![problem])?;
    Ok(wanted)
}

/// Which nodes and values lie on a path from a wanted value to the loss.
struct Active {
    nodes: Vec<bool>,
    values: Vec<bool>,
}

impl Active {
    fn find(graph: &Graph, loss: ValueId, wrt: &[ValueId]) -> Self {
        let mut reached = vec![false; graph.value_count()];
        for value in wrt {
            reached[value.0 as usize] = true;
        }
        for node in &graph.nodes {
            if carriers(graph, node).any(|input| reached[input.0 as usize]) {
                for output in node.outputs.iter().flatten() {
                    reached[output.0 as usize] = is_float(graph, *output);
                }
            }
        }
        let mut needed = vec![false; graph.value_count()];
        needed[loss.0 as usize] = true;
        let mut nodes = vec![false; graph.nodes.len()];
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let live = |value: &ValueId| needed[value.0 as usize] && reached[value.0 as usize];
            if node.outputs.iter().flatten().any(live) {
                nodes[index] = true;
                let inputs: Vec<ValueId> = carriers(graph, node).collect();
                for input in inputs {
                    needed[input.0 as usize] = true;
                }
            }
        }
        let values = reached.iter().zip(&needed).map(|(a, b)| *a && *b).collect();
        Self { nodes, values }
    }
}

/// Whether a gradient can flow through a value: f32 or f64, or of unknown type.
fn is_float(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.dtype(value), None | Some(DType::F32 | DType::F64))
}

/// Inputs of a node, and values that its bodies read, that can carry a gradient.
fn carriers<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = ValueId> + 'a {
    let rule = ops::rule(&node.domain, &node.op);
    let stops = rule.map_or(&[] as &[usize], |rule| rule.stops);
    let flat = ops::is_flat(&node.domain, &node.op) || rule.is_some_and(|rule| rule.steps);
    node.inputs
        .iter()
        .enumerate()
        .filter(move |(i, _)| !flat && !stops.contains(i))
        .filter_map(|(_, input)| *input)
        .chain(captured(graph, node))
        .filter(move |input| is_float(graph, *input))
}

/// What the bodies of a node read from around it.
fn captured<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = ValueId> + 'a {
    node.bodies().flat_map(|(_, captures)| captures).filter_map(|name| graph.find(name))
}

/// Gradients of a node's outputs; `None` where no gradient comes in at all.
fn incoming(graph: &mut Graph, index: usize, grads: &mut [Vec<ValueId>]) -> Option<Vec<Option<ValueId>>> {
    let outputs = graph.nodes[index].outputs.clone();
    let dy: Vec<Option<ValueId>> =
        outputs.iter().map(|output| output.and_then(|value| total(graph, value, grads))).collect();
    dy.iter().any(Option::is_some).then_some(dy)
}

/// Lets the walk go on in front of a node that has no gradient, so that all such nodes are found: each input stands for its own
/// gradient, which has its type. Nothing of it is ever run.
fn stand_in(graph: &Graph, index: usize, active: &Active, grads: &mut Vec<Vec<ValueId>>) {
    grads.resize(graph.value_count().max(grads.len()), Vec::new());
    for input in carriers(graph, &graph.nodes[index]).filter(|input| active.values[input.0 as usize]) {
        grads[input.0 as usize].push(input);
    }
}

/// Emits the gradient of one node and files it under its inputs.
fn backward(
    graph: &mut Graph,
    index: usize,
    rule: &Rule,
    dy: &[Option<ValueId>],
    active: &Active,
    grads: &mut Vec<Vec<ValueId>>,
) -> Result<()> {
    let node = graph.nodes[index].clone();
    let wants: Vec<bool> = node
        .inputs
        .iter()
        .enumerate()
        .map(|(i, input)| !rule.stops.contains(&i) && input.is_some_and(|value| active.values[value.0 as usize]))
        .collect();
    let scope = if node.name.is_empty() { node.op.clone() } else { node.name.clone() };
    let mut b = Builder::new(graph, format!("grad/{scope}"));
    let made = (rule.grad)(&mut Ctx { b: &mut b, index, node: &node, dy, wants: &wants })?;
    for (i, grad) in made.into_iter().enumerate() {
        let (Some(grad), Some(input), true) = (grad, node.input(i), wants.get(i).copied().unwrap_or(false)) else {
            continue;
        };
        let grad = if rule.broadcast {
            let from = node.output(0).and_then(|y| graph.shape(y));
            let to = graph.shape(input);
            match (from, to) {
                (Some(from), Some(to)) => {
                    let mut b = Builder::new(graph, format!("grad/{scope}/unbroadcast"));
                    ops::sum_to(&mut b, grad, &from, &to)
                }
                _ => grad,
            }
        } else {
            grad
        };
        grads.resize(graph.value_count().max(grads.len()), Vec::new());
        grads[input.0 as usize].push(grad);
    }
    Ok(())
}

/// Sum of the gradients filed under a value; it replaces them, so that it is emitted once.
fn total(graph: &mut Graph, value: ValueId, grads: &mut [Vec<ValueId>]) -> Option<ValueId> {
    let parts = grads.get(value.0 as usize)?.clone();
    let sum = match parts.as_slice() {
        [] => return None,
        [one] => *one,
        [a, b] => {
            let scope = format!("grad/{}", graph.name(value));
            Builder::new(graph, scope).add(*a, *b)
        }
        many => {
            let scope = format!("grad/{}", graph.name(value));
            Builder::new(graph, scope).op("Sum", many)
        }
    };
    grads[value.0 as usize] = vec![sum];
    let ty = graph.ty(value);
    if graph.constant(sum).is_none() && graph.ty(sum).is_none() {
        graph.set_type(sum, ty);
    }
    Some(sum)
}

/// Whether a tensor is all finite, for checks before training.
pub fn is_finite(tensor: &Tensor) -> bool {
    match tensor.dtype() {
        DType::F32 => {
            tensor.bytes().chunks_exact(4).all(|raw| f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]).is_finite())
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
