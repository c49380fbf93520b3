//! Agreement with the operator tests of the ONNX project: the cases of `tests/golden/onnx`, which `tests/golden/operators.py` fetches.
//!
//! Where ONNX defines a thing otherwise than torch, `pipe` follows torch; each file says what the difference is, and its test shows it.

mod batch_norm;
mod cross_entropy;
mod dropout;
mod optimizers;

use crate::scene::Scene;
use pipe::ir::Graph;
use pipe::native::{Options, Session};
use pipe::plan::Plan;
use pipe::world;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl Array {
    fn f32(&self) -> Vec<f32> {
        self.data.iter().map(|number| *number as f32).collect()
    }
}

/// One node with attributes, and what comes out for what goes in.
#[derive(Deserialize)]
struct Case {
    attributes: BTreeMap<String, Value>,
    inputs: BTreeMap<String, Array>,
    outputs: BTreeMap<String, Array>,
}

impl Case {
    fn attribute(&self, name: &str) -> Option<f64> {
        self.attributes.get(name).and_then(Value::as_f64)
    }

    fn word(&self, name: &str) -> &str {
        self.attributes[name].as_str().unwrap()
    }

    fn input(&self, name: &str) -> Vec<f32> {
        self.inputs[name].f32()
    }

    fn output(&self, name: &str) -> Vec<f32> {
        self.outputs[name].f32()
    }
}

/// The cases of a file by name.
fn cases(file: &str) -> BTreeMap<String, Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(file);
    serde_json::from_slice(&world::read(&path).unwrap()).unwrap()
}

/// The plan of a spec over a model and as many samples as it needs to be a plan; their values are never read.
fn plan(model: &Graph, sample: &[usize], samples: usize, spec: &str) -> Plan {
    let scene = Scene::new();
    scene.model("model.onnx", model);
    scene.npz("train.npz", samples, sample, &vec![0.0; samples * sample.iter().product::<usize>()], &vec![0; samples]);
    let text = format!(
        "version: 1\nname: case\nmodel: {{source: model.onnx}}\ndata: {{sets: {{train: {{npz: train.npz}}}}}}\n\
         optimizer: {{sgd: 0.1}}\nschedule: {{steps: 1, batch: {samples}}}\n{spec}\n"
    );
    scene.plan(&text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn session(graph: &Graph) -> Session {
    Session::build(graph, &Options { threads: 1, ..Options::default() }).unwrap()
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}, {i}: {a}, ONNX {b}");
    }
}
