//! What the gradient rules refuse, and in which words; and the sum that undoes broadcasting.

use crate::scene::{Net, Scene};
use pipe::autodiff::differentiate;
use pipe::ir::{Attr, Builder, DType, Dim, Graph, Tensor, TensorType, ValueId};
use pipe::ops::sum_to;

/// Differentiates Σ of one node's output, with given static shapes, and returns the first problem's text.
fn refusal(shape: &[usize], y_shape: &[usize], emit: impl Fn(&mut Builder, ValueId) -> ValueId) -> String {
    refusal_of(DType::F32, &[shape], y_shape, |b, x| emit(b, x[0]))
}

/// The same for inputs of one type, each of them wanted.
fn refusal_of(
    dtype: DType,
    shapes: &[&[usize]],
    y_shape: &[usize],
    emit: impl Fn(&mut Builder, &[ValueId]) -> ValueId,
) -> String {
    let mut graph = Graph::default();
    let x: Vec<ValueId> = shapes.iter().map(|shape| graph.add_input("x", TensorType::fixed(dtype, shape))).collect();
    let y = emit(&mut Builder::new(&mut graph, "t"), &x);
    graph.set_type(y, Some(TensorType::fixed(dtype, y_shape)));
    let loss = Builder::new(&mut graph, "loss").op_with("ReduceSum", &[y], &[("keepdims", Attr::Int(0))]);
    graph.set_type(loss, Some(TensorType::fixed(dtype, &[])));
    match differentiate(&mut graph, loss, &x) {
        Ok(_) => "nothing".to_owned(),
        Err(problems) => format!("{:?}", problems[0]),
    }
}

/// A node with these inputs and attributes; its output of that number.
fn made(b: &mut Builder, op: &str, x: &[ValueId], attrs: &[(&str, Attr)], output: usize) -> ValueId {
    let inputs: Vec<Option<ValueId>> = x.iter().copied().map(Some).collect();
    b.node("", op, &inputs, attrs, output + 1)[output]
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
fn attributes_outside_the_range_of_a_rule_name_the_node_and_what_is_covered() {
    let (f32, f64) = (DType::F32, DType::F64);
    let int = |name: &'static str, value: i64| (name, Attr::Int(value));
    let (image, grid) = (&[1, 2, 3, 4][..], &[1, 2, 2, 2][..]);
    let cell: &[&[usize]] = &[&[2, 1, 3], &[1, 4, 3], &[1, 4, 4]];
    let of = |op: &'static str, dtype: DType, shapes: &[&[usize]], attrs: &[(&str, Attr)], output: usize| {
        (op, refusal_of(dtype, shapes, shapes[0], |b, x| made(b, op, x, attrs, output)))
    };
    let rows: Vec<((&str, String), &str)> = vec![
        (of("ReduceL2", f32, &[&[2, 3]], &[int("noop_with_empty_axes", 1)], 0), "axes are covered"),
        (of("LayerNormalization", f32, &[&[2, 3], &[3]], &[], 1), "the first output is covered"),
        (of("LRN", f32, &[image], &[int("size", 2)], 0), "odd sizes are covered"),
        (of("BatchNormalization", f32, &[&[2], &[2], &[2], &[2], &[2]], &[], 0), "ranks from 2"),
        (
            of("BatchNormalization", f32, &[&[2, 3], &[3], &[3], &[3], &[3]], &[int("training_mode", 1)], 1),
            "the first output is covered",
        ),
        (of("RNN", f64, cell, &[int("hidden_size", 4)], 0), "only f32"),
        (of("RNN", f32, cell, &[int("hidden_size", 4), int("layout", 1)], 0), "`layout: 0`"),
        (
            of("RNN", f32, cell, &[int("hidden_size", 4), ("activations", Attr::Strs(vec![b"Swish".to_vec()]))], 0),
            "covered are",
        ),
        (of("GridSample", f64, &[image, grid], &[], 0), "only f32"),
        (of("GridSample", f32, &[image, grid], &[text("mode", "lanczos")], 0), "covered are bilinear"),
        (of("GridSample", f32, &[image, grid], &[text("padding_mode", "wrap")], 0), "covered are zeros"),
        (of("GridSample", f32, &[&[1, 2, 3], &[1, 2, 1]], &[], 0), "images and volumes are covered"),
        (
            of(
                "AveragePool",
                f32,
                &[image],
                &[("kernel_shape", Attr::Ints(vec![1, 1])), ("pads", Attr::Ints(vec![-1; 4]))],
                0,
            ),
            "`auto_pad` is covered",
        ),
        (of("DepthToSpace", f32, &[&[1, 4, 1, 1]], &[int("blocksize", 2), text("mode", "RCD")], 0), "DCR and CRD"),
        (of("Mod", f32, &[&[2], &[2]], &[], 0), "`fmod`"),
        (of("Pad", f32, &[&[2]], &[text("mode", "wrap")], 0), "only `constant` is covered"),
    ];
    for ((op, said), covered) in rows {
        assert!(said.contains("P0401") && said.contains(&format!("({op})")) && said.contains("`t/"), "{op}: {said}");
        assert!(said.contains(covered) && said.contains("freeze up to here"), "{op}, {covered}: {said}");
    }
    let resize = refusal(&[1, 1, 2, 2], &[1, 1, 4, 4], |b, x| {
        let scales = b.graph.add_input("scales", TensorType::fixed(DType::F32, &[4]));
        b.node("", "Resize", &[Some(x), None, Some(scales)], &[], 1)[0]
    });
    assert!(resize.contains("constants are covered"), "{resize}");
    let drop = refusal(&[4], &[4], |b, x| {
        let (ratio, training) =
            (b.scalar(DType::F32, 0.5), b.graph.add_input("on", TensorType::fixed(DType::Bool, &[])));
        b.op("Dropout", &[x, ratio, training])
    });
    assert!(drop.contains("a constant is covered"), "{drop}");
}

/// `w`, through what `emit` makes of it, to a loss: the one problem of its gradient.
fn way(emit: impl Fn(&mut Builder, ValueId) -> ValueId) -> String {
    let mut graph = Graph::default();
    let ty = |dtype| Some(TensorType::fixed(dtype, &[3]));
    let w = graph.add_input("w", TensorType::fixed(DType::F32, &[3]));
    let y = emit(&mut Builder::new(&mut graph, "t"), w);
    graph.set_type(y, ty(DType::F32));
    let loss = Builder::new(&mut graph, "loss").op_with("ReduceSum", &[y], &[("keepdims", Attr::Int(0))]);
    graph.set_type(loss, Some(TensorType::fixed(DType::F32, &[])));
    let problems = differentiate(&mut graph, loss, &[w]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    format!("{:?}", problems[0])
}

#[test]
fn a_way_to_the_loss_that_is_not_floating_point_names_the_node_and_the_type() {
    for (to, kind) in [(7, "i64"), (10, "f16"), (16, "bf16"), (9, "bool"), (8, "str")] {
        let said = way(|b, w| {
            let there = b.op_with("Cast", &[w], &[("to", Attr::Int(to))]);
            if let Some(dtype) = DType::from_onnx(to as i32) {
                b.graph.set_type(there, Some(TensorType::fixed(dtype, &[3])));
            }
            b.op_with("Cast", &[there], &[("to", Attr::Int(1))])
        });
        assert!(said.contains("P0404") && said.contains("`w`") && said.contains("(Cast)"), "{said}");
        assert!(said.contains(&format!("makes {kind}")) && said.contains("before: t/Cast"), "{said}");
    }
    let said = way(|b, w| {
        let best = b.op_with("ArgMax", &[w], &[("axis", Attr::Int(0))]);
        b.graph.set_type(best, Some(TensorType::fixed(DType::I64, &[1])));
        b.cast(best, DType::F32)
    });
    assert!(said.contains("P0404") && said.contains("(ArgMax) makes i64"), "{said}");
}

#[test]
fn steps_on_the_way_to_the_loss_are_named_apart_from_a_loss_that_looks_elsewhere() {
    for op in ["Floor", "Ceil", "Round", "Sign", "Hardmax"] {
        let said = way(|b, w| b.op(op, &[w]));
        assert!(said.contains("P0402") && said.contains(&format!("({op}) passes none")), "{said}");
    }
    let said = way(|b, _| b.constant(Tensor::vector(&[1f32, 2.0, 3.0])));
    assert!(said.contains("P0402") && said.contains("the loss does not depend on parameter `w`"), "{said}");
    // Beside a way that passes, one that does not is no problem.
    let mut graph = Graph::default();
    let w = graph.add_input("w", TensorType::fixed(DType::F32, &[3]));
    let mut b = Builder::new(&mut graph, "t");
    let steps = b.op("Floor", &[w]);
    let y = b.mul(w, steps);
    let loss = b.op_with("ReduceSum", &[y], &[("keepdims", Attr::Int(0))]);
    for value in [steps, y] {
        graph.set_type(value, Some(TensorType::fixed(DType::F32, &[3])));
    }
    graph.set_type(loss, Some(TensorType::fixed(DType::F32, &[])));
    differentiate(&mut graph, loss, &[w]).unwrap();
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

#[test]
fn what_stops_a_gradient_is_told_beside_what_the_spec_freezes() {
    let spec = "version: 1\nname: stopped\nmodel: {source: model.onnx}\ndata: {sets: {train: {npz: train.npz}}}\nfreeze: none\n\
        loss: cross_entropy\noptimizer: {sgd: {lr: 0.1}}\nschedule: {epochs: 1, batch: 5}\n";
    let said = |graph: &Graph| {
        let scene = Scene::new();
        scene.model("model.onnx", graph);
        scene.samples("train.npz", 10, &[6], 3);
        let problems = scene.plan(spec).err().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let (status, said) = {
            scene.write("spec.yaml", spec);
            scene.command(&["plan", "spec.yaml"], &[])
        };
        assert_eq!(status, Some(2), "{said}");
        said
    };
    let steps = said(&Net::new(&[6]).linear("fc1", 6, 8).op("whole", "Floor").linear("fc3", 8, 3).done());
    assert!(steps.starts_with("P0402") && steps.contains("`fc1.weight`, `fc1.bias`"), "{steps}");
    assert!(steps.contains("5 │ freeze: none") && steps.contains("before: whole"), "{steps}");
    let mut net = Net::new(&[6]).linear("fc1", 6, 8);
    let mut b = Builder::new(&mut net.graph, "round");
    let there = b.cast(net.at, DType::I64);
    net.at = b.cast(there, DType::F32);
    let whole = said(&net.linear("fc3", 8, 3).done());
    assert!(whole.starts_with("P0404") && whole.contains("`fc1.weight`, `fc1.bias`"), "{whole}");
    assert!(whole.contains("5 │ freeze: none") && whole.contains("before: round/Cast"), "{whole}");
}
