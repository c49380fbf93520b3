//! Graphs in which own operators took the place of standard ones, against the standard ones on ONNX Runtime.

use crate::scene::{Net, Scene};
use pipe::ir::{Attr, Builder, DType, Graph, OPSET, Tensor, TensorType, ValueId};
use pipe::kernels::{Arg, Device, OPERATORS, lower, prefer};
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
        prefer(&mut preferred, Device::Cpu);
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
        prefer(graph, Device::Cpu);
        assert_eq!(own(graph), 0);
    }
}

#[test]
fn batch_norm_gradients_give_what_their_reference_forms_give() {
    let sizes: &[&[usize]] =
        &[&[2, 5, 7, 9], &[3, 1, 1, 1], &[4, 130], &[1, 70, 33], &[2, 3, 40, 41], &[2, 1, 5, 2, 3], &[3, 2, 0, 4]];
    for size in sizes {
        let channels: &[usize] = &size[1..2];
        let shapes: [&[usize]; 5] = [size, size, channels, channels, channels];
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let inputs: Vec<ValueId> =
            (0..5).map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shapes[i]))).collect();
        let attrs = [("epsilon", Attr::Float(1e-3))];
        let mut b = Builder::new(&mut graph, "grad");
        // Variances are not negative.
        let variance = b.mul(inputs[4], inputs[4]);
        let [dy, x, scale, mean] = [0, 1, 2, 3].map(|i| inputs[i]);
        let sums = b.node("pipe", "BatchNormSums", &[dy, x, mean, variance].map(Some), &attrs, 1)[0];
        let all = [dy, x, scale, mean, variance, sums].map(Some);
        let dx = b.node("pipe", "BatchNormDataGrad", &all, &attrs, 1)[0];
        graph.outputs = vec![sums, dx];
        let mut reference = graph.clone();
        lower(&mut reference);
        assert_eq!((own(&graph), own(&reference)), (2, 0));
        for output in [sums, dx] {
            let [made, wanted] = [&graph, &reference].map(|graph| {
                let mut graph = graph.clone();
                graph.outputs = vec![output];
                run(&graph, &shapes)
            });
            assert_eq!(made.len(), wanted.len());
            let scale = wanted.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            for (made, wanted) in made.iter().zip(wanted) {
                assert!((made - wanted).abs() < 1e-5 * scale, "{size:?}: {made} for {wanted}");
            }
        }
    }
}

#[test]
fn batch_norm_in_training_gives_what_onnx_runtime_gives() {
    for size in [&[4, 5, 7, 9][..], &[3, 130], &[2, 3, 40, 41], &[2, 1, 5, 2, 3], &[6, 70, 3]] {
        let channels: &[usize] = &size[1..2];
        let shapes: [&[usize]; 5] = [size, channels, channels, channels, channels];
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let inputs: Vec<ValueId> =
            (0..5).map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shapes[i]))).collect();
        let mut b = Builder::new(&mut graph, "norm");
        // A mean far from 0, as activations have.
        let far = b.scalar(DType::F32, 30.0);
        let x = b.add(inputs[0], far);
        let attrs = [("training_mode", Attr::Int(1)), ("momentum", Attr::Float(0.0)), ("epsilon", Attr::Float(1e-3))];
        let all = [x, inputs[1], inputs[2], inputs[3], inputs[4]].map(Some);
        let outputs = b.node("", "BatchNormalization", &all, &attrs, 3);
        graph.outputs = outputs.clone();
        probe(&mut graph, &[]).unwrap();
        let mut preferred = graph.clone();
        prefer(&mut preferred, Device::Cpu);
        preferred.verify("prefer").unwrap();
        let mut reference = preferred.clone();
        lower(&mut reference);
        assert_eq!([&graph, &preferred, &reference].map(own), [0, 2, 0]);
        for output in outputs {
            let [wanted, made, formed] = [&graph, &preferred, &reference].map(|graph| {
                let mut graph = graph.clone();
                // ONNX Runtime wants all three outputs of the node.
                graph.outputs.sort_by_key(|other| *other != output);
                run(&graph, &shapes)
            });
            for ((made, formed), wanted) in made.iter().zip(&formed).zip(&wanted) {
                let scale = 1e-4 * wanted.abs().max(1.0);
                assert!((made - wanted).abs() < scale, "{size:?}: {made} for {wanted}");
                assert!((formed - wanted).abs() < scale, "{size:?}: {formed} for {wanted}");
            }
        }
    }
}

#[test]
fn gates_let_through_what_their_reference_form_lets_through() {
    let bounds: [&[(&str, f32)]; 4] = [&[("low", 0.0)], &[("low", -0.5), ("high", 0.25)], &[("high", 0.1)], &[]];
    for size in [&[1][..], &[3, 37], &[2, 40_000], &[0, 4]] {
        for bounds in bounds {
            for closed in [0, 1] {
                let shapes: [&[usize]; 2] = [size, size];
                let mut graph = Graph::default();
                graph.opsets.insert(String::new(), OPSET);
                let inputs = [0, 1].map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, size)));
                let mut attrs: Vec<(&str, Attr)> =
                    bounds.iter().map(|(name, bound)| (*name, Attr::Float(*bound))).collect();
                attrs.push(("closed", Attr::Int(closed)));
                let mut b = Builder::new(&mut graph, "gate");
                graph.outputs = vec![b.node("pipe", "GateGrad", &inputs.map(Some), &attrs, 1)[0]];
                let mut reference = graph.clone();
                lower(&mut reference);
                assert_eq!([&graph, &reference].map(own), [1, 0]);
                assert_eq!(run(&graph, &shapes), run(&reference, &shapes), "{size:?} {bounds:?} {closed}");
            }
        }
    }
}

/// What an own operator gives and what its reference form gives on the same numbers.
fn both(op: &str, shapes: &[&[usize]], attrs: &[(&str, Attr)]) -> [Vec<f32>; 2] {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let input =
        |(i, shape): (usize, &&[usize])| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shape));
    let inputs: Vec<Option<ValueId>> = shapes.iter().enumerate().map(input).map(Some).collect();
    let mut b = Builder::new(&mut graph, "own");
    graph.outputs = vec![b.node("pipe", op, &inputs, attrs, 1)[0]];
    probe(&mut graph, &[]).unwrap();
    let mut reference = graph.clone();
    lower(&mut reference);
    assert_eq!([&graph, &reference].map(own), [1, 0]);
    [&graph, &reference].map(|graph| run(graph, shapes))
}

fn near(op: &str, shapes: &[&[usize]], attrs: &[(&str, Attr)]) {
    let [made, wanted] = both(op, shapes, attrs);
    assert_eq!(made.len(), wanted.len(), "{op} {shapes:?}");
    let scale = wanted.iter().fold(1.0f32, |most, value| most.max(value.abs()));
    for (made, wanted) in made.iter().zip(&wanted) {
        assert!((made - wanted).abs() < 2e-6 * scale, "{op} {shapes:?} {attrs:?}: {made} for {wanted}");
    }
}

#[test]
fn gelus_give_what_their_reference_forms_give() {
    for size in [&[1][..], &[3, 37], &[2, 40_000], &[0, 4]] {
        for tanh in [0, 1] {
            near("Gelu", &[size], &[("tanh", Attr::Int(tanh))]);
            near("GeluGrad", &[size, size], &[("tanh", Attr::Int(tanh))]);
        }
    }
}

#[test]
fn what_comes_after_another_value_is_what_it_was() {
    for (x, other) in
        [(&[1][..], &[4, 4][..]), (&[3, 37], &[3, 37]), (&[2, 40_001], &[1]), (&[0, 4], &[2]), (&[2], &[0])]
    {
        let [made, wanted] = both("After", &[x, other], &[]);
        assert_eq!(made, wanted, "{x:?}");
    }
}

#[test]
fn rows_become_columns() {
    for x in [&[1, 1][..], &[37, 1], &[1, 37], &[37, 61], &[64, 8], &[513, 300], &[8, 1025], &[0, 4], &[4, 0]] {
        let [made, wanted] = both("MatrixTranspose", &[x], &[]);
        assert_eq!(made, wanted, "{x:?}");
    }
}

#[test]
fn sums_over_the_first_dimensions_give_what_onnx_runtime_gives() {
    for (x, over) in [
        (&[3, 37][..], 1),
        (&[200, 5], 1),
        (&[65, 1025], 1),
        (&[7, 9, 2100], 1),
        (&[2, 3, 5, 7], 2),
        (&[1, 1], 1),
        (&[0, 4], 1),
        (&[4, 0], 1),
    ] {
        near("ColumnSums", &[x], &[("over", Attr::Int(over))]);
    }
    // Where it takes the place of a ReduceSum: over the first dimensions of large values, with or without those of size 1 between them.
    for (x, axes, kept, taken) in [
        (&[300, 64][..], &[0][..], 1, true),
        (&[300, 64], &[-2], 0, true),
        (&[40, 1, 9, 64], &[0, 2], 1, true),
        (&[40, 1, 9, 64], &[2, 0], 0, true),
        (&[30, 9, 64], &[0], 0, true),
        (&[30, 9, 64], &[1], 1, false),
        (&[3000, 8], &[0], 1, false),
        (&[30, 64], &[0], 1, false),
        (&[300, 64], &[0, 1], 1, false),
        (&[1, 300, 64], &[1], 1, true),
        (&[300, 64], &[], 1, false),
    ] {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let input = graph.add_input("x0", TensorType::fixed(DType::F32, x));
        graph.outputs = vec![Builder::new(&mut graph, "t").reduce_sum(input, axes, kept == 1)];
        probe(&mut graph, &[]).unwrap();
        let mut preferred = graph.clone();
        prefer(&mut preferred, Device::Cpu);
        preferred.verify("prefer").unwrap();
        assert_eq!(own(&preferred), usize::from(taken), "{x:?} {axes:?}");
        let [made, wanted] = [&preferred, &graph].map(|graph| {
            let mut graph = graph.clone();
            probe(&mut graph, &[]).unwrap();
            (graph.shape(graph.outputs[0]), run(&graph, &[x]))
        });
        assert_eq!(made.0, wanted.0, "{x:?} {axes:?}");
        for (made, wanted) in made.1.iter().zip(&wanted.1) {
            assert!((made - wanted).abs() < 1e-4, "{x:?} {axes:?}: {made} for {wanted}");
        }
    }
}

/// A product of matrices of these shapes.
fn product(shapes: &[&[usize]], transposed: [i64; 2]) -> Graph {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let input =
        |(i, shape): (usize, &&[usize])| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shape));
    let inputs: Vec<ValueId> = shapes.iter().enumerate().map(input).collect();
    let [a, b] = transposed.map(Attr::Int);
    let attrs = [("transA", a), ("transB", b), ("alpha", Attr::Float(0.5)), ("beta", Attr::Float(-2.0))];
    graph.outputs = vec![Builder::new(&mut graph, "t").op_with("Gemm", &inputs, &attrs)];
    probe(&mut graph, &[]).unwrap();
    graph
}

#[test]
fn large_products_do_not_read_their_first_operand_by_its_columns() {
    for (shapes, transposed, turned) in [
        (&[&[200, 150][..], &[200, 300]][..], [1, 0], true),
        (&[&[200, 150], &[300, 200]], [1, 1], true),
        (&[&[200, 150], &[200, 300], &[150, 1]], [1, 0], true),
        // Few columns, a small operand, a very wide one, one that lies right.
        (&[&[200, 150], &[200, 100]], [1, 0], false),
        (&[&[20, 15], &[20, 300]], [1, 0], false),
        (&[&[20, 2000], &[20, 300]], [1, 0], false),
        (&[&[150, 200], &[200, 300]], [0, 0], false),
    ] {
        let graph = product(shapes, transposed);
        let mut preferred = graph.clone();
        prefer(&mut preferred, Device::Cpu);
        preferred.verify("prefer").unwrap();
        assert_eq!(own(&preferred), usize::from(turned), "{shapes:?} {transposed:?}");
        for (made, wanted) in run(&preferred, shapes).iter().zip(run(&graph, shapes)) {
            assert!((made - wanted).abs() < 1e-5, "{shapes:?}: {made} for {wanted}");
        }
    }
}

#[test]
fn softmax_gradients_give_what_their_reference_forms_give() {
    for size in [&[1][..], &[3, 37], &[2, 3, 1], &[5, 3000], &[2, 4, 128], &[0, 4]] {
        for log in [0, 1] {
            near("SoftmaxGrad", &[size, size], &[("log", Attr::Int(log))]);
        }
    }
}

#[test]
fn layer_norm_gradients_give_what_their_reference_forms_give() {
    let sizes: [(&[usize], usize); 8] = [
        (&[3, 37], 1),
        (&[2, 5, 384], 1),
        (&[1, 1], 1),
        (&[4, 3, 5], 2),
        (&[7], 1),
        (&[200, 65], 1),
        (&[130, 2100], 1),
        (&[0, 4], 1),
    ];
    for (size, over) in sizes {
        let at = size.len() - over;
        let scale = &size[at..];
        let mut kept = size.to_vec();
        kept[at..].fill(1);
        near("LayerNormDataGrad", &[size, size, scale, &kept, &kept], &[]);
        near("LayerNormSums", &[size, size, &kept, &kept], &[("over", Attr::Int(over as i64))]);
    }
}

#[test]
fn running_statistics_give_what_their_reference_form_gives() {
    for x in [&[4, 5, 3, 3][..], &[1, 5], &[64, 5]] {
        for unbiased in [0, 1] {
            let attrs = [("keep", Attr::Float(0.9)), ("unbiased", Attr::Int(unbiased))];
            near("RunningStatistic", &[&[5], &[5], x], &attrs);
        }
    }
}

#[test]
fn an_own_operator_waits_for_a_shape_that_is_computed() {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    graph.opsets.insert(pipe::ir::DOMAIN.to_owned(), 1);
    let x = graph.add_input("x0", TensorType::fixed(DType::F32, &[3, 4, 6]));
    let mut b = Builder::new(&mut graph, "net");
    let shape = b.op("Shape", &[x]);
    let large = b.constant(Tensor::vector(&[1000i64; 3]));
    // ONNX Runtime knows these sizes, and how many are 1, only once it has folded them, after it first asks for the shape of what follows.
    let same = b.op("Mod", &[shape, large]);
    let y = b.op("Reshape", &[x, same]);
    let y = b.op("Squeeze", &[y]);
    let y = b.node(pipe::ir::DOMAIN, "Gelu", &[Some(y)], &[], 1)[0];
    let weight = b.constant(Tensor::new([6, 5], &[0.1f32; 30]));
    let y = b.matmul(y, weight);
    graph.outputs = vec![y];
    assert_eq!(run(&graph, &[&[3, 4, 6]]).len(), 3 * 4 * 5);
    probe(&mut graph, &[]).unwrap();
    assert_eq!(graph.shape(y), Some(vec![3, 4, 5]));
}

#[test]
fn sums_are_the_same_bytes_in_whatever_order_their_parts_run() {
    let forwards = |count: usize, task: &(dyn Fn(usize) + Sync)| (0..count).for_each(task);
    let backwards = |count: usize, task: &(dyn Fn(usize) + Sync)| (0..count).rev().for_each(task);
    for (name, inputs) in [
        ("ColumnSums", vec![vec![700, 2100]]),
        ("LayerNormSums", vec![vec![700, 2100], vec![700, 2100], vec![700, 1], vec![700, 1]]),
    ] {
        let filled: Vec<Vec<f32>> =
            inputs.iter().enumerate().map(|(i, shape)| draw(i as u64, shape).to_vec().unwrap()).collect();
        let args: Vec<Arg> = inputs.iter().zip(&filled).map(|(shape, data)| Arg::F32(data, shape)).collect();
        let mut node = pipe::ir::Node::default();
        node.attrs.insert("over".to_owned(), Attr::Int(1));
        let operator = OPERATORS.iter().find(|operator| operator.name == name).unwrap();
        let sums = |parallel| {
            let mut sums = vec![f32::NAN; inputs.len().div_ceil(2) * 2100];
            (operator.kernel)(&node).unwrap().compute(&args, &mut sums, parallel).unwrap();
            sums
        };
        assert_eq!(sums(&forwards), sums(&backwards), "{name}");
    }
}

/// Shapes of the inputs of an operator that works in place, for data of a shape [N, C, …].
fn inputs_of(operator: &str, data: &[usize]) -> Vec<Vec<usize>> {
    let (all, channels) = (data.to_vec(), vec![data[1]]);
    let mut rows = all.clone();
    let width = std::mem::replace(rows.last_mut().unwrap(), 1);
    match operator {
        "BatchNormDataGrad" => {
            vec![all.clone(), all, channels.clone(), channels.clone(), channels, vec![2, data[1]]]
        }
        "LayerNormDataGrad" => vec![all.clone(), all, vec![width], rows.clone(), rows],
        "CountedDropout" => vec![all, vec![data[0]]],
        _ => vec![all.clone(), all],
    }
}

#[test]
fn operators_that_work_in_place_give_the_same_bytes_there() {
    let sizes: &[&[usize]] =
        &[&[2, 5, 7, 9], &[3, 1, 1, 1], &[1, 1, 33], &[3, 2, 4099], &[2, 3, 70_001], &[2, 3, 0, 4]];
    let parallel = |count: usize, task: &(dyn Fn(usize) + Sync)| (0..count).for_each(task);
    let mut tried = 0;
    for operator in OPERATORS.iter().filter(|operator| operator.in_place) {
        for data in sizes {
            let shapes = inputs_of(operator.name, data);
            let filled: Vec<Vec<f32>> = shapes
                .iter()
                .enumerate()
                // Variances are positive.
                .map(|(i, shape)| {
                    draw(i as u64, shape).to_vec::<f32>().unwrap().iter().map(|x| x.abs() + 0.1).collect()
                })
                .collect();
            let keys: Vec<i64> = (0..data[0] as i64).collect();
            let args: Vec<Arg> = shapes
                .iter()
                .zip(&filled)
                .zip(operator.inputs)
                .map(
                    |((shape, data), ty)| {
                        if *ty == DType::I64 { Arg::I64(&keys, shape) } else { Arg::F32(data, shape) }
                    },
                )
                .collect();
            let mut kernel = (operator.kernel)(&pipe::ir::Node::default()).unwrap();
            let mut apart = vec![f32::NAN; filled[0].len()];
            kernel.compute(&args, &mut apart, &parallel).unwrap();
            let mut over = filled[0].clone();
            kernel.update(data, &args[1..], &mut over, &parallel).unwrap();
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert!(bits(&apart) == bits(&over), "{} of {data:?}", operator.name);
            tried += 1;
        }
    }
    assert_eq!(tried, 6 * sizes.len());
}

#[test]
fn a_session_writes_over_a_gradient_that_nobody_reads_any_more() {
    let make = |kept: bool| {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        graph.opsets.insert("pipe".to_owned(), 1);
        let inputs = [0, 1].map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, &[64, 256])));
        let mut b = Builder::new(&mut graph, "net");
        let dy = b.op("Softsign", &[inputs[0]]);
        let dx = b.node("pipe", "GateGrad", &[Some(dy), Some(inputs[1])], &[("low", Attr::Float(0.0))], 1)[0];
        let last = b.op("Softplus", &[dx]);
        graph.outputs = if kept { vec![last, dy] } else { vec![last] };
        graph
    };
    let shapes: [&[usize]; 2] = [&[64, 256]; 2];
    assert_eq!(run(&make(false), &shapes), run(&make(true), &shapes));
}

#[test]
fn the_gradient_of_all_slices_of_a_value_is_one_concat() {
    let scene = Scene::new();
    let mut net = Net::new(&[6]).linear("all", 6, 12);
    let mut b = Builder::new(&mut net.graph, "parts");
    let apart = b.reshape(net.at, &[0, 3, 4]);
    let parts: Vec<ValueId> = (0..3i64)
        .map(|part| {
            let index = b.constant(Tensor::scalar(part));
            b.op_with("Gather", &[apart, index], &[("axis", Attr::Int(1))])
        })
        .collect();
    let product = b.mul(parts[0], parts[2]);
    net.at = b.sub(product, parts[1]);
    scene.model("model.onnx", &net.linear("fc", 4, 3).done());
    scene.samples("train.npz", 10, &[6], 3);
    let plan = scene
        .plan(
            "version: 1\nname: slices\nmodel: {source: model.onnx}\ndata: {sets: {train: {npz: train.npz}}}\nloss: cross_entropy\noptimizer: {sgd: {lr: 0.1}}\n\
             schedule: {epochs: 1, batch: 5}\n",
        )
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let step = &plan.phases[0].graphs.full;
    let count = |op: &str| step.graph.nodes[step.forward..].iter().filter(|node| node.op == op).count();
    assert_eq!([count("Concat"), count("Pad"), count("Sum")], [1, 0, 0]);
}
