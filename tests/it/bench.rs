//! `pipe bench` and `--profile`: what is measured, that models with several inputs train, and that a profile changes nothing else.

use super::scene::{Net, Scene, cnn};
use pipe::diag::{Code, Diagnostic};
use pipe::ir::{Attr, Builder, DType, Dim, Graph, OPSET, Tensor, TensorType};
use pipe::parts::Chosen;
use pipe::plan::Plan;
use pipe::runtime::{BenchOptions, BenchReport, bench};
use pipe::spec::Optimizer;
use pipe::world::{self, clock};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// ids [batch, length] → table of 11 rows → masked by mask [batch, length] → linear → states [batch, length, 5]
fn tokens() -> Graph {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let dims = ["batch", "length"].map(|name| Dim::Symbol(name.to_owned())).to_vec();
    let ids = graph.add_input("ids", TensorType { dtype: DType::I64, dims: dims.clone() });
    let mask = graph.add_input("mask", TensorType { dtype: DType::I64, dims });
    let numbers = |count: usize| (0..count).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
    let table = graph.add_initializer("table", Tensor::new([11, 4], &numbers(44)));
    let weight = graph.add_initializer("linear.weight", Tensor::new([4, 5], &numbers(20)));
    let mut b = Builder::new(&mut graph, "net");
    let states = b.op_with("Gather", &[table, ids], &[("axis", Attr::Int(0))]);
    let float = b.cast(mask, DType::F32);
    let float = b.unsqueeze(float, &[2]);
    let states = b.mul(states, float);
    let states = b.matmul(states, weight);
    graph.rename(states, "states");
    graph.outputs = vec![states];
    graph
}

fn measure(path: &Path, dims: &[(&str, usize)], batch: usize) -> Result<BenchReport, Vec<Diagnostic>> {
    let optimizer =
        Optimizer { rule: Chosen::new("adamw", json!({"lr": 0.01})), groups: Vec::new(), clip_norm: None, ema: None };
    let dims: BTreeMap<String, usize> = dims.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    let (plan, _) = Plan::of_model(path, &dims, optimizer, batch, pipe::spec::Runtime::default())?;
    bench(&plan, &BenchOptions { batch, steps: 3, threads: 1, profile: None, started: clock::now() })
}

#[test]
fn a_model_with_several_inputs_is_fed_ids_of_its_table_and_learns() {
    let scene = Scene::new();
    scene.model("tokens.onnx", &tokens());
    let found = measure(&scene.path("tokens.onnx"), &[("length", 6)], 3).unwrap();
    let shapes: Vec<_> =
        found.inputs.iter().map(|(name, dtype, shape)| (name.as_str(), dtype.as_str(), shape)).collect();
    assert_eq!(shapes, [("ids", "i64", &vec![3, 6]), ("mask", "i64", &vec![3, 6])]);
    assert_eq!((found.trained, found.loss[0].0.as_str(), found.loss[0].1.as_str()), (64, "mse", "states"));
    // An id outside the table would make ONNX Runtime fail, a mask of zeros would leave nothing to learn.
    assert!(found.finite && found.loss_last < found.loss_first, "{} to {}", found.loss_first, found.loss_last);
    let forward = 2.0 * f64::from(3 * 6 * 5) * 4.0 / 1e9;
    assert!((found.forward_gflop - forward).abs() < 1e-15 && (found.step_gflop - 3.0 * forward).abs() < 1e-15);
}

#[test]
fn scores_of_classes_get_cross_entropy_and_batch_norm_takes_batch_statistics() {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    let found = measure(&scene.path("cnn.onnx"), &[], 8).unwrap();
    assert_eq!(found.loss, [("cross_entropy".to_owned(), "logits".to_owned())]);
    assert!(found.finite && found.loss_last < found.loss_first);
    assert!(found.step_seconds_min <= found.step_seconds_median && found.step_seconds_median <= found.step_seconds_max);
    // The mean of the batch over itself and the fixed places: one row would leave no variance, and does not stop the step.
    assert!(measure(&scene.path("cnn.onnx"), &[], 1).unwrap().finite);
}

#[test]
fn what_cannot_be_trained_says_why() {
    let scene = Scene::new();
    scene.model("tokens.onnx", &tokens());
    let problems = measure(&scene.path("tokens.onnx"), &[("lenght", 6)], 3).unwrap_err(); // typos: ignore
    assert_eq!((problems[0].code(), problems[0].help_text()), (Code::UnknownName, Some("did you mean `length`?")));
    scene.model("det.onnx", &Net::new(&[4, 4]).node("det", "Det", &[], &[]).done());
    let (status, _, stderr) = scene.outputs(&["bench", "det.onnx"]);
    // Nothing of it has parameters.
    assert!(status == Some(2) && stderr.starts_with("P0403"), "{status:?} {stderr}");
    let mut square = Net::new(&[6]).linear("fc", 6, 4);
    let shape = square.graph.add_initializer("shape", Tensor::vector(&[-1i64, 2, 2]));
    scene.model("volume.onnx", &square.node("square", "Reshape", &[shape], &[]).op("volume", "Det").done());
    let (status, _, stderr) = scene.outputs(&["bench", "volume.onnx"]);
    assert!(status == Some(2) && stderr.starts_with("P0401"), "{status:?} {stderr}");
}

const SPEC: &str = "
version: 1
name: cnn
model: {source: cnn.onnx}
data:
  sets:
    train: {npz: train.npz}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1, momentum: 0.9}}
schedule: {epochs: 3, batch: 8}
";

#[test]
fn a_spec_is_timed_and_json_holds_every_number() {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 20, &[2, 6, 6], 3);
    scene.write("spec.yaml", SPEC);
    let (status, stdout, stderr) =
        scene.outputs(&["bench", "spec.yaml", "--json", "--steps", "2", "--threads", "1", "--profile=bench.json"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let found: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&found["batch"], &found["steps"], &found["trained"]), (&json!(8), &json!(2), &json!(329)));
    for key in ["forward_seconds_median", "step_seconds_median", "step_gflop", "sgemm_gflop_per_second"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}");
    }
    let rows = found["profile"]["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["op"] == "Conv" && row["direction"] == "forward"), "{rows:?}");
    assert!(rows.iter().any(|row| row["direction"] == "backward"), "{rows:?}");
    assert!(world::exists(&scene.path("bench.json")));
    let (status, _, stderr) = scene.outputs(&["bench", "spec.yaml", "--dim", "length=3"]);
    assert!(status == Some(2) && stderr.starts_with("P0001"), "{stderr}");
}

#[test]
fn a_profile_changes_no_number_of_a_run() {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 20, &[2, 6, 6], 3);
    scene.write("spec.yaml", SPEC);
    let (status, plain, stderr) = scene.outputs(&["run", "spec.yaml", "--out", "plain"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let (status, profiled, stderr) = scene.outputs(&["run", "spec.yaml", "--out", "profiled", "--profile"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    for file in ["metrics.jsonl", "model.onnx", "summary.json"] {
        let read = |run: &str| world::read(&scene.path(run).join(file)).unwrap();
        assert!(read("plain") == read("profiled"), "{file} differs");
    }
    assert!(!plain.contains("profile of phase") && profiled.contains("profile of phase 1"), "{profiled}");
    // Two full batches and a short one in each of three epochs; the short one has a session of its own.
    assert!(profiled.contains("mean of 5 steps"), "{profiled}");
    let trace = world::read_to_string(&scene.path("profiled").join("trace.phase1.json")).unwrap();
    let trace: Value = serde_json::from_str(&trace).unwrap();
    let count = |category: &str| {
        trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["cat"] == category).count()
    };
    assert!(count("forward") > 0 && count("backward") > 0);
    let files = world::list_dir(&scene.path("profiled")).unwrap();
    assert_eq!(files.iter().filter(|file| file.to_string_lossy().contains("profile_")).count(), 0, "{files:?}");
}
