//! What is written out before differentiation, what stays, and what is refused. That a form equals ONNX Runtime's own kernel is
//! checked with the gradients.

use pipe::autodiff::{differentiate, expand};
use pipe::ir::onnx::Body;
use pipe::ir::{Attr, Builder, DType, Graph, Tensor, TensorType, ValueId};
use pipe::native::probe;

const CONTRIB: &str = "com.microsoft";

fn graph() -> Graph {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), pipe::ir::OPSET);
    graph.opsets.insert(CONTRIB.to_owned(), 1);
    graph
}

/// The problem of a node with inputs of these shapes, every one of them wanted.
fn refusal(op: &str, shapes: &[Option<&[usize]>], attrs: &[(&str, Attr)], outputs: usize) -> String {
    let mut graph = graph();
    let inputs: Vec<Option<ValueId>> = shapes
        .iter()
        .map(|shape| shape.map(|shape| graph.add_input("x", TensorType::fixed(DType::F32, shape))))
        .collect();
    let mut b = Builder::new(&mut graph, "t");
    let made = b.node(CONTRIB, op, &inputs, attrs, outputs);
    graph.outputs.clone_from(&made);
    let wrt: Vec<ValueId> = inputs.into_iter().flatten().collect();
    let nodes = graph.nodes.len();
    let problems = expand(&mut graph, made[0], &wrt).unwrap_err();
    assert_eq!(graph.nodes.len(), nodes, "a refusal leaves the graph alone");
    format!("{:?}", problems[0])
}

#[test]
fn forms_that_are_not_written_out_are_named() {
    let shape = |dims: &'static [usize]| Some(dims);
    let (x, w, b, past) = (shape(&[1, 3, 4]), shape(&[4, 12]), shape(&[12]), shape(&[2, 1, 2, 5, 2]));
    let heads = ("num_heads", Attr::Int(2));
    let rows: [(&str, &str, String); 7] = [
        ("Attention", "past keys", refusal("Attention", &[x, w, b, None, past], std::slice::from_ref(&heads), 2)),
        ("Attention", "do_rotary", refusal("Attention", &[x, w, b], &[heads.clone(), ("do_rotary", Attr::Int(1))], 1)),
        ("MultiHeadAttention", "packed", refusal("MultiHeadAttention", &[x], std::slice::from_ref(&heads), 1)),
        (
            "MultiHeadAttention",
            "past values",
            refusal("MultiHeadAttention", &[x, x, x, None, None, None, None, past], std::slice::from_ref(&heads), 1),
        ),
        ("SkipLayerNormalization", "mean", refusal("SkipLayerNormalization", &[x, x, Some(&[4])], &[], 2)),
        (
            "RotaryEmbedding",
            "is_packed_batching",
            refusal("RotaryEmbedding", &[x, x, x, x], &[("is_packed_batching", Attr::Int(1))], 1),
        ),
        ("FusedGemm", "`Selu`", refusal("FusedGemm", &[w, w], &[("activation", Attr::Str(b"Selu".to_vec()))], 1)),
    ];
    for (op, why, said) in rows {
        assert!(said.contains("P0401") && said.contains(op) && said.contains(why), "{op}, {why}: {said}");
    }
}

#[test]
fn only_what_a_gradient_passes_is_written_out() {
    let mut graph = graph();
    let x = graph.add_input("x", TensorType::fixed(DType::F32, &[2, 3, 4]));
    let scale = graph.add_input("scale", TensorType::fixed(DType::F32, &[4]));
    let mut b = Builder::new(&mut graph, "t");
    let gamma = b.constant(Tensor::vector(&[1f32, 2.0, 3.0, 4.0]));
    let frozen = b.node(CONTRIB, "SkipLayerNormalization", &[Some(x), Some(x), Some(gamma)], &[], 1)[0];
    let outputs = b.node(CONTRIB, "SkipLayerNormalization", &[Some(frozen), Some(x), Some(scale)], &[], 4);
    let loss = b.op_with("ReduceSum", &[outputs[0]], &[("keepdims", Attr::Int(0))]);
    graph.outputs = vec![loss, outputs[3]];
    let kept = graph.name(outputs[3]).to_owned();
    probe(&mut graph, &[]).unwrap();
    assert!(expand(&mut graph, loss, &[scale]).unwrap());
    let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
    assert_eq!(ops, ["SkipLayerNormalization", "Add", "LayerNormalization", "ReduceSum"]);
    assert_eq!(graph.name(graph.outputs[1]), kept);
    probe(&mut graph, &[]).unwrap();
    assert!(!expand(&mut graph, loss, &[scale]).unwrap(), "nothing is left");
    differentiate(&mut graph, loss, &[scale]).unwrap();
}

/// A body that reads `x` from around it: inputs of its own come first.
fn body(own: usize, emit: impl Fn(&mut Builder, &[ValueId]) -> Vec<ValueId>) -> Attr {
    let mut graph = Graph::default();
    let mut reads: Vec<ValueId> = (0..own).map(|i| graph.value(&format!("own{i}"))).collect();
    reads.push(graph.value("x"));
    graph.outputs = emit(&mut Builder::new(&mut graph, "body"), &reads);
    graph.inputs = reads;
    Body { graph, outside: vec!["x".to_owned()] }.encode()
}

/// x itself plus what a node makes of it; the problems of its gradient, before and after writing out.
fn control_flow(
    op: &str,
    inputs: impl Fn(&mut Builder) -> Vec<Option<ValueId>>,
    attrs: &[(&str, Attr)],
) -> [String; 2] {
    let mut graph = graph();
    let x = graph.add_input("x", TensorType::fixed(DType::F32, &[3]));
    let mut b = Builder::new(&mut graph, "t");
    let given = inputs(&mut b);
    let made = b.node("", op, &given, attrs, 1)[0];
    let y = b.add(x, made);
    let loss = b.op_with("ReduceSum", &[y], &[("keepdims", Attr::Int(0))]);
    for value in [made, y] {
        graph.set_type(value, Some(TensorType::fixed(DType::F32, &[3])));
    }
    graph.set_type(loss, Some(TensorType::fixed(DType::F32, &[])));
    graph.outputs = vec![loss];
    let mut plain = graph.clone();
    let before = format!("{:?}", differentiate(&mut plain, loss, &[x]).err());
    [before, format!("{:?}", expand(&mut graph, loss, &[x]))]
}

#[test]
fn control_flow_that_is_not_known_before_running_is_named() {
    let branch = || body(0, |b, x| vec![b.mul(x[0], x[0])]);
    let branches = [("then_branch", branch()), ("else_branch", branch())];
    let asked = |b: &mut Builder| vec![Some(b.graph.add_input("ask", TensorType::fixed(DType::Bool, &[])))];
    let [before, after] = control_flow("If", asked, &branches);
    // A body that reads a value passes its gradient: it is never left out in silence.
    assert!(before.contains("P0401") && before.contains("`If`"), "{before}");
    assert!(after.contains("P0401") && after.contains("condition (`ask`) is computed at run time"), "{after}");
    let cell = [("body", body(3, |b, x| vec![b.identity(x[1]), b.mul(x[2], x[3])]))];
    let counted = |b: &mut Builder| {
        let start = b.constant(Tensor::vector(&[1f32, 2.0, 3.0]));
        vec![Some(b.graph.add_input("count", TensorType::fixed(DType::I64, &[]))), None, Some(start)]
    };
    let [before, after] = control_flow("Loop", counted, &cell);
    assert!(before.contains("P0401") && before.contains("`Loop`"), "{before}");
    assert!(after.contains("trip count (`count`) is computed at run time"), "{after}");
    let long = |b: &mut Builder| {
        let start = b.constant(Tensor::vector(&[1f32, 2.0, 3.0]));
        vec![Some(b.constant(Tensor::scalar(1000i64))), None, Some(start)]
    };
    let [_, after] = control_flow("Loop", long, &cell);
    assert!(after.contains("1000 steps; at most 64"), "{after}");
}

#[test]
fn what_is_written_out_has_limits() {
    let counted = |steps: i64| {
        move |b: &mut Builder| {
            let start = b.constant(Tensor::vector(&[1f32, 2.0, 3.0]));
            vec![Some(b.constant(Tensor::scalar(steps))), None, Some(start)]
        }
    };
    let wide = || [("body", body(3, |b, x| vec![b.identity(x[1]), (0..300).fold(x[3], |y, _| b.mul(x[2], y))]))];
    let [_, after] = control_flow("Loop", counted(64), &wide());
    assert!(after.contains("P0401") && after.contains("more than 16384 nodes"), "{after}");
    let [_, after] = control_flow("Loop", counted(50), &wide());
    assert!(after.contains("Ok(true)"), "{after}");
    // Each of 64 steps holds a copy of the body inside.
    let heavy = {
        let mut inner = Graph::default();
        let x = inner.value("x");
        inner.add_initializer("table", Tensor::new([1 << 18], &vec![0i64; 1 << 18]));
        let y = Builder::new(&mut inner, "inner").identity(x);
        inner.inputs = vec![x];
        inner.outputs = vec![y];
        Body { graph: inner, outside: vec!["x".to_owned()] }.encode()
    };
    let nested = body(3, |b, x| {
        let yes = b.constant(Tensor::scalar(true));
        let made = b.node("", "If", &[Some(yes)], &[("then_branch", heavy.clone()), ("else_branch", heavy.clone())], 1);
        vec![b.identity(x[1]), b.mul(x[2], made[0])]
    });
    let [_, after] = control_flow("Loop", counted(64), &[("body", nested)]);
    assert!(after.contains("P0401") && after.contains("bodies take more than 64 MiB"), "{after}");
}

#[test]
fn a_loop_without_steps_stacks_nothing() {
    let mut graph = graph();
    let x = graph.add_input("x", TensorType::fixed(DType::F32, &[3]));
    let cell = body(3, |b, own| vec![b.identity(own[1]), b.mul(own[2], own[3]), b.neg(own[2])]);
    let mut b = Builder::new(&mut graph, "t");
    let none = b.constant(Tensor::scalar(0i64));
    let made = b.node("", "Loop", &[Some(none), None, Some(x)], &[("body", cell)], 2);
    let (carried, stacked) =
        (b.reduce_sum(made[0], &[0], false), b.op_with("ReduceSum", &[made[1]], &[("keepdims", Attr::Int(0))]));
    let loss = b.add(carried, stacked);
    graph.set_type(made[0], Some(TensorType::fixed(DType::F32, &[3])));
    graph.set_type(made[1], Some(TensorType::fixed(DType::F32, &[0, 3])));
    graph.outputs = vec![loss];
    assert!(expand(&mut graph, loss, &[x]).unwrap());
    probe(&mut graph, &[]).unwrap();
    let gradients = differentiate(&mut graph, loss, &[x]).unwrap();
    graph.outputs = gradients;
    let mut session = pipe::native::Session::build(&graph, &pipe::native::Options::default()).unwrap();
    let found = session.call(&[("x", Tensor::vector(&[5f32, 6.0, 7.0]))]).unwrap();
    assert_eq!(found[0].to_vec::<f32>().unwrap(), [1.0; 3]);
}
