//! The training form of BatchNormalization against ONNX's `training_mode=1`.
//!
//! Outputs and running means are the same. Running variances are not: ONNX averages the biased variance of the batch, Σ(x − μ)²/n, torch
//! and `pipe` the unbiased one, Σ(x − μ)²/(n − 1), with n = N·∏spatial; the batch's share is larger by n/(n − 1).

use super::{cases, close, plan, session};
use crate::scene::Net;
use pipe::graph::{StepForm, train_graph};
use pipe::ir::{Attr, Tensor};

#[test]
fn outputs_and_running_means_are_onnxs_and_running_variances_torchs() {
    let all = cases("batch_norm.json");
    assert_eq!(all.len(), 2);
    for (name, case) in all {
        let shape = &case.inputs["x"].shape;
        let channels = shape[1];
        let momentum = case.attribute("momentum").unwrap_or(0.9);
        let epsilon = case.attribute("epsilon").unwrap_or(1e-5);
        let mut net = Net::new(&shape[1..]);
        let params =
            ["s", "bias", "mean", "var"].map(|of| net.graph.add_initializer(of, Tensor::vector(&case.input(of))));
        let attributes = [("epsilon", Attr::Float(epsilon as f32)), ("momentum", Attr::Float(momentum as f32))];
        let model = net.node("bn", "BatchNormalization", &params, &attributes);
        let normalised = model.graph.name(model.at).to_owned();
        let model = model.op("flat", "Flatten").done();
        let plan = plan(&model, &shape[1..], shape[0], "loss: cross_entropy");
        let made = train_graph(
            &plan.network,
            &plan.phases[0].trainable,
            None,
            &plan.objective,
            StepForm::of(&plan.spec, plan.target),
            shape[0],
        );
        let made = made.unwrap();
        let next: Vec<&str> = made.states.iter().map(|state| state.name.as_str()).collect();
        assert_eq!(next, ["mean", "var"]);
        let mut graph = made.graph.clone();
        let wanted = made.states.iter().map(|state| state.next.as_str()).chain([normalised.as_str()]);
        graph.outputs = wanted.map(|name| graph.find(name).unwrap()).collect();
        graph.prune(false);
        let mut feeds = vec![(made.data[0].as_str(), Tensor::new(shape.clone(), &case.input("x")))];
        feeds.extend(["s", "bias", "mean", "var"].map(|of| (of, Tensor::vector(&case.input(of)))));
        let outputs = session(&graph).call(&feeds).unwrap();
        let [mean, var, y] = [0, 1, 2].map(|i| outputs[i].to_vec::<f32>().unwrap());
        close(&y, &case.output("y"), 2e-6, &format!("outputs of {name}"));
        close(&mean, &case.output("output_mean"), 1e-6, &format!("running means of {name}"));

        let n = (shape.iter().product::<usize>() / channels) as f64;
        let biased = case.output("output_var");
        let share = |(new, old): (&f32, f32)| f64::from(*new) - momentum * f64::from(old);
        let unbiased: Vec<f32> = biased
            .iter()
            .zip(case.input("var"))
            .map(|pair| (momentum * f64::from(pair.1) + share(pair) * n / (n - 1.0)) as f32)
            .collect();
        close(&var, &unbiased, 1e-6, &format!("running variances of {name}"));
        assert!(var.iter().zip(&biased).all(|(ours, onnx)| ours - onnx > 1e-4), "{name}: {var:?}, ONNX {biased:?}");
    }
}
