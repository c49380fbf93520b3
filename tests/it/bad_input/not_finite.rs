//! Steps that give NaN or infinity: the diagnostic names where it began.

use super::{assert_said, run, scene, spec};
use crate::scene::{Net, cnn, mlp};
use pipe::ir::{Builder, DType, Graph, Tensor};

/// Samples in order, so that a case knows which batch has what.
fn in_order(more: &str) -> String {
    spec(&format!("freeze: none\nschedule: {{epochs: 3, batch: 3, shuffle: false}}\n{more}"))
}

/// A network in which `op` stands between two linear layers, behind a ReLU that makes zeros and an offset of zero that is trained: a ReLU
/// lets nothing through at its zeros, whatever the slope behind it.
fn behind_zeros(op: &str) -> Graph {
    let mut net = Net::new(&[6]).linear("fc1", 6, 8).op("relu", "Relu");
    let offset = net.graph.add_initializer("shift.bias", Tensor::vector(&[0.0f32; 8]));
    net.node("shift", "Add", &[offset], &[]).op("middle", op).linear("fc2", 8, 3).done()
}

#[test]
fn updates_that_are_too_large() {
    let case = |name: &str, rest: &str| {
        let scene = scene(&Net::new(&[6]).linear("fc", 6, 1).done(), &[6]);
        scene.samples("train.npz", 9, &[6], 2);
        assert_said(name, run(&scene, &in_order(&format!("loss: mse\n{rest}"))));
    };
    case("loss-infinite", "optimizer: {sgd: 1e6}");
    case("weight-infinite", "optimizer: {sgd: 1e45}");
    case("regularizer-infinite", "regularizer: {l2: 1e300}");
    // Batch statistics and running ones on the way.
    let text = in_order("optimizer: {sgd: 1e20}");
    assert_said("loss-nan-batch-norm", run(&scene(&cnn(), &[2, 6, 6]), &text));
}

#[test]
fn operators_without_a_value_or_a_slope() {
    assert_said("log-of-zero", run(&scene(&behind_zeros("Log"), &[6]), &in_order("")));
    // The loss is finite: only the way back is not.
    assert_said("slope-of-root", run(&scene(&behind_zeros("Sqrt"), &[6]), &in_order("")));
}

/// Six values of which the last is hidden from a softmax by −∞.
fn masked() -> Net {
    let Net { mut graph, at } = Net::new(&[6]).linear("fc1", 6, 6);
    let seen = graph.add_initializer("seen", Tensor::new([1, 6], &[true, true, true, true, true, false]));
    let never = graph.add_initializer("never", Tensor::scalar(f64::NEG_INFINITY));
    let mut b = Builder::new(&mut graph, "mask");
    let never = b.cast(never, DType::F32);
    let at = b.select(seen, at, never);
    Net { graph, at }.op("attention", "Softmax")
}

#[test]
fn infinity_that_is_meant_is_not_blamed() {
    let text = in_order("").replace("freeze: none", "freeze: {all_but: ['fc*']}");
    let good = masked().linear("fc2", 6, 3).done();
    assert_eq!(run(&scene(&good, &[6]), &text), (Some(0), String::new()));
    let bad = masked().op("log", "Log").linear("fc2", 6, 3).done();
    assert_said("log-behind-a-mask", run(&scene(&bad, &[6]), &text));
}

#[test]
fn data_that_is_not_a_number() {
    let case = |name: &str, text: &str| {
        let scene = scene(&mlp(), &[6]);
        let x: Vec<f32> = (0..54).map(|i| if i == 26 { f32::NAN } else { (i % 7) as f32 }).collect();
        scene.npz("train.npz", 9, &[6], &x, &[0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_said(name, run(&scene, text));
    };
    case("data-nan", &in_order(""));
    case("data-nan-accumulated", &in_order("").replace("batch: 3", "batch: 1, accumulate: 5"));
    // What is cached for a sample is bad when the sample is.
    case("feature-nan", &in_order("").replace("freeze: none", "freeze: {all_but: ['fc3.*']}"));
}
