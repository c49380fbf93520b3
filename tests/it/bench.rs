//! `pipe bench` and `--profile`: what is measured, that models with several inputs train, that a profile changes nothing else, and what
//! `--gradients` writes.

use super::scene::{Net, Scene, assert_close, cnn, weight};
use pipe::diag::{Code, Diagnostic};
use pipe::ir::{Attr, Builder, DType, Dim, Graph, OPSET, Tensor, TensorType};
use pipe::parts::Chosen;
use pipe::plan::Plan;
use pipe::runtime::{BenchOptions, BenchReport, bench};
use pipe::spec::Optimizer;
use pipe::world::{self, clock};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
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
    let (status, _, stderr) = scene.outputs(&["bench", "spec.yaml", "--recompute", "*"]);
    assert!(status == Some(2) && stderr.contains("runtime: {recompute:"), "{stderr}");
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

/// Writes tensors as the command reads them.
fn feeds(scene: &Scene, name: &str, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views =
        tensors.iter().map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes)));
    let views = views.map(|(name, view)| (name, view.unwrap()));
    scene.write(name, safetensors::serialize(views, None).unwrap());
}

fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn i64s(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Shape and elements by name.
type Numbers = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Gradients that the command wrote, and the loss beside them.
fn written(scene: &Scene, name: &str) -> (Numbers, f64) {
    let bytes = world::read(&scene.path(name)).unwrap();
    let loss = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().as_ref().unwrap()["loss"].parse().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers =
        |view: &TensorView| view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), numbers(&view)))).collect(), loss)
}

const X: [f32; 4] = [0.5, -1.0, 2.0, 0.25];

#[test]
fn gradients_of_a_fed_batch_are_written_under_the_names_of_the_initializers() {
    let scene = Scene::new();
    let graph = Net::new(&[2]).linear("fc", 2, 3).done();
    scene.model("linear.onnx", &graph);
    feeds(&scene, "in", &[("x", Dtype::F32, &[2, 2], f32s(&X)), ("labels", Dtype::I64, &[2], i64s(&[2, 0]))]);
    let (status, stdout, stderr) =
        scene.outputs(&["bench", "linear.onnx", "--gradients", "out", "--feeds", "in", "--json"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let (weight, bias) = (weight(&graph, "fc.weight"), weight(&graph, "fc.bias"));
    let (mut of_weight, mut of_bias, mut loss) = (vec![0.0f32; 6], vec![0.0f32; 3], 0.0);
    for (x, label) in X.chunks(2).zip([2, 0]) {
        let scores: Vec<f32> = (0..3).map(|k| weight[2 * k] * x[0] + weight[2 * k + 1] * x[1] + bias[k]).collect();
        let total: f32 = scores.iter().map(|score| score.exp()).sum();
        loss += f64::from(total.ln() - scores[label]) / 2.0;
        for k in 0..3 {
            let of_score = (scores[k].exp() / total - f32::from(k == label)) / 2.0;
            of_bias[k] += of_score;
            (0..2).for_each(|i| of_weight[2 * k + i] += of_score * x[i]);
        }
    }
    let (found, found_loss) = written(&scene, "out");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["fc.bias", "fc.weight"]);
    assert_eq!((&found["fc.weight"].0, &found["fc.bias"].0), (&vec![3, 2], &vec![3]));
    assert_close(&found["fc.weight"].1, &of_weight, 1e-6);
    assert_close(&found["fc.bias"].1, &of_bias, 1e-6);
    assert!((found_loss - loss).abs() < 1e-6, "{found_loss} and {loss}");
    let said: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&said["batch"], &said["tensors"], &said["trained"]), (&json!(2), &json!(2), &json!(9)));
    assert_eq!(said["loss"].as_f64(), Some(found_loss));
}

#[test]
fn the_mean_square_is_taken_against_fed_values_or_zeros() {
    let scene = Scene::new();
    scene.model("tokens.onnx", &tokens());
    let ids = ("ids", Dtype::I64, [2usize, 3], i64s(&[0, 10, 3, 3, 3, 7]));
    let mask = ("mask", Dtype::I64, [2usize, 3], i64s(&[1, 1, 0, 1, 1, 1]));
    let inputs = [&ids, &mask].map(|(name, dtype, shape, bytes)| (*name, *dtype, shape.as_slice(), bytes.clone()));
    let gradients = |labels: Option<f32>| {
        let labels = labels.map(|value| ("labels", Dtype::F32, [2, 3, 5].as_slice(), f32s(&[value; 30])));
        feeds(&scene, "in", &inputs.iter().cloned().chain(labels).collect::<Vec<_>>());
        let args = ["bench", "tokens.onnx", "--gradients", "out", "--feeds", "in", "--dim", "length=3"];
        let (status, _, stderr) = scene.outputs(&args);
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        written(&scene, "out")
    };
    let (against_zeros, loss) = gradients(None);
    assert_eq!((&against_zeros, loss), (&gradients(Some(0.0)).0, gradients(Some(0.0)).1));
    // The rows of the table that were looked up.
    let rows: Vec<bool> = against_zeros["table"].1.chunks(4).map(|row| row.iter().any(|g| *g != 0.0)).collect();
    assert_eq!((0..11).filter(|row| rows[*row]).collect::<Vec<_>>(), [0, 3, 7, 10]);
    assert!(gradients(Some(1.0)).0 != against_zeros);
}

#[test]
fn feeds_that_do_not_fit_say_what_is_wanted() {
    let scene = Scene::new();
    scene.model("linear.onnx", &Net::new(&[2]).linear("fc", 2, 3).done());
    let said = |tensors: &[(&str, Dtype, &[usize], Vec<u8>)]| {
        feeds(&scene, "in", tensors);
        let (status, _, stderr) = scene.outputs(&["bench", "linear.onnx", "--gradients", "out", "--feeds", "in"]);
        assert_eq!(status, Some(2), "{stderr}");
        stderr
    };
    let x = || ("x", Dtype::F32, [2, 2].as_slice(), f32s(&X));
    let labels = |classes: &[i64]| ("labels", Dtype::I64, [2].as_slice(), i64s(classes));
    let all = said(&[("y", Dtype::F32, &[2, 2], f32s(&X))]);
    for part in ["nothing is fed to input `x`", "no labels", "no input `y`", "add a tensor `labels`, i64[2]"] {
        assert!(all.contains(part), "{all}");
    }
    let narrow = said(&[("x", Dtype::F32, &[2, 1], f32s(&X[..2])), labels(&[0, 1])]);
    assert!(
        narrow.starts_with("P0505") && narrow.contains("`x` is f32[2, 1], and the model takes f32[2, 2]"),
        "{narrow}"
    );
    let outside = said(&[x(), labels(&[0, 3])]);
    assert!(outside.starts_with("P0504") && outside.contains("label 3 is outside 0..3"), "{outside}");
    let float = said(&[x(), ("labels", Dtype::F32, &[2], f32s(&[0.0, 1.0]))]);
    assert!(float.starts_with("P0505") && float.contains("`labels` is f32[2], and the loss reads i64[2]"), "{float}");
    assert!(said(&[]).starts_with("P0503"));
    let truth = said(&[x(), labels(&[0, 1]), ("mask", Dtype::BOOL, &[2], vec![1, 2])]);
    assert!(truth.starts_with("P0502") && truth.contains("`mask` is bool"), "{truth}");
    scene.write("in", "no safetensors");
    let (status, _, stderr) = scene.outputs(&["bench", "linear.onnx", "--gradients", "out", "--feeds", "in"]);
    assert!(status == Some(2) && stderr.starts_with("P0502"), "{stderr}");
    assert_eq!(scene.outputs(&["bench", "linear.onnx", "--gradients", "out"]).0, Some(2));
    scene.write("spec.yaml", SPEC);
    let (status, _, stderr) = scene.outputs(&["bench", "spec.yaml", "--gradients", "out", "--feeds", "in"]);
    assert!(status == Some(2) && stderr.starts_with("P0001"), "{stderr}");
    assert!(!world::exists(&scene.path("out")));
}

#[test]
fn gradients_that_are_not_finite_are_told() {
    let scene = Scene::new();
    scene.model("linear.onnx", &Net::new(&[2]).linear("fc", 2, 3).done());
    let x = [f32::INFINITY, -1.0, 2.0, 0.25];
    feeds(&scene, "in", &[("x", Dtype::F32, &[2, 2], f32s(&x)), ("labels", Dtype::I64, &[2], i64s(&[2, 0]))]);
    let (status, _, stderr) = scene.outputs(&["bench", "linear.onnx", "--gradients", "out", "--feeds", "in"]);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.starts_with("P0601") && stderr.contains("the loss is NaN"), "{stderr}");
    assert!(stderr.contains("`fc.weight`") && world::exists(&scene.path("out")), "{stderr}");
}

#[test]
fn the_mean_of_millions_of_squares_keeps_its_digits() {
    let scene = Scene::new();
    let mut net = Net::new(&[64, 50_257]);
    let scale = net.graph.add_initializer("scale.weight", Tensor::vector(&vec![1.0f32; 50_257]));
    scene.model("wide.onnx", &net.node("scale", "Mul", &[scale], &[]).done());
    let x: Vec<f32> = (0..64 * 50_257i64).map(|i| ((i * 7919) % 4096) as f32 / 4096.0).collect();
    let exact = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
    feeds(&scene, "in", &[("x", Dtype::F32, &[1, 64, 50_257], f32s(&x))]);
    let (status, _, stderr) = scene.outputs(&["bench", "wide.onnx", "--gradients", "out", "--feeds", "in"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let (_, loss) = written(&scene, "out");
    assert!((loss / exact - 1.0).abs() < 1e-6, "{loss} for {exact}");
}
