//! Names of small graphs written by hand in the manner of each exporter.

use super::*;
use crate::diag::Code;
use crate::ir::{Attr, Builder, DType, TensorType};

fn ones(shape: &[usize]) -> Tensor {
    Tensor::new(shape, &vec![1f32; shape.iter().product()])
}

/// Adds a node under a name; its output is `name:0`.
fn push(graph: &mut Graph, name: &str, op: &str, inputs: &[ValueId]) -> ValueId {
    let output = graph.fresh(&format!("{name}:0"));
    graph.nodes.push(Node {
        name: name.to_owned(),
        op: op.to_owned(),
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: vec![Some(output)],
        ..Node::default()
    });
    output
}

fn start() -> (Graph, ValueId) {
    let mut graph = Graph::default();
    let x = graph.add_input("x", TensorType::fixed(DType::F32, &[1, 3, 8, 8]));
    (graph, x)
}

/// A legacy torch export: folded convolutions with generated names, a head that kept its own.
fn legacy() -> Graph {
    let (mut graph, mut x) = start();
    for (index, path) in
        ["conv1", "layer1/layer1.0/conv1", "layer1/layer1.0/conv2", "layer4/layer4.0/conv1"].iter().enumerate()
    {
        let weight = graph.add_initializer(&format!("onnx::Conv_{}", 190 + 2 * index), ones(&[4, 4, 3, 3]));
        let bias = graph.add_initializer(&format!("onnx::Conv_{}", 191 + 2 * index), ones(&[4]));
        x = push(&mut graph, &format!("/{path}/Conv"), "Conv", &[x, weight, bias]);
        let stem = path.rsplit_once('/').map_or(String::new(), |(stem, _)| format!("/{stem}"));
        x = push(&mut graph, &format!("{stem}/Relu"), "Relu", &[x]);
    }
    let weight = graph.add_initializer("fc.weight", ones(&[10, 4]));
    let bias = graph.add_initializer("fc.bias", ones(&[10]));
    x = push(&mut graph, "/fc/Gemm", "Gemm", &[x, weight, bias]);
    graph.outputs = vec![x];
    graph
}

#[test]
fn legacy_exports_answer_to_module_paths() {
    let graph = legacy();
    let names = Names::of(&graph);
    let canonical: Vec<&str> = names.params().iter().map(|param| param.name.as_str()).collect();
    assert_eq!(
        canonical,
        [
            "conv1.weight",
            "conv1.bias",
            "layer1.0.conv1.weight",
            "layer1.0.conv1.bias",
            "layer1.0.conv2.weight",
            "layer1.0.conv2.bias",
            "layer4.0.conv1.weight",
            "layer4.0.conv1.bias",
            "fc.weight",
            "fc.bias"
        ]
    );
    assert_eq!(names.params()[0].names, ["conv1.weight", "/conv1/Conv.weight", "onnx::Conv_190"]);
    assert_eq!(names.params()[8].names, ["fc.weight", "/fc/Gemm.weight"]);
    assert_eq!(names.place(&graph, "fc").ok(), Some(Place::Node(8)));
    assert_eq!(names.place(&graph, "/fc/Gemm").ok(), Some(Place::Node(8)));
    assert_eq!(names.place(&graph, "layer1").ok(), Some(Place::Module(vec![2, 3, 4, 5])));
    assert_eq!(names.place(&graph, "layer1.0.conv2").ok(), Some(Place::Node(4)));
    let near = names.place(&graph, "layer1.0.conv3").expect_err("no such module");
    assert_eq!(near.code(), Code::NodeUnknown);
    assert!(near.help_text().is_some_and(|help| help.contains("`layer1.0.conv2`")), "{near:?}");
    let warning = folded_batch_norm(&graph, &names).expect("convolutions with biases only");
    assert_eq!(warning.code(), Code::FoldedBatchNorm);
}

#[test]
fn a_gemm_lends_its_name() {
    let (mut graph, x) = start();
    let weight = graph.add_initializer("193", ones(&[4, 3]));
    let bias = graph.add_initializer("194", ones(&[4]));
    let y = push(&mut graph, "_fc", "Gemm", &[x, weight, bias]);
    graph.outputs = vec![y];
    let names = Names::of(&graph);
    assert_eq!(names.params()[0].names, ["_fc.weight", "193"]);
    assert_eq!(names.param_of(bias).map(|param| param.name.as_str()), Some("_fc.bias"));
    assert_eq!(names.place(&graph, "_fc").ok(), Some(Place::Node(0)));
    assert_eq!(names.place(&graph, "_fc:0").ok(), Some(Place::Value(y)));
}

#[test]
fn transformer_linears_and_embeddings() {
    let (mut graph, ids) = start();
    let table = graph.add_initializer("embeddings.word.weight", ones(&[100, 8]));
    let x = push(&mut graph, "/embeddings/word/Gather", "Gather", &[table, ids]);
    let weight = graph.add_initializer("onnx::MatMul_7", ones(&[8, 8]));
    let x = push(&mut graph, "/layer.0/query/MatMul", "MatMul", &[x, weight]);
    let bias = graph.add_initializer("val_3", ones(&[8]));
    let x = push(&mut graph, "/layer.0/query/Add", "Add", &[bias, x]);
    let scale = graph.add_initializer("/layer.0/Constant_output_0", Tensor::scalar(8f32));
    let x = push(&mut graph, "/layer.0/Div", "Div", &[x, scale]);
    let mask = graph.add_initializer("/layer.0/Constant_1_output_0", ones(&[8]));
    let x = push(&mut graph, "/layer.0/Add", "Add", &[x, mask]);
    let transposed = graph.add_initializer("lm_head.weight", ones(&[100, 8]));
    let turned = push(&mut graph, "/lm_head/Transpose", "Transpose", &[transposed]);
    let x = push(&mut graph, "/lm_head/MatMul", "MatMul", &[x, turned]);
    graph.outputs = vec![x];
    let names = Names::of(&graph);
    let canonical: Vec<&str> = names.params().iter().map(|param| param.name.as_str()).collect();
    assert_eq!(canonical, ["embeddings.word.weight", "layer.0.query.weight", "layer.0.query.bias", "lm_head.weight"]);
    assert!(names.param_of(bias).is_some_and(|param| param.names.contains(&"/layer.0/query/MatMul.bias".to_owned())));
}

#[test]
fn dynamo_metadata_names_parameters_and_modules() {
    let (mut graph, x) = start();
    let weight = graph.add_initializer("val_1", ones(&[4, 3, 3, 3]));
    let x = push(&mut graph, "node_conv2d", "Conv", &[x, weight]);
    let scopes = "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']".to_owned();
    graph.nodes[0].metadata.insert("pkg.torch.onnx.name_scopes".to_owned(), scopes);
    graph.outputs = vec![x];
    let names = Names::of(&graph);
    assert_eq!(names.params()[0].name, "layer1.0.conv1.weight");
    assert_eq!(names.place(&graph, "layer1.0").ok(), Some(Place::Node(0)));
}

/// Two BatchNorms that share all four vectors, as exporters merge them when they are fresh.
fn merged() -> Graph {
    let (mut graph, mut x) = start();
    let ones_vector = graph.add_initializer("bn1.weight", ones(&[3]));
    let zeros = graph.add_initializer("bn1.bias", Tensor::vector(&[0f32; 3]));
    for name in ["/bn1/BatchNormalization", "/bn2/BatchNormalization"] {
        x = push(&mut graph, name, "BatchNormalization", &[x, ones_vector, zeros, zeros, ones_vector]);
    }
    let tied = graph.add_initializer("embed.weight", ones(&[3, 3]));
    x = push(&mut graph, "/a/MatMul", "MatMul", &[x, tied]);
    x = push(&mut graph, "/b/MatMul", "MatMul", &[x, tied]);
    graph.outputs = vec![x];
    graph
}

#[test]
fn vectors_are_split_and_matrices_stay_tied() {
    let mut graph = merged();
    let splits = split_shared(&mut graph, false);
    graph.verify("split").expect("still a graph");
    assert_eq!(splits.len(), 2);
    let names = Names::of(&graph);
    let list = |params: &[Param]| params.iter().map(|param| (param.name.clone(), param.shared)).collect::<Vec<_>>();
    let own = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Vec<_>>();
    let mut params = own(&["bn1.weight", "bn1.bias", "bn2.weight", "bn2.bias"]);
    params.push(("embed.weight".to_owned(), 2));
    assert_eq!(list(names.params()), params);
    assert_eq!(
        list(names.buffers()),
        own(&["bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"])
    );
    let splits = split_shared(&mut graph, true);
    assert_eq!(splits, [Split { name: "embed.weight".to_owned(), copies: vec!["b.weight".to_owned()] }]);
}

#[test]
fn what_a_body_reads_stays_shared() {
    let mut graph = merged();
    let captures = vec!["bn1.weight".to_owned()];
    graph.nodes[2].attrs.insert("body".to_owned(), Attr::Graph { bytes: Vec::new(), captures });
    let names: Vec<String> = split_shared(&mut graph, false).into_iter().map(|split| split.name).collect();
    assert_eq!(names, ["bn1.bias"]);
}

#[test]
fn ambiguous_names_list_their_meanings() {
    let (mut graph, x) = start();
    let a = push(&mut graph, "same", "Relu", &[x]);
    let b = push(&mut graph, "same", "Relu", &[a]);
    // A value whose name is that of a node which does not make it.
    let c = graph.value("/other");
    graph.nodes[1].outputs = vec![Some(c)];
    let d = push(&mut graph, "/other", "Relu", &[c]);
    graph.outputs = vec![d];
    let _ = b;
    let names = Names::of(&graph);
    for text in ["same", "/other"] {
        let error = names.place(&graph, text).expect_err("two meanings");
        assert_eq!((error.code(), error.notes().len()), (Code::NodeAmbiguous, 2), "{error:?}");
    }
    assert_eq!(names.place(&graph, "").expect_err("nothing").code(), Code::NodeUnknown);
    assert_eq!(names.place(&graph, "x").ok(), Some(Place::Value(x)));
}

#[test]
fn equal_derived_names_fall_back_to_the_initializers() {
    let (mut graph, x) = start();
    let weights = ["val_1", "val_2"].map(|name| graph.add_initializer(name, ones(&[3, 3])));
    let y = push(&mut graph, "/mix/MatMul", "MatMul", &[x, weights[0]]);
    let z = push(&mut graph, "/mix/MatMul_1", "MatMul", &[y, weights[1]]);
    graph.outputs = vec![z];
    let names = Names::of(&graph);
    let canonical: Vec<&str> = names.params().iter().map(|param| param.name.as_str()).collect();
    assert_eq!(canonical, ["val_1", "val_2"]);
    assert!(names.params().iter().all(|param| param.names.contains(&"mix.weight".to_owned())));
}

#[test]
fn builders_make_named_parameters_too() {
    let (mut graph, x) = start();
    let weight = graph.add_initializer("head.0.weight", ones(&[2, 3]));
    let y = Builder::new(&mut graph, "head").gemm(x, weight, false, true);
    graph.outputs = vec![y];
    assert_eq!(Names::of(&graph).params()[0].name, "head.0.weight");
}

#[test]
fn masks_are_no_parameters() {
    let (mut graph, x) = start();
    let masks = [("mask", f32::NEG_INFINITY), ("causal", f32::MIN)];
    let masks = masks.map(|(name, never)| graph.add_initializer(name, Tensor::vector(&[0.0, never, 0.0])));
    let offset = graph.add_initializer("offset", Tensor::vector(&[0.0f32, -100.0, 1.0]));
    let y = push(&mut graph, "add", "Add", &[x, masks[0]]);
    let z = push(&mut graph, "again", "Add", &[y, masks[1]]);
    let w = push(&mut graph, "moved", "Add", &[z, offset]);
    graph.outputs = vec![w];
    let names = Names::of(&graph);
    let found: Vec<&str> = names.params().iter().map(|param| param.name.as_str()).collect();
    assert_eq!(found, ["offset"]);
}
