//! Old and new forms of operators, brought to opset 18. The outputs of these forms were compared with ONNX Runtime's on the original.

use super::*;

/// Opset, node and attributes; the nodes that come out; constants that they read.
fn check(
    opset: i64,
    op: &str,
    inputs: &str,
    outputs: &str,
    attrs: &[(&str, Attr)],
    expect: &[&str],
    constants: &[(&str, &[i64])],
) {
    let mut model = Model::new(opset).input("x", &[2, 6, 4, 5]);
    model = model.weight("v", &Tensor::new([6], &[1f32; 6])).weight("four", &Tensor::new([4], &[1f32, 1.0, 2.0, 2.0]));
    model = model.weight("sizes", &Tensor::vector(&[2i64, 6, 8, 10])).weight("none", &Tensor::vector::<f32>(&[]));
    model = model.weight("axis", &Tensor::scalar(1i64)).node(op, inputs, outputs, attrs);
    for output in outputs.split_whitespace().filter(|name| *name != "_" && !name.starts_with("unread")) {
        model = model.output(output);
    }
    let graph = model.graph_of();
    graph.verify("test").expect("a valid graph");
    assert_eq!(nodes(&graph), expect, "{op} of opset {opset}");
    for (name, values) in constants {
        assert_eq!(ints(&graph, name), *values, "{op} of opset {opset}");
    }
}

#[test]
fn attributes_become_inputs() {
    let axes = [("axes", Attr::Ints(vec![0, 2])), ("keepdims", Attr::Int(0))];
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"] {
        check(
            9,
            op,
            "x",
            "y",
            &axes,
            &[&format!("y = {op}(x, y/const_axes) keepdims=0")],
            &[("y/const_axes", &[0, 2])],
        );
    }
    check(17, "ReduceMean", "x", "y", &axes, &["y = ReduceMean(x, y/const_axes) keepdims=0"], &[]);
    check(13, "ReduceMean", "x", "y", &[], &["y = ReduceMean(x)"], &[]);
    let axes = [("axes", Attr::Ints(vec![0, -1]))];
    check(11, "Unsqueeze", "x", "y", &axes, &["y = Unsqueeze(x, y/const_axes)"], &[("y/const_axes", &[0, -1])]);
    check(7, "Squeeze", "x", "y", &[], &["y = Squeeze(x)"], &[]);
    check(9, "TopK", "x", "y i", &[("k", Attr::Int(3))], &["y, i = TopK(x, y/const_k)"], &[("y/const_k", &[3])]);
    let slice = [("starts", Attr::Ints(vec![1])), ("ends", Attr::Ints(vec![-1])), ("axes", Attr::Ints(vec![3]))];
    let constants: &[(&str, &[i64])] = &[("y/const_starts", &[1]), ("y/const_ends", &[-1]), ("y/const_axes", &[3])];
    check(9, "Slice", "x", "y", &slice, &["y = Slice(x, y/const_starts, y/const_ends, y/const_axes)"], constants);
    check(9, "Slice", "x", "y", &slice[..2], &["y = Slice(x, y/const_starts, y/const_ends)"], &[]);
    let pads = [("pads", Attr::Ints(vec![0, 0, 1, 1, 0, 0, 0, 2])), ("mode", text("reflect"))];
    check(
        9,
        "Pad",
        "x",
        "y",
        &pads,
        &["y = Pad(x, y/const_pads) mode=\"reflect\""],
        &[("y/const_pads", &[0, 0, 1, 1, 0, 0, 0, 2])],
    );
    let split = [("split", Attr::Ints(vec![2, 4])), ("axis", Attr::Int(1))];
    check(11, "Split", "x", "a b", &split, &["a, b = Split(x, a/const_split) axis=1"], &[("a/const_split", &[2, 4])]);
    check(13, "Split", "x", "a b", &split[1..], &["a, b = Split(x) axis=1 num_outputs=2"], &[]);
}

#[test]
fn float_attributes_become_inputs_of_the_right_type() {
    let model = Model::new(9)
        .input("x", &[3])
        .node("Clip", "x", "c", &[("min", Attr::Float(0.0)), ("max", Attr::Float(6.0))])
        .node("Clip", "c", "d", &[("min", Attr::Float(-1.0)), ("max", Attr::Float(f32::MAX))])
        .node("Dropout", "d", "e mask", &[("ratio", Attr::Float(0.25))])
        .node("Cast", "e", "h", &[("to", Attr::Int(10))])
        .node("Clip", "h", "y", &[("max", Attr::Float(1.0))])
        .output("y");
    let graph = model.graph_of();
    assert_eq!(
        nodes(&graph),
        [
            "c = Clip(x, c/const_min, c/const_max)",
            "d = Clip(c, d/const_min)",
            "e = Dropout(d, e/const_ratio)",
            "h = Cast(e) to=10",
            "y = Clip(h, _, y/const_max)"
        ]
    );
    assert_eq!((floats(&graph, "c/const_max"), floats(&graph, "e/const_ratio")), (vec![6.0], vec![0.25]));
    let half = graph.find("y/const_max").and_then(|id| graph.constant(id)).expect("a bound");
    assert_eq!((half.dtype(), half.bytes()), (crate::ir::DType::F16, [0x00, 0x3c].as_slice()));
}

#[test]
fn softmax_before_13_flattens() {
    let flattened = [
        "y/Shape = Shape(x)",
        "y/Flatten = Flatten(x) axis=1",
        "y/matrix = Softmax(y/Flatten) axis=-1",
        "y = Reshape(y/matrix, y/Shape)",
    ];
    check(7, "Softmax", "x", "y", &[], &flattened, &[]);
    check(12, "Softmax", "x", "y", &[("axis", Attr::Int(1))], &flattened, &[]);
    check(12, "LogSoftmax", "x", "y", &[("axis", Attr::Int(3))], &["y = LogSoftmax(x) axis=-1"], &[]);
    check(11, "Hardmax", "x", "y", &[("axis", Attr::Int(-1))], &["y = Hardmax(x) axis=-1"], &[]);
    check(13, "Softmax", "x", "y", &[("axis", Attr::Int(1))], &["y = Softmax(x) axis=1"], &[]);
    // The rank of what a Flatten makes is known without any type in the file.
    let model =
        Model::new(9).input("x", &[2, 3, 4]).node("Flatten", "x", "f", &[]).node("Softmax", "f", "y", &[]).output("y");
    assert_eq!(nodes(&model.graph_of())[1], "y = Softmax(f) axis=-1");
}

#[test]
fn upsample_and_resize_say_their_coordinates() {
    let asymmetric = "coordinate_transformation_mode=\"asymmetric\"";
    let grow = format!("y = Resize(x, _, y/const_scales) {asymmetric} mode=\"nearest\" nearest_mode=\"floor\"");
    check(7, "Upsample", "x", "y", &[("scales", Attr::Floats(vec![1.0, 1.0, 2.0, 2.0]))], &[&grow], &[]);
    let linear = format!("y = Resize(x, _, four) {asymmetric} mode=\"linear\" nearest_mode=\"floor\"");
    check(9, "Upsample", "x four", "y", &[("mode", text("linear"))], &[&linear], &[]);
    check(10, "Resize", "x four", "y", &[("mode", text("linear"))], &[&linear], &[]);
    check(11, "Resize", "x none none sizes", "y", &[], &["y = Resize(x, _, _, sizes)"], &[]);
    check(13, "Resize", "x none four", "y", &[], &["y = Resize(x, _, four)"], &[]);
}

#[test]
fn batch_normalization_loses_what_inference_does_not_have() {
    let attrs = [("spatial", Attr::Int(1)), ("epsilon", Attr::Float(0.5))];
    let plain = ["y = BatchNormalization(x, v, v, v, v) epsilon=0.5"];
    check(7, "BatchNormalization", "x v v v v", "y unread1 unread2", &attrs, &plain, &[]);
    check(9, "BatchNormalization", "x v v v v", "y", &attrs[1..], &plain, &[]);
}

#[test]
fn newer_forms_go_back() {
    check(19, "AveragePool", "x", "y", &[("dilations", Attr::Ints(vec![1, 1]))], &["y = AveragePool(x)"], &[]);
    check(19, "Cast", "x", "y", &[("to", Attr::Int(10)), ("saturate", Attr::Int(1))], &["y = Cast(x) to=10"], &[]);
    check(21, "Transpose", "x", "y", &[], &["y = Transpose(x)"], &[]);
    check(20, "GridSample", "x x", "y", &[("mode", text("cubic"))], &["y = GridSample(x, x) mode=\"bicubic\""], &[]);
    check(20, "DFT", "x _ axis", "y", &[], &["y = DFT(x) axis=1"], &[]);
    check(
        20,
        "Gelu",
        "x",
        "y",
        &[],
        &[
            "y/Div = Div(x, y/const_root)",
            "y/Erf = Erf(y/Div)",
            "y/Add = Add(y/Erf, y/const_one)",
            "y/Mul = Mul(x, y/Add)",
            "y = Mul(y/Mul, y/const_half)",
        ],
        &[],
    );
    check(
        18,
        "GroupNormalization",
        "x v v",
        "y",
        &[("num_groups", Attr::Int(6))],
        &[
            "y/Reshape = Reshape(x, y/const_grouped)",
            "y/InstanceNormalization = InstanceNormalization(y/Reshape, v, v) epsilon=0.00001",
            "y/Shape = Shape(x)",
            "y = Reshape(y/InstanceNormalization, y/Shape)",
        ],
        &[("y/const_grouped", &[0, 6, -1])],
    );
}

#[test]
fn what_would_lose_something_is_refused_by_name() {
    type Refused<'a> = (i64, &'a str, &'a [(&'a str, Attr)]);
    let refused: &[Refused] = &[
        (7, "BatchNormalization", &[("spatial", Attr::Int(0))]),
        (19, "AveragePool", &[("dilations", Attr::Ints(vec![2, 2]))]),
        (21, "DequantizeLinear", &[("block_size", Attr::Int(32))]),
        (19, "Pad", &[("mode", text("wrap"))]),
        (19, "Resize", &[("coordinate_transformation_mode", text("half_pixel_symmetric"))]),
        (11, "Resize", &[("coordinate_transformation_mode", text("tf_half_pixel_for_nn"))]),
        (20, "StringSplit", &[]),
        (20, "ImageDecoder", &[]),
        (18, "NoSuchOperator", &[]),
        (8, "Scan", &[]),
    ];
    for (opset, op, attrs) in refused {
        let error = Model::new(*opset).input("x", &[2, 3, 4, 4]).node(op, "x", "y", attrs).output("y").fails();
        assert_eq!(code(&error), Code::OpsetRange, "{op}: {error:?}");
        assert!(error.message().contains(op) && error.message().contains(&format!("opset {opset}")), "{error:?}");
    }
    for opset in [1, 6, 24, 1 << 40, -1] {
        let error = Model::new(opset).input("x", &[1]).node("Relu", "x", "y", &[]).output("y").fails();
        assert_eq!(code(&error), Code::OpsetRange, "{error:?}");
    }
}

/// ONNX Runtime's CPU runs recurrent operators with the steps first only.
#[test]
fn recurrent_layouts_have_the_steps_first() {
    let layout = [("hidden_size", Attr::Int(5)), ("layout", Attr::Int(1))];
    let model = |attrs: &[(&str, Attr)]| {
        Model::new(14)
            .input("x", &[2, 3, 4])
            .input("h", &[2, 1, 5])
            .weight("w", &Tensor::new([1, 15, 4], &[0f32; 60]))
            .weight("r", &Tensor::new([1, 15, 5], &[0f32; 75]))
            .node("GRU", "x w r _ _ h", "y last", attrs)
            .output("y")
            .output("last")
            .graph_of()
    };
    let expect = [
        "y/Transpose = Transpose(x) perm=[1, 0, 2]",
        "y/Transpose~7 = Transpose(h) perm=[1, 0, 2]",
        "y/steps_first, last/steps_first = GRU(y/Transpose, w, r, _, _, y/Transpose~7) hidden_size=5",
        "y = Transpose(y/steps_first) perm=[2, 0, 1, 3]",
        "last = Transpose(last/steps_first) perm=[1, 0, 2]",
    ];
    assert_eq!(nodes(&model(&layout)), expect);
    assert_eq!(nodes(&model(&layout[..1])), ["y, last = GRU(x, w, r, _, _, h) hidden_size=5"]);
}
