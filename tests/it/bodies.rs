//! Weights inside the bodies of `If`, `Loop` and `Scan` are parameters as others are: named, frozen, trained and exported.

use crate::scene::{Net, Scene, mlp, weight};
use pipe::ir::onnx::{self, Body};
use pipe::ir::{Attr, Builder, DType, Dim, Graph, Tensor, TensorType};

const SPEC: &str = "version: 1\nname: bodies\nmodel: {source: model.onnx}\ndata: {sets: {train: {npz: train.npz}}}\nloss: cross_entropy\n\
    optimizer: {sgd: {lr: 0.1, momentum: 0.9}}\nschedule: {epochs: 2, batch: 5}\n";

fn scene(graph: &Graph) -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", graph);
    scene.samples("train.npz", 10, &[6], 3);
    scene
}

/// A body that makes a product and a sum of what it reads from around it, with weights of its own.
fn gemm(read: &str, name: &str, weights: [Tensor; 2]) -> Attr {
    let mut graph = Graph::default();
    let x = graph.value(read);
    let [w, b] = weights;
    let params =
        [graph.add_initializer(&format!("{name}.weight"), w), graph.add_initializer(&format!("{name}.bias"), b)];
    let y = Builder::new(&mut graph, name).op_with("Gemm", &[x, params[0], params[1]], &[("transB", Attr::Int(1))]);
    graph.inputs = vec![x];
    graph.outputs = vec![y];
    Body { graph, outside: vec![read.to_owned()] }.encode()
}

/// The network with `fc2` in a branch that a shape decides for, beside one with weights `name` that is never taken.
fn branched(name: &str) -> Graph {
    let mut graph = mlp();
    let at = graph.nodes.iter().position(|node| node.name == "fc2").unwrap();
    let fc2 = graph.nodes[at].clone();
    let own = [1, 2].map(|input| graph.initializers.remove(&fc2.input(input).unwrap()).unwrap());
    let read = graph.name(fc2.input(0).unwrap()).to_owned();
    let other = [Tensor::new([5, 8], &[0.5f32; 40]), Tensor::vector(&[0.1f32; 5])];
    let branches = [("then_branch", gemm(&read, "fc2", own)), ("else_branch", gemm(&read, name, other))];
    let rest = graph.nodes.split_off(at);
    let x = graph.inputs[0];
    let mut b = Builder::new(&mut graph, "asked");
    let size = b.op_with("Shape", &[x], &[("start", Attr::Int(1))]);
    let six = b.ints(&[6]);
    let truth = b.equal(size, six);
    let truth = b.squeeze(truth, &[0]);
    b.node("", "If", &[Some(truth)], &branches, 1);
    graph.nodes.last_mut().unwrap().outputs = vec![fc2.output(0)];
    graph.nodes.extend(rest.into_iter().skip(1));
    // Names are unique in a graph only once it is read: those of bodies are not among the values.
    onnx::decode(&onnx::encode(&graph), None).unwrap().graph
}

#[test]
fn a_branch_that_is_taken_trains_as_if_it_stood_outside() {
    let inside = scene(&branched("other"));
    let outside = scene(&mlp());
    let (inside, outside) = (inside.run(&format!("{SPEC}freeze: ['other.*']\n"), "a"), outside.run(SPEC, "a"));
    for name in ["fc1.weight", "fc2.weight", "fc2.bias", "fc3.bias"] {
        assert_ne!(outside.weight(name), weight(&mlp(), name), "{name} moves");
        assert_eq!(inside.weight(name), outside.weight(name), "{name}");
    }
    assert_eq!(inside.weight("other.weight"), [0.5; 40]);
    assert!(inside.exported().nodes.iter().any(|node| node.op == "If"), "the model stays as it was");
}

#[test]
fn weights_of_the_branch_that_is_not_taken_are_told() {
    let problems = scene(&branched("other")).plan(SPEC).err().unwrap();
    let said = format!("{problems:?}");
    assert!(said.contains("P0402") && said.contains("`other.weight`, `other.bias`"), "{said}");
    // Both branches may call their weights the same.
    let problems = scene(&branched("fc2")).plan(SPEC).err().unwrap();
    let said = format!("{problems:?}");
    assert!(said.contains("P0402") && said.contains("/fc2.weight`") && said.contains("/fc2.bias`"), "{said}");
    let frozen = scene(&branched("other")).run(&format!("{SPEC}freeze: {{all_but: ['fc3.*']}}\n"), "b");
    assert_eq!(frozen.weight("fc2.weight"), weight(&mlp(), "fc2.weight"));
}

#[test]
fn a_weight_in_a_loop_is_one_weight_of_all_steps() {
    let cell = Tensor::new([8, 8], &std::array::from_fn::<f32, 64, _>(|i| ((i * 7) % 11) as f32 * 0.1 - 0.5));
    let unrolled = {
        let mut net = Net::new(&[6]).linear("fc1", 6, 8);
        let w = net.graph.add_initializer("cell.weight", cell.clone());
        for step in ["a", "b", "c"] {
            net = net.node(step, "MatMul", &[w], &[]).op(&format!("{step}/tanh"), "Tanh");
        }
        net.linear("fc3", 8, 3).done()
    };
    let looped = {
        let mut net = Net::new(&[6]).linear("fc1", 6, 8);
        let mut body = Graph::default();
        let step = body.add_input("step", TensorType::fixed(DType::I64, &[]));
        let go = body.add_input("go", TensorType::fixed(DType::Bool, &[]));
        let rows = Dim::Symbol(String::new());
        let h = body.add_input("h", TensorType { dtype: DType::F32, dims: vec![rows, Dim::Known(8)] });
        let w = body.add_initializer("cell.weight", cell.clone());
        let mut b = Builder::new(&mut body, "cell");
        let (on, product) = (b.identity(go), b.matmul(h, w));
        let next = b.tanh(product);
        body.inputs = vec![step, go, h];
        body.outputs = vec![on, next];
        let body = Body { graph: body, outside: Vec::new() }.encode();
        let mut b = Builder::new(&mut net.graph, "loop");
        let three = b.constant(Tensor::scalar(3i64));
        net.at = b.node("", "Loop", &[Some(three), None, Some(net.at)], &[("body", body)], 1)[0];
        net.linear("fc3", 8, 3).done()
    };
    let (looped, unrolled) = (scene(&looped).run(SPEC, "a"), scene(&unrolled).run(SPEC, "a"));
    assert_ne!(unrolled.weight("cell.weight"), cell.to_vec::<f32>().unwrap());
    for name in ["fc1.weight", "cell.weight", "fc3.bias"] {
        assert_eq!(looped.weight(name), unrolled.weight(name), "{name}");
    }
}
