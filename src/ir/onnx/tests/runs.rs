//! Operators newer than opset 18: ONNX Runtime gives for the original what it gives for the form in opset 18, and a gradient passes
//! that form.

use super::*;
use crate::autodiff::{differentiate, expand};
use crate::ir::{Builder, ValueId};
use crate::native::{Level, Options, Session, probe};
use crate::world::rng::Key;

fn options() -> Options {
    Options { threads: 1, level: Level::Basic, ..Options::default() }
}

/// Runs one node both ways. `inputs` are the shapes of `x0 x1 …`; further inputs are weights of the model.
fn same(opset: i64, op: &str, inputs: &[&[i64]], reads: &str, attrs: &[(&str, Attr)], weights: &[(&str, Tensor)]) {
    let what = format!("{op} of opset {opset} ({reads}) {attrs:?}");
    let mut model = Model::new(opset).node(op, reads, "y", attrs).output("y");
    for (name, tensor) in weights {
        model = model.weight(name, tensor);
    }
    let mut rng = Key::new(23).named(op).rng();
    let mut feeds = Vec::new();
    for (i, dims) in inputs.iter().enumerate() {
        model = model.input(&format!("x{i}"), dims);
        let shape: Vec<usize> = dims.iter().map(|size| *size as usize).collect();
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
        feeds.push((format!("x{i}"), Tensor::new(shape, &data)));
    }
    let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    let run = |bytes: &[u8]| Session::from_bytes(bytes, &options()).expect(&what).call(&feeds).expect(&what).remove(0);
    let mut graph = model.graph_of();
    let (wanted, found) = (run(&model.bytes()), run(&super::super::encode(&graph)));
    assert_eq!(wanted.shape(), found.shape(), "{what}");
    let [wanted, found] = [wanted, found].map(|tensor| tensor.to_vec::<f32>().expect("floats"));
    for (a, b) in wanted.iter().zip(&found) {
        assert!((a - b).abs() <= 2e-6 * (1.0 + a.abs()), "{what}: {a} and {b}\n{}", graph.dump());
    }
    probe(&mut graph, &[]).expect(&what);
    let (y, wrt) = (graph.outputs[0], graph.inputs.clone());
    let loss = Builder::new(&mut graph, "t").op_with("ReduceSum", &[y], &[("keepdims", Attr::Int(0))]);
    graph.outputs = vec![loss];
    probe(&mut graph, &[]).expect(&what);
    while expand(&mut graph, loss, &wrt).expect(&what) {
        probe(&mut graph, &[]).expect(&what);
    }
    let gradients: Vec<ValueId> = differentiate(&mut graph, loss, &wrt).expect(&what);
    assert_eq!(gradients.len(), wrt.len());
}

#[test]
fn normalizations() {
    for opset in [18, 21, 23] {
        let size = if opset < 21 { 3 } else { 6 };
        let attrs = [("num_groups", Attr::Int(3)), ("epsilon", Attr::Float(0.02))];
        same(opset, "GroupNormalization", &[&[2, 6, 4, 5], &[size], &[size]], "x0 x1 x2", &attrs, &[]);
        same(opset, "GroupNormalization", &[&[2, 6, 4], &[size], &[size]], "x0 x1 x2", &attrs[..1], &[]);
    }
    same(23, "RMSNormalization", &[&[2, 3, 4], &[4]], "x0 x1", &[], &[]);
    let attrs = [("axis", Attr::Int(1)), ("epsilon", Attr::Float(0.3))];
    same(23, "RMSNormalization", &[&[2, 3, 4], &[3, 4]], "x0 x1", &attrs, &[]);
}

#[test]
fn activations() {
    for opset in [20, 23] {
        same(opset, "Gelu", &[&[3, 7]], "x0", &[], &[]);
        same(opset, "Gelu", &[&[3, 7]], "x0", &[("approximate", text("tanh"))], &[]);
    }
    for opset in [18, 22] {
        same(opset, "Mish", &[&[3, 7]], "x0", &[], &[]);
        same(opset, "HardSwish", &[&[3, 7]], "x0", &[], &[]);
    }
}

#[test]
fn rotary_embeddings() {
    let positions = Tensor::new([2, 3], &[0i64, 1, 2, 3, 5, 5]);
    let given = [("p", positions)];
    let heads = ("num_heads", Attr::Int(2));
    let part = ("rotary_embedding_dim", Attr::Int(4));
    let side_by_side = ("interleaved", Attr::Int(1));
    let op = "RotaryEmbedding";
    same(23, op, &[&[2, 3, 8], &[6, 2], &[6, 2]], "x0 x1 x2 p", std::slice::from_ref(&heads), &given);
    same(23, op, &[&[2, 3, 8], &[2, 3, 2], &[2, 3, 2]], "x0 x1 x2", &[heads.clone(), side_by_side.clone()], &[]);
    same(23, op, &[&[2, 2, 3, 8], &[6, 4], &[6, 4]], "x0 x1 x2 p", &[], &given);
    same(23, op, &[&[2, 2, 3, 8], &[6, 2], &[6, 2]], "x0 x1 x2 p", &[part.clone(), side_by_side], &given);
    same(23, op, &[&[2, 3, 16], &[6, 2], &[6, 2]], "x0 x1 x2 p", &[part, heads], &given);
    let model = Model::new(23).input("x", &[2, 3, 8]).input("c", &[2, 3, 2]).node(op, "x c c", "y", &[]).output("y");
    assert!(model.fails().message().contains("number of heads"));
}

#[test]
fn attentions() {
    let heads = [("q_num_heads", Attr::Int(2)), ("kv_num_heads", Attr::Int(2))];
    let scale = [("scale", Attr::Float(0.7))];
    let causal = [("is_causal", Attr::Int(1))];
    let grouped = [("q_num_heads", Attr::Int(4)), ("kv_num_heads", Attr::Int(2)), ("is_causal", Attr::Int(1))];
    let op = "Attention";
    same(23, op, &[&[2, 3, 8], &[2, 5, 8], &[2, 5, 6]], "x0 x1 x2", &heads, &[]);
    same(23, op, &[&[2, 2, 3, 4], &[2, 2, 5, 4], &[2, 2, 5, 4]], "x0 x1 x2", &scale, &[]);
    same(23, op, &[&[2, 2, 3, 4], &[2, 2, 3, 4], &[2, 2, 3, 4]], "x0 x1 x2", &causal, &[]);
    same(23, op, &[&[2, 3, 16], &[2, 3, 8], &[2, 3, 8]], "x0 x1 x2", &grouped, &[]);
    same(23, op, &[&[2, 4, 3, 4], &[2, 2, 5, 4], &[2, 2, 5, 4], &[3, 5]], "x0 x1 x2 x3", &[], &[]);
    let seen: Vec<bool> = (0..15).map(|i| i % 3 != 1).collect();
    let mask = [("m", Tensor::new([3, 5], &seen))];
    same(23, op, &[&[2, 2, 3, 4], &[2, 2, 5, 4], &[2, 2, 5, 4]], "x0 x1 x2 m", &[], &mask);
    same(23, op, &[&[2, 2, 3, 4], &[2, 2, 5, 4], &[2, 2, 5, 4]], "x0 x1 x2", &[("softcap", Attr::Float(1.5))], &[]);
}

#[test]
fn grids() {
    let flat = [("s", Tensor::vector(&[2i64, 3, 4, 5]))];
    let deep = [("s", Tensor::vector(&[2i64, 3, 2, 4, 5]))];
    for corners in [0, 1] {
        let attrs = [("align_corners", Attr::Int(corners))];
        same(20, "AffineGrid", &[&[2, 2, 3]], "x0 s", &attrs, &flat);
        same(20, "AffineGrid", &[&[2, 3, 4]], "x0 s", &attrs, &deep);
    }
    let model = Model::new(20).input("x", &[2, 2, 3]).input("s", &[4]).node("AffineGrid", "x s", "y", &[]).output("y");
    assert!(model.fails().message().contains("computed at run time"));
}
