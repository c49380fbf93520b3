//! Graphs in which own operators took the place of standard ones, against the standard ones on ONNX Runtime.

use pipe::ir::{Attr, Builder, DType, Graph, OPSET, Tensor, TensorType, ValueId};
use pipe::kernels::prefer;
use pipe::native::{Options, Session, probe};
use pipe::world::rng::Key;

fn draw(seed: u64, shape: &[usize]) -> Tensor {
    let mut rng = Key::new(seed).rng();
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0) as f32).collect();
    Tensor::new(shape, &data)
}

/// A graph with one convolution of x by weights that are fed, with or without a bias.
fn convolution(shapes: &[&[usize]], group: i64, attrs: &[(&str, &[i64])]) -> Graph {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let inputs: Vec<ValueId> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shape)))
        .collect();
    let mut list: Vec<(&str, Attr)> = attrs.iter().map(|(name, ints)| (*name, Attr::Ints(ints.to_vec()))).collect();
    list.push(("group", Attr::Int(group)));
    let y = Builder::new(&mut graph, "conv").op_with("Conv", &inputs, &list);
    graph.outputs = vec![y];
    probe(&mut graph, &[]).unwrap();
    graph
}

fn own(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|node| node.domain == "pipe").count()
}

fn run(graph: &Graph, shapes: &[&[usize]]) -> Vec<f32> {
    let feeds: Vec<(String, Tensor)> =
        shapes.iter().enumerate().map(|(i, shape)| (format!("x{i}"), draw(i as u64, shape))).collect();
    let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    let mut session = Session::build(graph, &Options::default()).unwrap();
    session.call(&feeds).unwrap()[0].to_vec::<f32>().unwrap()
}

#[test]
fn narrow_convolutions_with_fed_weights_give_what_onnx_runtime_gives() {
    type Case<'a> = (&'a [&'a [usize]], i64, &'a [(&'a str, &'a [i64])]);
    let cases: &[Case] = &[
        (&[&[2, 40, 14, 14], &[40, 1, 5, 5]], 40, &[("pads", &[2, 2, 2, 2])]),
        (&[&[2, 6, 15, 13], &[6, 1, 3, 3], &[6]], 6, &[("pads", &[0, 1, 1, 0]), ("strides", &[2, 2])]),
        (&[&[1, 6, 9, 9], &[9, 2, 3, 3], &[9]], 3, &[("kernel_shape", &[3, 3]), ("dilations", &[2, 1])]),
        (&[&[2, 4, 21], &[8, 1, 4], &[8]], 4, &[("strides", &[3])]),
    ];
    for (shapes, group, attrs) in cases {
        let standard = convolution(shapes, *group, attrs);
        let mut preferred = standard.clone();
        prefer(&mut preferred);
        preferred.verify("prefer").unwrap();
        assert_eq!((own(&standard), own(&preferred)), (0, 1), "{shapes:?}");
        for (made, wanted) in run(&preferred, shapes).iter().zip(run(&standard, shapes)) {
            assert!((made - wanted).abs() < 1e-5, "{shapes:?}: {made} for {wanted}");
        }
    }
}

#[test]
fn other_convolutions_stay_with_onnx_runtime() {
    let mut dense = convolution(&[&[1, 4, 5, 5], &[8, 4, 3, 3]], 1, &[]);
    let mut wide = convolution(&[&[1, 16, 5, 5], &[16, 8, 3, 3]], 2, &[]);
    let mut constant = convolution(&[&[1, 4, 5, 5], &[4, 1, 3, 3]], 4, &[]);
    let weights = constant.inputs.pop().unwrap();
    constant.initializers.insert(weights, draw(1, &[4, 1, 3, 3]));
    for graph in [&mut dense, &mut wide, &mut constant] {
        prefer(graph);
        assert_eq!(own(graph), 0);
    }
}
