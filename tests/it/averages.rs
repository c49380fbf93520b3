//! `optimizer.ema`: the exported weights are torch's moving average over the weights after every step.

use crate::scene::{Ran, Scene, cnn, mlp};
use pipe::ir::Graph;
use safetensors::SafeTensors;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.model("mlp.onnx", &mlp());
    scene.samples("images.npz", 10, &[2, 6, 6], 3);
    scene.samples("rows.npz", 10, &[6], 3);
    scene
}

/// Statistics move in micro-batches, averages in steps: two batches of four and one of two, one step an epoch.
fn spec(model: &str, data: &str, optimizer: &str, more: &str) -> String {
    format!(
        "version: 1
name: averaged
seed: 3
model: {{source: {model}}}
data: {{sets: {{train: {{npz: {data}}}}}}}
loss: cross_entropy
optimizer: {{{optimizer}}}
evaluate: {{datasets: [train]}}
schedule: {{batch: 4, accumulate: 3, keep: {{last: 100}}, {more}}}
"
    )
}

/// A value in every checkpoint.
fn history(ran: &Ran, name: &str) -> Vec<Vec<f32>> {
    let files = ran.checkpoints().into_iter().filter(|(file, _)| file.ends_with(".safetensors"));
    let value = |bytes: Vec<u8>| {
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let found = tensors.tensor(name).ok()?;
        Some(found.data().chunks_exact(4).map(|raw| f32::from_le_bytes(raw.try_into().unwrap())).collect())
    };
    files.filter_map(|(_, bytes)| value(bytes)).collect()
}

/// torch.optim.swa_utils.AveragedModel: the first weights, then a + (1 − decay)·(w − a).
fn averaged(weights: &[Vec<f32>], decay: f64) -> Vec<f64> {
    let mut average: Vec<f64> = weights[0].iter().map(|w| f64::from(*w)).collect();
    for weights in &weights[1..] {
        for (a, w) in average.iter_mut().zip(weights) {
            *a += (1.0 - decay) * (f64::from(*w) - *a);
        }
    }
    average
}

fn assert_close(found: &[f32], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (a, b) in found.iter().zip(wanted) {
        assert!((f64::from(*a) - b).abs() <= 1e-6 * b.abs().max(0.1), "{what}: {a} is not {b}");
    }
}

fn exported(graph: &Graph, name: &str) -> Vec<f32> {
    crate::scene::weight(graph, name)
}

#[test]
fn parameters_and_statistics_are_averaged() {
    let scene = scene();
    for (decay, rule) in [(0.75, "sgd: {lr: 0.3, momentum: 0.9}"), (0.3, "adamw: 0.05")] {
        let text = |ema: &str| spec("cnn.onnx", "images.npz", &format!("{rule}{ema}"), "epochs: 6");
        let ran = scene.run(&text(&format!(", ema: {decay}")), &format!("decay{decay}"));
        let graph = ran.exported();
        for name in ["conv1.weight", "bn1.weight", "bn1.running_mean", "bn2.running_var", "fc.bias"] {
            let weights = history(&ran, &format!("weight/{name}"));
            assert_eq!(weights.len(), 6, "{name}");
            assert!(weights[0] != weights[5], "{name} moves");
            let wanted = averaged(&weights, decay);
            assert_close(&exported(&graph, name), &wanted, name);
            assert_close(&history(&ran, &format!("average/{name}"))[5], &wanted, name);
        }
        // Training itself does not notice.
        let plain = scene.run(&text(""), &format!("plain{decay}"));
        assert_eq!(plain.losses(), ran.losses());
        assert_ne!(plain.score("train", "loss"), ran.score("train", "loss"), "the averages are what is evaluated");
    }
}

#[test]
fn the_best_epoch_is_that_of_the_averages() {
    let scene = scene();
    let keep = "epochs: 5, stop: {watch: train.loss, patience: 5}";
    let text =
        spec("mlp.onnx", "rows.npz", "sgd: 0.5, ema: 0.6", keep).replace("last: 100", "last: 100, best: train.loss");
    let ran = scene.run(&text, "best");
    let losses: Vec<f64> = ran
        .metrics
        .lines()
        .filter(|line| line.contains(r#""last":false"#))
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["scores"]["numbers"]["loss"].as_f64().unwrap()
        })
        .collect();
    let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
    let weights = history(&ran, "weight/fc2.weight");
    assert_close(&exported(&ran.exported(), "fc2.weight"), &averaged(&weights[..=best], 0.6), "fc2.weight");
    assert!((ran.score("train", "loss") - losses[best]).abs() < 1e-6);
}

#[test]
fn averages_over_phases() {
    let scene = scene();
    let run = |name: &str, second: &str| {
        let phases = format!("phases: [{{epochs: 2, freeze: {{all_but: ['fc3.*']}}}}, {{epochs: 2, {second}}}]");
        scene.run(&spec("mlp.onnx", "rows.npz", "sgd: 0.5, ema: 0.6", &phases), name)
    };
    // `fc3` moves on and keeps its average, `fc2` begins one.
    let ran = run("on", "freeze: {all_but: ['fc2.*', 'fc3.*']}");
    let graph = ran.exported();
    assert_close(&exported(&graph, "fc3.weight"), &averaged(&history(&ran, "weight/fc3.weight"), 0.6), "on");
    assert_close(&exported(&graph, "fc2.weight"), &averaged(&history(&ran, "weight/fc2.weight"), 0.6), "begins");
    assert_eq!(history(&ran, "weight/fc2.weight").len(), 2);
    // `fc3` rests at its last weights, on which the second phase has built.
    let ran = run("rests", "freeze: {all_but: ['fc2.*']}");
    assert_eq!(exported(&ran.exported(), "fc3.weight"), history(&ran, "weight/fc3.weight")[1]);
    // An optimizer of its own without `ema` averages nothing.
    let ran = run("ends", "freeze: none, optimizer: {sgd: 0.1}");
    assert_eq!(exported(&ran.exported(), "fc3.weight"), history(&ran, "weight/fc3.weight")[3]);
    assert!(history(&ran, "average/fc3.weight").len() == 2);
}

#[test]
fn a_decay_is_between_nothing_and_one() {
    let scene = scene();
    for decay in ["0", "1", "1.5", "-0.1"] {
        let text = spec("mlp.onnx", "rows.npz", &format!("sgd: 0.5, ema: {decay}"), "epochs: 1");
        let problems = scene.plan(&text).err().unwrap();
        assert_eq!(problems[0].code(), pipe::diag::Code::OutOfRange, "{decay}");
    }
    let text = spec("mlp.onnx", "rows.npz", "sgd: 0.5, ema: 0.999", "epochs: 1");
    let plan = scene.plan(&text).unwrap().describe();
    assert!(plan.contains("weights averaged with decay 0.999"), "{plan}");
}
