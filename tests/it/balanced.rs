//! `class_weights: balanced`: the numbers, the training step and what is written of them.

use crate::scene::{Net, Scene, assert_close};
use pipe::ir::{Attr, Tensor};
use pipe::spec;
use pipe::world;

// x = torch.tensor(X).reshape(9, 3); y = torch.tensor([0]*5 + [1]*3 + [2]); w = 9 / (3 * np.bincount(y))
// W = torch.eye(3, requires_grad=True); loss = F.cross_entropy(x @ W.T, y, weight=torch.tensor(w, dtype=torch.float32))
// loss.backward(); W - 0.5 * W.grad
const X: [f32; 27] = [
    1.0, 2.0, 0.5, -1.0, 0.0, 3.0, 0.25, -0.75, 1.5, 2.0, 2.0, 2.0, 0.0, 1.0, -1.0, 3.0, -2.0, 0.5, -0.5, 0.5, 0.0,
    1.0, 1.5, -2.0, 0.1, 0.2, 0.3,
];
const Y: [i64; 9] = [0, 0, 0, 0, 0, 1, 1, 1, 2];
const LOSS: f64 = 1.6704645156860352;
const STEPPED: [f32; 9] = [
    0.870_434_1,
    0.156_987_6,
    0.170_707_85,
    0.125_751_27,
    0.840_223_97,
    -0.051_200_83,
    0.003_814_627,
    0.002_788_452_4,
    0.880_493,
];

/// Scores are the samples themselves, until the first step.
fn scene() -> Scene {
    let scene = Scene::new();
    let mut net = Net::new(&[3]);
    let eye: Vec<f32> = (0..9).map(|i| f32::from(i % 4 == 0)).collect();
    let weight = net.graph.add_initializer("fc.weight", Tensor::new([3, 3], &eye));
    scene.model("model.onnx", &net.node("fc", "Gemm", &[weight], &[("transB", Attr::Int(1))]).done());
    scene.npz("train.npz", 9, &[3], &X, &Y);
    scene
}

fn text(weights: &str, data: &str) -> String {
    format!(
        "version: 1
name: balanced
model: {{source: model.onnx}}
data: {{sets: {{train: {{npz: train.npz{data}}}}}}}
loss: {{cross_entropy: {{class_weights: {weights}}}}}
optimizer: {{sgd: 0.5}}
schedule: {{epochs: 1, batch: 9, shuffle: false}}
evaluate: {{datasets: [train]}}
"
    )
}

#[test]
fn a_step_is_torchs_with_scikit_learns_weights() {
    let scene = scene();
    let ran = scene.run(&text("balanced", ""), "balanced");
    let loss = ran.losses()[0];
    assert!((loss - LOSS).abs() < 1e-6 * LOSS, "{loss}");
    assert_close(&ran.weight("fc.weight"), &STEPPED, 1e-6);
    let listed = scene.run(&text("[0.6, 1, 3]", ""), "listed");
    assert_eq!(ran.metrics, listed.metrics);
    assert_eq!(ran.summary.scores, listed.summary.scores, "evaluation weighs the same");
}

#[test]
fn the_plan_says_the_numbers_and_the_resolved_spec_holds_them() {
    let scene = scene();
    let plan = scene.plan(&text("balanced", "")).unwrap();
    let described = plan.describe();
    assert!(
        described.contains("balanced   cross_entropy: `0` 0.6000 (5), `1` 1.0000 (3), `2` 3.0000 (1)\n"),
        "{described}"
    );
    let resolved = spec::to_yaml(&plan.spec).unwrap();
    scene.write("resolved.yaml", &resolved);
    let again = spec::parse(&resolved, "resolved.yaml", &[]).spec.unwrap();
    assert_eq!(again.loss["cross_entropy"].loss.config["class_weights"], serde_json::json!([0.6, 1.0, 3.0]));
    assert_eq!(spec::identity(&again), spec::identity(&plan.spec));
    // A part of the samples counts for itself.
    let limited = scene
        .plan(&text("balanced", "}, limit: 8, transforms: []").replace("npz: train.npz}", "npz: {path: train.npz}"));
    assert!(format!("{:?}", limited.err().unwrap()).contains("`train` has no sample of class 2"));
}

#[test]
fn a_class_that_is_not_there_cannot_be_balanced() {
    let scene = scene();
    scene.npz("train.npz", 9, &[3], &X, &[0; 9]);
    let said = format!("{:?}", scene.plan(&text("balanced", "")).err().unwrap());
    assert!(said.contains("P0504") && said.contains("has no sample of classes 1, 2"), "{said}");
    let said = format!("{:?}", spec::parse(&text("balance", ""), "spec.yaml", &[]).diagnostics);
    assert!(said.contains("P0202") || said.contains("P0203"), "{said}");
    assert!(!world::exists(&scene.path("runs")), "nothing was run");
}
