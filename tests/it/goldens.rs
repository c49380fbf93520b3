//! Training agrees with PyTorch, step by step: the cases of `tests/golden`, whose `make.py` says what they hold.

use crate::scene::{Ran, attempt};
use pipe::world;
use serde_json::Value;
use std::path::Path;

/// Relative difference that losses and norms may have; PyTorch itself differs by 1e-5 between f32 and f64 on every case.
const TOLERANCE: f64 = 1e-4;

fn golden(case: &str) {
    golden_on(case, "", TOLERANCE);
}

/// The cases, all of which hold on a GPU too.
pub(crate) const CASES: [&str; 6] =
    ["accumulate", "cnn_bn", "lenet_wd_nesterov", "mlp_adamw", "recurrent", "resnet_block"];

/// A case with something appended to its spec.
pub(crate) fn golden_on(case: &str, more: &str, tolerance: f64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
    let spec = world::read_to_string(&folder.join("spec.yaml")).unwrap();
    // The loss after the last step is an evaluation's.
    let train = "    train: {npz: data.npz}\n";
    let spec = spec.replace(train, &format!("{train}    after: {{npz: data.npz}}\n")) + more;
    let close = |found: f64, expected: f64, what: &str| {
        assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: {found}, PyTorch {expected}");
    };
    let expected: Value = serde_json::from_slice(&world::read(&folder.join("losses.json")).unwrap()).unwrap();
    let out = world::scratch_folder().unwrap();
    let ran = attempt(&folder, &spec, &out.path().join("run"), false, &|_| false).unwrap();
    let losses: Vec<f64> = expected["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
    let found = recorded(&ran);
    assert_eq!((found.len(), losses.len()), (20, 20));
    for (step, (found, loss)) in found.iter().zip(&losses).enumerate() {
        close(*found, *loss, &format!("{case}, loss of step {}", step + 1));
    }
    close(ran.score("after", "loss"), expected["eval_loss"].as_f64().unwrap(), &format!("{case}, loss after training"));
    for (name, norm) in expected["norms"].as_object().unwrap() {
        let square: f64 = ran.weight(name).iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        close(square.sqrt(), norm.as_f64().unwrap(), &format!("{case}, norm of {name}"));
    }
}

/// Losses as `metrics.jsonl` has them.
fn recorded(ran: &Ran) -> Vec<f64> {
    let lines = ran.metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
}

#[test]
fn every_case_is_tested() {
    let folders = world::list_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")).unwrap();
    let names: Vec<String> = folders
        .iter()
        .filter(|path| world::is_folder(path) && world::is_file(&path.join("losses.json")))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, CASES);
}

#[test]
fn accumulation() {
    golden("accumulate");
}

#[test]
fn batch_statistics() {
    golden("cnn_bn");
}

#[test]
fn nesterov_with_decay() {
    golden("lenet_wd_nesterov");
}

#[test]
fn gelu_layer_norm_and_adamw() {
    golden("mlp_adamw");
}

#[test]
fn recurrent_networks() {
    golden("recurrent");
}

#[test]
fn residual_block() {
    golden("resnet_block");
}
