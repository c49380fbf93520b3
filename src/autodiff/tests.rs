//! The engine on small graphs: accumulation, pruning, order and its errors. Numbers are checked by the sweep of the rules.

use super::*;
use crate::ir::{Attr, TensorType};

fn input(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    graph.add_input(name, TensorType::fixed(DType::F32, shape))
}

/// Emits a node of the type of its first input.
fn emit(graph: &mut Graph, op: &str, inputs: &[ValueId]) -> ValueId {
    let ty = graph.ty(inputs[0]);
    let value = Builder::new(graph, op.to_lowercase()).op(op, inputs);
    graph.set_type(value, ty);
    value
}

fn sum(graph: &mut Graph, value: ValueId) -> ValueId {
    let loss = Builder::new(graph, "loss").op_with("ReduceSum", &[value], &[("keepdims", Attr::Int(0))]);
    graph.set_type(loss, Some(TensorType::fixed(DType::F32, &[])));
    loss
}

/// Operators after the forward part, in order.
fn backward_ops(graph: &Graph, forward: usize) -> String {
    graph.nodes[forward..].iter().map(|node| node.op.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_gradient_of_the_loss_itself_is_one() {
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[2]);
    let loss = sum(&mut graph, x);
    let grads = differentiate(&mut graph, loss, &[loss, x]).unwrap();
    assert_eq!(graph.constant(grads[0]).and_then(Tensor::to_scalar), Some(1.0));
    assert_eq!(backward_ops(&graph, 1), "Reshape Expand");
}

#[test]
fn several_readers_are_summed_once() {
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[2]);
    let parts = [emit(&mut graph, "Neg", &[x]), emit(&mut graph, "Exp", &[x]), emit(&mut graph, "Sin", &[x])];
    let y = emit(&mut graph, "Sum", &parts);
    let loss = sum(&mut graph, y);
    let forward = graph.nodes.len();
    let grads = differentiate(&mut graph, loss, &[x]).unwrap();
    let maker = graph.producers()[grads[0].0 as usize].unwrap();
    assert_eq!((graph.nodes[maker].op.as_str(), graph.nodes[maker].inputs.len()), ("Sum", 3));
    assert_eq!(backward_ops(&graph, forward).matches("Sum").count(), 1);
    assert_eq!(graph.shape(grads[0]), Some(vec![2]));
}

#[test]
fn broadcast_dimensions_are_summed_once_for_each_input() {
    let mut graph = Graph::default();
    let (x, bias) = (input(&mut graph, "x", &[4, 3]), input(&mut graph, "bias", &[3]));
    let y = emit(&mut graph, "Add", &[x, bias]);
    let loss = sum(&mut graph, y);
    let forward = graph.nodes.len();
    let grads = differentiate(&mut graph, loss, &[x, bias]).unwrap();
    assert_eq!(backward_ops(&graph, forward), "Reshape Expand ReduceSum Reshape");
    assert_eq!(graph.shape(grads[1]), Some(vec![3]));
}

#[test]
fn what_nobody_asks_for_is_not_emitted() {
    let mut graph = Graph::default();
    let (x, w) = (input(&mut graph, "x", &[2, 2]), input(&mut graph, "w", &[2, 2]));
    let hidden = emit(&mut graph, "Sinh", &[x]);
    let y = emit(&mut graph, "MatMul", &[hidden, w]);
    let loss = sum(&mut graph, y);
    let forward = graph.nodes.len();
    // Sinh has no rule, and needs none below the first wanted value.
    differentiate(&mut graph, loss, &[w]).unwrap();
    assert_eq!(backward_ops(&graph, forward), "Reshape Expand Gemm");
}

#[test]
fn weight_gradients_stand_last_and_the_first_layer_first() {
    let mut graph = Graph::default();
    let mut value = input(&mut graph, "x", &[2, 2]);
    let weights: Vec<ValueId> = (0..3).map(|i| input(&mut graph, &format!("w{i}"), &[2, 2])).collect();
    for w in &weights {
        value = emit(&mut graph, "MatMul", &[value, *w]);
        value = emit(&mut graph, "Tanh", &[value]);
    }
    let loss = sum(&mut graph, value);
    let grads = differentiate(&mut graph, loss, &weights).unwrap();
    let producers = graph.producers();
    let places: Vec<usize> = grads.iter().map(|grad| producers[grad.0 as usize].unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
    let chain = graph.nodes.len() - 3;
    assert!(places[1] >= chain && places[2] >= chain, "{places:?} of {}", graph.nodes.len());
}

#[test]
fn integer_paths_carry_nothing() {
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[3]);
    let mut b = Builder::new(&mut graph, "t");
    let rounded = b.cast(x, DType::I64);
    let back = b.cast(rounded, DType::F32);
    graph.set_type(rounded, Some(TensorType::fixed(DType::I64, &[3])));
    graph.set_type(back, Some(TensorType::fixed(DType::F32, &[3])));
    let loss = sum(&mut graph, back);
    let problems = differentiate(&mut graph, loss, &[x]).unwrap_err();
    let said = format!("{:?}", problems[0]);
    assert!(said.contains("`x`") && said.contains("P0404") && said.contains("makes i64"), "{said}");
}

#[test]
fn all_problems_come_at_once() {
    let mut graph = Graph::default();
    let (x, lone) = (input(&mut graph, "x", &[3]), input(&mut graph, "lone", &[3]));
    let count = graph.add_input("count", TensorType::fixed(DType::I64, &[3]));
    let bent = emit(&mut graph, "Det", &[x]);
    let twisted = emit(&mut graph, "Unique", &[x]);
    let y = emit(&mut graph, "Add", &[bent, twisted]);
    let loss = sum(&mut graph, y);
    let mut first = graph.clone();
    let lost = format!("{:?}", differentiate(&mut first, loss, &[lone, count]).unwrap_err());
    assert!(lost.contains("`lone`") && lost.contains("P0404") && lost.contains("`count`"), "{lost}");
    let missing = format!("{:?}", differentiate(&mut graph, loss, &[x]).unwrap_err());
    assert!(missing.contains("`Det`") && missing.contains("`Unique`") && missing.contains("covered:"), "{missing}");
}

#[test]
fn a_step_function_alone_leaves_its_input_unreached() {
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[3]);
    let y = emit(&mut graph, "Floor", &[x]);
    let loss = sum(&mut graph, y);
    let problems = differentiate(&mut graph, loss, &[x]).unwrap_err();
    assert!(format!("{:?}", problems[0]).contains("P0402"), "{problems:?}");
}

#[test]
fn outputs_are_added_to_a_forward_node_once() {
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[1, 1, 4]);
    let y = Builder::new(&mut graph, "t").op_with("MaxPool", &[x], &[("kernel_shape", Attr::Ints(vec![2]))]);
    graph.set_type(y, Some(TensorType::fixed(DType::F32, &[1, 1, 3])));
    let loss = sum(&mut graph, y);
    differentiate(&mut graph, loss, &[x]).unwrap();
    let indices = graph.nodes[0].output(1).unwrap();
    assert_eq!((graph.nodes[0].outputs.len(), graph.dtype(indices)), (2, Some(DType::I64)));
}

#[test]
fn operators_that_are_flat_by_nature_stop_a_gradient() {
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[2]);
    let noise = emit(&mut graph, "RandomNormalLike", &[x]);
    let y = emit(&mut graph, "Mul", &[x, noise]);
    let loss = sum(&mut graph, y);
    let forward = graph.nodes.len();
    differentiate(&mut graph, loss, &[x]).unwrap();
    assert!(backward_ops(&graph, forward).ends_with("Mul"), "{}", backward_ops(&graph, forward));
    let mut graph = Graph::default();
    let x = input(&mut graph, "x", &[2]);
    let noise = emit(&mut graph, "RandomNormalLike", &[x]);
    let loss = sum(&mut graph, noise);
    let problems = differentiate(&mut graph, loss, &[x]).unwrap_err();
    assert!(format!("{problems:?}").contains("(RandomNormalLike) passes none"), "{problems:?}");
}
