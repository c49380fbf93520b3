//! Round trips, initializers, functions, bodies, order.

use super::*;
use crate::ir::onnx::encode;
use crate::ir::onnx::proto::{FunctionProto, SparseTensorProto};
use std::collections::BTreeMap;

#[test]
fn what_is_written_reads_back_the_same() {
    let graph = sample().graph_of();
    let again = decode(&encode(&graph), None).expect("own files are valid").graph;
    assert_eq!(graph.dump(), again.dump());
    assert_eq!(graph.metadata, again.metadata);
    assert_eq!(again.metadata["author"], "somebody");
    assert_eq!(again.nodes[0].metadata["namespace"], "a: B/c: D");
    assert_eq!(encode(&graph), encode(&again));
    let bytes = |graph: &Graph| graph.initializers.values().map(|t| t.bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(bytes(&graph), bytes(&again));
    // An initializer that is also listed as an input is no input.
    assert_eq!(graph.inputs.iter().map(|id| graph.name(*id)).collect::<Vec<_>>(), ["x"]);
    let file = ModelProto::decode(encode(&graph).as_slice()).expect("protobuf");
    assert_eq!((file.ir_version(), file.opset_import[0].version()), (8, 18));
}

#[test]
fn symbolic_and_unknown_dimensions_survive() {
    let mut model = Model::new(18).input("x", &[-1, 3]).node("Relu", "x", "y", &[]).output("y");
    let named = tensor_shape_proto::Dimension {
        denotation: None,
        value: Some(tensor_shape_proto::dimension::Value::DimParam("tokens".to_owned())),
    };
    if let Some(type_proto::Value::TensorType(ty)) =
        model.graph().input[0].r#type.as_mut().and_then(|ty| ty.value.as_mut())
    {
        ty.shape.get_or_insert_default().dim.push(named);
    }
    let graph = model.graph_of();
    assert!(graph.dump().starts_with("input x: f32[?, 3, tokens]\n"), "{}", graph.dump());
    assert_eq!(graph.dump(), decode(&encode(&graph), None).expect("valid").graph.dump());
}

#[test]
fn every_kind_of_constant_becomes_an_initializer() {
    let model = Model::new(18)
        .input("x", &[4])
        .node("Constant", "", "t", &[("value", Attr::Tensor(Tensor::vector(&[1f32; 4])))])
        .node("Constant", "", "f", &[("value_float", Attr::Float(2.0))])
        .node("Constant", "", "fs", &[("value_floats", Attr::Floats(vec![3.0; 4]))])
        .node("Constant", "", "i", &[("value_int", Attr::Int(4))])
        .node("Constant", "", "is", &[("value_ints", Attr::Ints(vec![4, 2]))])
        .node("ConstantOfShape", "is", "filled", &[("value", Attr::Tensor(Tensor::vector(&[0.02f32])))])
        .node("Identity", "filled", "alias", &[])
        .node("Identity", "fs", "named", &[])
        .node("Sum", "x t f named", "a", &[])
        .node("MatMul", "a alias", "y", &[])
        .output("y")
        .output("i");
    let graph = model.graph_of();
    assert_eq!(nodes(&graph), ["a = Sum(x, t, f, named)", "y = MatMul(a, filled)"]);
    assert_eq!(floats(&graph, "filled"), [0.02; 8]);
    assert_eq!(floats(&graph, "named"), [3.0; 4]);
    assert_eq!(ints(&graph, "i"), [4]);
}

#[test]
fn a_shape_that_asks_for_too_much_stays_a_node() {
    let model = Model::new(18)
        .input("x", &[1])
        .weight("shape", &Tensor::vector(&[1i64 << 40, 1 << 20]))
        .node("ConstantOfShape", "shape", "filled", &[])
        .node("Add", "x filled", "y", &[])
        .output("y");
    assert_eq!(nodes(&model.graph_of())[0], "filled = ConstantOfShape(shape)");
}

#[test]
fn sparse_initializers_become_dense() {
    let mut model = Model::new(18).input("x", &[2, 3]).node("Add", "x s", "y", &[]).output("y");
    model.graph().sparse_initializer.push(SparseTensorProto {
        values: Some(tensor::write("s", &Tensor::vector(&[5f32, 7.0]))),
        indices: Some(tensor::write("", &Tensor::new([2, 2], &[0i64, 1, 1, 2]))),
        dims: vec![2, 3],
    });
    assert_eq!(floats(&model.graph_of(), "s"), [0.0, 5.0, 0.0, 0.0, 0.0, 7.0]);
    model.graph().sparse_initializer[0].dims = vec![2, 2];
    assert_eq!(code(&model.fails()), Code::ModelInvalid);
}

#[test]
fn nodes_are_sorted_and_a_sorted_file_keeps_its_order() {
    let model = Model::new(18)
        .input("x", &[1])
        .node("Neg", "b", "y", &[])
        .node("Abs", "x", "other", &[])
        .node("Exp", "a", "b", &[])
        .node("Relu", "x", "a", &[])
        .node("Add", "y other", "z", &[])
        .output("z");
    let order: Vec<String> = model.graph_of().nodes.iter().map(|node| node.op.clone()).collect();
    assert_eq!(order, ["Abs", "Relu", "Exp", "Neg", "Add"]);
}

#[test]
fn optional_inputs_are_none_and_trailing_ones_are_cut() {
    let model = Model::new(18)
        .input("x", &[1])
        .weight("top", &Tensor::scalar(6f32))
        .node("Clip", "x _ top", "a", &[])
        .node("Clip", "a _ _", "y _", &[])
        .output("y");
    let graph = model.graph_of();
    assert_eq!(nodes(&graph), ["a = Clip(x, _, top)", "y = Clip(a)"]);
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("local".to_owned()),
        input: names(inputs),
        output: names(outputs),
        node: nodes,
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
        ..FunctionProto::default()
    }
}

fn call(op: &str, inputs: &str, outputs: &str, name: &str) -> NodeProto {
    let mut proto = node(op, inputs, outputs, &[("slope", Attr::Float(0.25))]);
    proto.domain = Some("local".to_owned());
    proto.name = Some(name.to_owned());
    proto
}

#[test]
fn functions_are_inlined_with_their_attributes() {
    let mut leaky = node("LeakyRelu", "t", "out", &[]);
    leaky.attribute.push(reference("alpha", "slope"));
    let mut model = Model::new(18).input("x", &[1]).output("y").output("same");
    model.graph().node.push(call("Outer", "x", "y same", "net"));
    let inner = function("Inner", &["a"], &["out"], vec![node("Neg", "a", "t", &[]), leaky]);
    let outer =
        function("Outer", &["a"], &["m", "a"], vec![call("Inner", "a", "u", "first"), node("Exp", "u", "m", &[])]);
    model.0.functions = vec![outer, inner];
    let graph = model.graph_of();
    assert_eq!(
        nodes(&graph),
        ["net/first/t = Neg(x)", "net/u = LeakyRelu(net/first/t) alpha=0.25", "y = Exp(net/u)", "same = Identity(x)"]
    );
}

#[test]
fn functions_that_never_end_are_refused() {
    let mut model = Model::new(18).input("x", &[1]).output("y");
    model.graph().node.push(call("A", "x", "y", "a"));
    model.0.functions = vec![
        function("A", &["x"], &["y"], vec![call("B", "x", "y", "b")]),
        function("B", &["x"], &["y"], vec![call("A", "x", "y", "a")]),
    ];
    assert_eq!(code(&model.fails()), Code::ModelInvalid);
    // Each function calls the next one four times: 4^30 nodes.
    let level = |i: usize| {
        let nodes = (0..4).map(|k| call(&format!("F{}", i + 1), "x", if k == 0 { "y" } else { "_" }, &k.to_string()));
        function(&format!("F{i}"), &["x"], &["y"], nodes.collect())
    };
    model.graph().node = vec![call("F0", "x", "y", "a")];
    model.0.functions = (0..30).map(level).collect();
    assert_eq!(code(&model.fails()), Code::ModelInvalid);
}

#[test]
fn bodies_are_brought_to_the_same_opset_and_keep_their_captures() {
    let branch = |name: &str| {
        let body = GraphProto {
            name: Some(name.to_owned()),
            node: vec![
                node("Constant", "", &format!("{name}_c"), &[("value", Attr::Tensor(Tensor::vector(&[1f32])))]),
                node("Squeeze", "x", &format!("{name}_s"), &[("axes", Attr::Ints(vec![0]))]),
                node("Add", &format!("{name}_s {name}_c"), name, &[]),
            ],
            output: vec![ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }],
            ..GraphProto::default()
        };
        Attr::Graph { bytes: body.encode_to_vec(), captures: Vec::new() }
    };
    let model = Model::new(11)
        .input("x", &[1, 4])
        .node("ReduceSum", "x", "sum", &[("keepdims", Attr::Int(0))])
        .node("Cast", "sum", "yes", &[("to", Attr::Int(9))])
        .node("If", "yes", "y", &[("then_branch", branch("a")), ("else_branch", branch("b"))])
        .output("y");
    let graph = model.graph_of();
    let Some(Attr::Graph { bytes, captures }) = graph.nodes[2].attrs.get("then_branch") else { panic!("a body") };
    // Floats are taken out, so that they can be trained.
    assert_eq!(captures, &["x", "a_c"]);
    assert_eq!(floats(&graph, "b_c"), [1.0]);
    let body = GraphProto::decode(bytes.as_slice()).expect("a body");
    assert_eq!(body.node[0].op_type(), "Squeeze");
    assert_eq!(body.node[0].input, ["x", "a_s/const_axes"]);
    assert!(body.input.is_empty() && body.initializer.len() == 1);
    assert_eq!(graph.reads(&graph.nodes[2]).len(), 5);
}

#[test]
fn other_domains_pass_untouched() {
    let mut model =
        Model::new(17).input("x", &[1]).node("Gelu", "x", "y", &[("axes", Attr::Ints(vec![1]))]).output("y");
    model.graph().node[0].domain = Some("com.microsoft".to_owned());
    model.0.opset_import.push(OperatorSetIdProto { domain: Some("com.microsoft".to_owned()), version: Some(1) });
    let graph = model.graph_of();
    assert_eq!(nodes(&graph), ["y = com.microsoft::Gelu(x) axes=[1]"]);
    let file = ModelProto::decode(encode(&graph).as_slice()).expect("protobuf");
    let imports: Vec<(&str, i64)> = file.opset_import.iter().map(|i| (i.domain(), i.version())).collect();
    assert_eq!(imports, [("", 18), ("com.microsoft", 1)]);
}

#[test]
fn own_operators_of_the_library_are_read() {
    let model = Model::new(15)
        .input("x", &[2, 4])
        .weight("v", &Tensor::new([4], &[1f32; 4]))
        .node("SimplifiedLayerNormalization", "x v", "y", &[])
        .output("y");
    assert_eq!(nodes(&model.graph_of()), ["y = SimplifiedLayerNormalization(x, v)"]);
    // Stock ONNX Runtime 1.31 crashes on the first of these.
    for (inputs, expected) in
        [("x w", "x, w, y/const_bias"), ("x w _ m", "x, w, y/const_bias, m"), ("x w b", "x, w, b")]
    {
        let mut model = Model::new(17)
            .input("x", &[1, 2, 4])
            .weight("w", &Tensor::new([4, 12], &[0f32; 48]))
            .weight("b", &Tensor::new([12], &[0f32; 12]))
            .weight("m", &Tensor::new([1], &[2i32]))
            .node("Attention", inputs, "y", &[("num_heads", Attr::Int(2))])
            .output("y");
        model.graph().node[0].domain = Some("com.microsoft".to_owned());
        model.0.opset_import.push(OperatorSetIdProto { domain: Some("com.microsoft".to_owned()), version: Some(1) });
        let graph = model.graph_of();
        assert_eq!(nodes(&graph), [format!("y = com.microsoft::Attention({expected}) num_heads=2")]);
    }
}

/// A body that adds constants named in `weights` to `x` and gives the last one as a second output.
fn adding(name: &str, weights: &[(&str, Tensor)]) -> GraphProto {
    let mut body = GraphProto { name: Some(name.to_owned()), ..GraphProto::default() };
    let mut last = "x".to_owned();
    for (number, (weight, tensor)) in weights.iter().enumerate() {
        body.initializer.push(tensor::write(weight, tensor));
        let next = format!("{name}_{number}");
        body.node.push(node("Add", &format!("{last} {weight}"), &next, &[]));
        last = next;
    }
    body.output = [&last, weights[weights.len() - 1].0]
        .map(|name| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() })
        .into();
    body
}

fn branching(then: GraphProto, other: GraphProto) -> Model {
    let [then, other] = [then, other].map(|body| Attr::Graph { bytes: body.encode_to_vec(), captures: Vec::new() });
    Model::new(18)
        .input("x", &[2])
        .node("ReduceSum", "x", "sum", &[("keepdims", Attr::Int(0))])
        .node("Cast", "sum", "yes", &[("to", Attr::Int(9))])
        .node("If", "yes", "y z", &[("then_branch", then), ("else_branch", other)])
        .output("y")
        .output("z")
}

#[test]
fn floats_of_bodies_are_initializers_of_the_graph_around() {
    let floats_of = |value: f32| Tensor::vector(&[value; 2]);
    let then = adding("a", &[("w", floats_of(1.0)), ("only", floats_of(2.0)), ("last", floats_of(3.0))]);
    let other = adding("b", &[("w", floats_of(4.0)), ("last_b", floats_of(5.0))]);
    let graph = branching(then, other).graph_of();
    let held: BTreeMap<&str, f32> = graph
        .initializers
        .iter()
        .map(|(value, tensor)| (graph.name(*value), tensor.to_vec::<f32>().expect("floats")[0]))
        .collect();
    // A name that two bodies have is below that of the node; what is an output of its body keeps its name there.
    let wanted = [("only", 2.0), ("y/last", 3.0), ("y/last_b", 5.0), ("y/w", 4.0), ("y/w~", 1.0)];
    assert_eq!(held, wanted.into());
    let Some(Attr::Graph { bytes, captures }) = graph.nodes[2].attrs.get("then_branch") else { panic!("a body") };
    assert_eq!(captures, &["y/last", "x", "y/w~", "only"]);
    let body = GraphProto::decode(bytes.as_slice()).expect("a body");
    assert!(body.initializer.is_empty());
    assert_eq!((body.node[0].op_type(), body.node[0].output[0].as_str()), ("Identity", "last"));
    assert_eq!(body.output[1].name(), "last");
    // What is read once is not changed by being written and read again.
    let again = decode(&encode(&graph), None).expect("a model").graph;
    assert_eq!(again.dump(), graph.dump());
}

#[test]
fn other_constants_of_bodies_stay_and_two_of_one_name_are_refused() {
    let ints = Tensor::vector(&[1i64, 2]);
    let mut body = adding("a", &[("w", Tensor::vector(&[1f32; 2]))]);
    body.initializer.push(tensor::write("kept", &ints));
    body.initializer.push(tensor::write("", &Tensor::vector(&[1f32; 2])));
    let graph = branching(body.clone(), adding("b", &[("v", Tensor::vector(&[1f32; 2]))])).graph_of();
    let Some(Attr::Graph { bytes, .. }) = graph.nodes[2].attrs.get("then_branch") else { panic!("a body") };
    let left = GraphProto::decode(bytes.as_slice()).expect("a body");
    assert_eq!(left.initializer.iter().map(TensorProto::name).collect::<Vec<_>>(), ["kept", ""]);
    body.initializer.push(tensor::write("w", &Tensor::vector(&[2f32; 2])));
    let error = branching(body, adding("b", &[("v", Tensor::vector(&[1f32; 2]))])).fails();
    assert_eq!(code(&error), Code::ModelInvalid);
}
