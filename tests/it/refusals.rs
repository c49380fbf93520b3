//! What the gradient rules refuse, and in which words; and the sum that undoes broadcasting.

use pipe::autodiff::differentiate;
use pipe::ir::{Attr, Builder, DType, Dim, Graph, Tensor, TensorType, ValueId};
use pipe::ops::sum_to;

/// Differentiates Σ of one node's output, with given static shapes, and returns the first problem's text.
fn refusal(shape: &[usize], y_shape: &[usize], emit: impl Fn(&mut Builder, ValueId) -> ValueId) -> String {
    let mut graph = Graph::default();
    let x = graph.add_input("x", TensorType::fixed(DType::F32, shape));
    let y = emit(&mut Builder::new(&mut graph, "t"), x);
    graph.set_type(y, Some(TensorType::fixed(DType::F32, y_shape)));
    let loss = Builder::new(&mut graph, "loss").op_with("ReduceSum", &[y], &[("keepdims", Attr::Int(0))]);
    graph.set_type(loss, Some(TensorType::fixed(DType::F32, &[])));
    match differentiate(&mut graph, loss, &[x]) {
        Ok(_) => "nothing".to_owned(),
        Err(problems) => format!("{:?}", problems[0]),
    }
}

fn text(name: &'static str, value: &str) -> (&'static str, Attr) {
    (name, Attr::Str(value.as_bytes().to_vec()))
}

#[test]
fn forms_that_are_not_covered_are_named() {
    let pad = refusal(&[2], &[4], |b, x| {
        let pads = b.ints(&[1, 1]);
        b.op_with("Pad", &[x, pads], &[text("mode", "reflect")])
    });
    assert!(pad.contains("reflect") && pad.contains("P0401"), "{pad}");
    let pool = refusal(&[1, 1, 4], &[1, 1, 3], |b, x| {
        b.op_with("MaxPool", &[x], &[("kernel_shape", Attr::Ints(vec![2])), ("storage_order", Attr::Int(1))])
    });
    assert!(pool.contains("storage_order"), "{pool}");
    let slice = refusal(&[4], &[2], |b, x| {
        let start = b.graph.add_input("start", TensorType::fixed(DType::I64, &[1]));
        let end = b.ints(&[4]);
        b.op("Slice", &[x, start, end])
    });
    assert!(slice.contains("`start`") && slice.contains("not a constant"), "{slice}");
    let drop = refusal(&[4], &[4], |b, x| {
        let (ratio, training) = (b.scalar(DType::F32, 0.5), b.constant(Tensor::scalar(true)));
        b.op("Dropout", &[x, ratio, training])
    });
    assert!(drop.contains("training_mode"), "{drop}");
    let scatter = refusal(&[4], &[4], |b, x| {
        let indices = b.ints(&[0]);
        let updates = b.constant(Tensor::vector(&[1.0f32]));
        b.op_with("ScatterElements", &[x, indices, updates], &[text("reduction", "max")])
    });
    assert!(scatter.contains("`max`"), "{scatter}");
    let einsum = refusal(&[2, 2], &[2], |b, x| b.op_with("Einsum", &[x], &[text("equation", "ii->i")]));
    assert!(einsum.contains("ii->i"), "{einsum}");
    let resize = refusal(&[1, 1, 3, 2], &[1, 1, 4, 3], |b, x| {
        let sizes = b.ints(&[1, 1, 4, 4]);
        let attrs =
            [text("keep_aspect_ratio_policy", "not_larger"), text("mode", "linear"), ("antialias", Attr::Int(1))];
        b.node("", "Resize", &[Some(x), None, None, Some(sizes)], &attrs, 1)[0]
    });
    assert!(resize.contains("rounded up"), "{resize}");
}

#[test]
fn nodes_that_break_their_definition_are_errors() {
    let broken: [(&str, String); 9] = [
        ("Transpose", refusal(&[2, 3], &[2, 3], |b, x| b.transpose(x, &[0, 5]))),
        ("Concat", refusal(&[2, 3], &[2, 3], |b, x| b.concat(&[x], 7))),
        ("Slice", refusal(&[2, 3], &[2, 3], |b, x| b.slice(x, &[0], &[1], &[0], &[0]))),
        (
            "Gather",
            refusal(&[2, 3], &[3], |b, x| {
                let index = b.constant(Tensor::scalar(2i64));
                b.op("Gather", &[x, index])
            }),
        ),
        (
            "Tile",
            refusal(&[2, 3], &[2, 3], |b, x| {
                let repeats = b.ints(&[-1, 1]);
                b.op("Tile", &[x, repeats])
            }),
        ),
        (
            "Conv",
            refusal(&[1, 2, 3], &[1, 2, 3], |b, x| {
                let w = b.constant(Tensor::new([2, 2, 1, 1], &[0.0f32; 4]));
                b.op("Conv", &[x, w])
            }),
        ),
        ("AveragePool", refusal(&[1, 2, 3], &[1, 2, 3], |b, x| b.op("AveragePool", &[x]))),
        ("MatMul", refusal(&[], &[], |b, x| b.matmul(x, x))),
        (
            "DepthToSpace",
            refusal(&[1, 3, 1, 1], &[1, 3, 1, 1], |b, x| {
                b.op_with("DepthToSpace", &[x], &[("blocksize", Attr::Int(0)), text("mode", "CRD")])
            }),
        ),
    ];
    for (op, said) in broken {
        assert!(said.contains("P0302") && said.contains(op), "{op}: {said}");
    }
}

#[test]
fn a_shape_that_is_not_static_is_an_error() {
    let mut graph = Graph::default();
    let free = TensorType { dtype: DType::F32, dims: vec![Dim::Symbol("N".to_owned())] };
    let x = graph.add_input("x", free);
    let mut b = Builder::new(&mut graph, "t");
    let y = b.reshape(x, &[1, -1]);
    let loss = b.op("ReduceSum", &[y]);
    graph.set_type(loss, Some(TensorType::fixed(DType::F32, &[])));
    let problems = differentiate(&mut graph, loss, &[x]).unwrap_err();
    assert!(format!("{:?}", problems[0]).contains("not known before running"), "{problems:?}");
}

#[test]
fn sums_undo_broadcasting() {
    for (from, to, ops) in [
        (&[2, 3][..], &[2, 3][..], ""),
        (&[2, 3], &[3], "ReduceSum Reshape"),
        (&[2, 3], &[2, 1], "ReduceSum"),
        (&[2, 3], &[], "ReduceSum Reshape"),
        (&[1, 3], &[3], "Reshape"),
        (&[4, 1, 3], &[1, 1, 1], "ReduceSum"),
    ] {
        let mut graph = Graph::default();
        let grad = graph.add_input("g", TensorType::fixed(DType::F32, from));
        sum_to(&mut Builder::new(&mut graph, "t"), grad, from, to);
        let made: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        assert_eq!(made.join(" "), ops, "{from:?} to {to:?}");
    }
}
