//! Sweeps as people run them: the command on a spec, the table, the folders, what is shared, and going on after a kill.

use crate::scene::{Scene, mlp};
use pipe::world;
use serde_json::Value;

const SPEC: &str = "
version: 1
name: swept
seed: 2
model: {source: mlp.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [linear: 3]}}
data:
  sets: {train: {npz: train.npz}}
  validation: {from: train, fraction: 0.3}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1, momentum: 0.9}}
schedule: {epochs: 4, batch: 4}
evaluate: {metrics: [accuracy]}
";

fn scene(sweep: &str) -> Scene {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 40, &[6], 3);
    scene.write("spec.yaml", format!("{SPEC}{sweep}"));
    scene
}

fn summary(scene: &Scene) -> Value {
    serde_json::from_slice(&world::read(&scene.path("runs/swept/001/summary.json")).unwrap()).unwrap()
}

fn rows(summary: &Value) -> Vec<(u64, String, f64)> {
    let rows = summary["trials"].as_array().unwrap().iter();
    rows.map(|row| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (row["trial"].as_u64().unwrap(), text("state"), row["score"].as_f64().unwrap_or(f64::NAN))
    })
    .collect()
}

const GRID: &str = "sweep: {grid: {optimizer.sgd.lr: [0.5, 0.1, 1e-6], seed: [0, 1]}, metric: validation.loss}\n";

#[test]
fn every_combination_is_run_and_ranked() {
    let scene = scene(GRID);
    let (status, out, problems) = scene.outputs(&["run", "spec.yaml"]);
    assert_eq!(status, Some(0), "{problems}");
    let found = summary(&scene);
    let rows = rows(&found);
    assert_eq!(rows.len(), 6);
    assert!(rows.windows(2).all(|pair| pair[0].2 <= pair[1].2), "a smaller loss is better: {rows:?}");
    assert!(rows[0].2 < rows[5].2, "values that make no difference: {rows:?}");
    assert!(out.contains("trial   1/6  lr=0.5 seed=0  validation.loss 1."), "{out}");
    assert!(out.contains("   trial  validation.loss  values\n1      1 "), "{out}");
    // The best trial's files are those of the sweep.
    let best = found["best"].as_u64().unwrap();
    let model = |path: &str| world::read(&scene.path(path)).unwrap();
    assert!(model("runs/swept/001/model.onnx") == model(&format!("runs/swept/001/trials/{best:03}/model.onnx")));
    assert_eq!(found["scores"]["validation"]["numbers"]["loss"].as_f64(), Some(rows[0].2));
    // A trial is the run of the spec with those values.
    let args = ["run", "spec.yaml", "--fresh", "--out", "alone", "--set", "optimizer.sgd.lr=0.1", "--set", "seed=1"];
    scene.write("spec.yaml", SPEC);
    assert_eq!(scene.outputs(&args).0, Some(0));
    assert!(model("alone/metrics.jsonl") == model("runs/swept/001/trials/004/metrics.jsonl"));
}

#[test]
fn trials_share_the_features_of_the_frozen_prefix() {
    let scene = scene("sweep: {grid: {optimizer.sgd.lr: [0.5, 0.1, 0.01]}, metric: validation.accuracy}\n");
    assert_eq!(scene.outputs(&["run", "spec.yaml"]).0, Some(0));
    let (_, list, _) = scene.outputs(&["cache", "ls"]);
    assert_eq!(list.matches(": features train").count(), 1, "{list}");
    assert_eq!(list.matches(": train phase 1").count(), 3, "{list}");
    // Again, everything is there; the numbers are the same.
    let first = summary(&scene);
    assert_eq!(scene.outputs(&["run", "spec.yaml"]).0, Some(0));
    let again = world::read(&scene.path("runs/swept/002/summary.json")).unwrap();
    assert_eq!(first, serde_json::from_slice::<Value>(&again).unwrap());
}

#[test]
fn the_worse_half_ends_early() {
    let sweep = "
sweep:
  grid: {optimizer.sgd.lr: [1e-6, 0.5, 1e-5, 0.1]}
  metric: validation.loss
  halving: {epochs: 1, factor: 2}
";
    let scene = scene(sweep);
    let (status, out, problems) = scene.outputs(&["run", "spec.yaml"]);
    assert_eq!(status, Some(0), "{problems}");
    let rows = rows(&summary(&scene));
    let states: Vec<&str> = rows.iter().map(|row| row.1.as_str()).collect();
    assert_eq!(states, ["finished", "stopped", "stopped", "stopped"], "{rows:?}");
    assert!(rows[0].0 == 2 || rows[0].0 == 4, "{rows:?}");
    assert_eq!(out.matches("after 1 epochs").count() - out.matches("(stopped after 1 epochs)").count(), 4, "{out}");
    assert_eq!(out.matches("(stopped after 2 epochs)").count(), 1, "{out}");
    // The winner is the same as if nothing had been stopped.
    let whole = format!("runs/swept/001/trials/{:03}", rows[0].0);
    let lr = ["1e-6", "0.5", "1e-5", "0.1"][rows[0].0 as usize - 1];
    scene.write("spec.yaml", SPEC);
    let set = format!("optimizer.sgd.lr={lr}");
    assert_eq!(scene.outputs(&["run", "spec.yaml", "--fresh", "--out", "alone", "--set", &set]).0, Some(0));
    for file in ["metrics.jsonl", "model.onnx"] {
        let read = |folder: &str| world::read(&scene.path(folder).join(file)).unwrap();
        assert!(read("alone") == read(&whole), "{file}");
    }
}

#[test]
fn a_sweep_goes_on_where_it_was_stopped() {
    let scene = scene(GRID);
    assert_eq!(scene.outputs(&["run", "spec.yaml"]).0, Some(0));
    let whole = summary(&scene);
    // As if it had been killed: one trial has not begun, one is half done, and there is no summary.
    world::remove(&scene.path("runs/swept/001/summary.json")).unwrap();
    world::remove(&scene.path("runs/swept/001/trials/005")).unwrap();
    world::remove(&scene.path("runs/swept/001/trials/003/summary.json")).unwrap();
    world::remove(&scene.path(".pipe")).unwrap();
    let (status, _, problems) = scene.outputs(&["run", "spec.yaml", "--resume"]);
    assert_eq!(status, Some(0), "{problems}");
    assert_eq!(summary(&scene), whole);
}

#[test]
fn a_trial_that_fails_is_a_row_of_the_table() {
    let scene = scene("sweep: {grid: {optimizer.sgd.lr: [0.1, 3e38]}, metric: validation.loss}\n");
    let (status, out, problems) = scene.outputs(&["run", "spec.yaml"]);
    assert_eq!(status, Some(0), "{problems}");
    let rows = rows(&summary(&scene));
    assert_eq!((rows[0].1.as_str(), rows[1].1.as_str()), ("finished", "failed"));
    assert!(out.contains("(failed: P0601 "), "{out}");
    scene.write("spec.yaml", format!("{SPEC}sweep: {{grid: {{optimizer.sgd.lr: [3e38]}}, metric: validation.loss}}\n"));
    let (status, _, problems) = scene.outputs(&["run", "spec.yaml"]);
    assert!(status == Some(1) && problems.contains("every trial of the sweep failed"), "{problems}");
}

#[test]
fn the_plan_lists_the_trials() {
    let scene = scene(GRID);
    let (status, out, _) = scene.outputs(&["plan", "spec.yaml"]);
    assert_eq!(status, Some(0));
    assert!(out.starts_with("sweep      6 trials, ranked by validation.loss\n           lr=0.5 seed=0\n"), "{out}");
}
