//! What `pipe check` says of a spec once it has read the model or the data: the exact words, in `validation/<case>.txt`.
//! `PIPE_BLESS=1` rewrites them. What the text alone says is in `errors.rs`, which has the table of all that is checked.

use crate::scene::{Scene, assert_expected, mlp};

/// A spec over `model.onnx` and `train.npz`; sections of `rest` stand instead of the usual ones.
fn spec(rest: &str) -> String {
    let mut text = "version: 1\nname: odd\n".to_owned();
    for (key, usual) in [
        ("model:", "model: {source: model.onnx}\n"),
        ("data:", "data: {sets: {train: {npz: train.npz}}}\n"),
        ("loss:", "loss: cross_entropy\n"),
        ("optimizer:", "optimizer: {sgd: 0.1}\n"),
        ("schedule:", "schedule: {epochs: 1, batch: 4}\n"),
    ] {
        if !rest.lines().any(|line| line.starts_with(key)) {
            text.push_str(usual);
        }
    }
    text + rest
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    scene
}

/// Checks a spec in a scene as deep as `depth` says, and compares.
fn said(scene: &Scene, depth: &str, case: &str, rest: &str) {
    scene.write("spec.yaml", spec(rest));
    let found = scene.command(&["check", depth, "spec.yaml"], &[]);
    assert!(!found.1.contains("P0009"), "{case}: {}", found.1);
    assert_expected("validation", case, found);
}

fn check(case: &str, rest: &str) {
    said(&scene(), "--model", case, rest);
}

/// The spec is fine, and nothing is said of it.
fn fine(rest: &str) {
    let scene = scene();
    scene.write("spec.yaml", spec(rest));
    assert_eq!(scene.command(&["check", "--model", "spec.yaml"], &[]), (Some(0), String::new()), "{rest}");
}

const HEAD: &str = "layers: {head: {replaces: fc3, stack: [linear: 3]}}\n";

#[test]
fn patterns_that_match_nothing() {
    check(
        "pattern-near",
        "freeze:\n  - \"fc1.*\"\n  - \"fc2.wieght\"\n  - \"fd3.*\"\n  - \"!*.bais\"\n  - \"encoder.*\"\n",
    );
    check("pattern-all-but", &format!("freeze: {{all_but: [\"fc4.*\"]}}\n{HEAD}"));
    check(
        "pattern-elsewhere",
        "model: {source: model.onnx, reinitialize: [fc9, fc2.baes]}\nregularizer: [{l2: 0.1, params: [haed]}]\n\
         optimizer: {sgd: 0.1, groups: [{params: [\"head.0.wait\"], lr: 1}]}\nfreeze: [fc1, fc7]\n\
         layers: {head: {replaces: fc3, stack: [linear: 3]}}\n",
    );
    check(
        "place-near",
        "freeze: {before: relu}\nlayers:\n  head: {replaces: fc33, stack: [linear: 3]}\n  side: {from: relu3, stack: [linear: 3]}\n  \
         more: {insert_after: strange/place, stack: [relu]}\nloss: {cross_entropy: {of: head}}\n",
    );
}

#[test]
fn rules_that_others_make_void() {
    check("void-pattern", "freeze: [\"fc1.*\", \"!fc3\", \"fc2\", \"!fc1.weight\", \"!fc1.bias\"]\n");
    check("void-order", &format!("freeze: [\"!fc2.*\", \"*\"]\n{HEAD}"));
    check("void-all-but", &format!("freeze: {{all_but: [\"fc1.*\", \"!fc1\"]}}\n{HEAD}"));
    check("void-before", &format!("freeze: {{params: [\"*\", \"!fc1\"], before: relu1}}\n{HEAD}"));
    check("void-reinitialize", "model: {source: model.onnx, reinitialize: [fc2, \"!fc2\"]}\n");
    check(
        "void-group",
        &format!(
            "freeze: all\n{HEAD}regularizer:\n  - {{l2: 0.1, params: [\"fc*.weight\"]}}\n  - {{l2_sp: 0.1}}\n\
             optimizer:\n  sgd: 0.1\n  groups:\n    - {{params: [fc1, fc2], lr: 1}}\n    - {{params: [head.0.weight], lr: 2}}\n    \
             - {{params: [\"head.*\"], lr: 3}}\n"
        ),
    );
    check(
        "void-phase",
        "freeze: none\nschedule:\n  batch: 4\n  phases:\n    - {epochs: 1, freeze: [fc1, fc2]}\n    \
         - {epochs: 1, freeze: [fc1], optimizer: {sgd: 0.1, groups: [{params: [fc1], lr: 1}]}}\n",
    );
    fine(
        "freeze: [\"*\", \"!fc3\", \"fc3.bias\"]\noptimizer: {sgd: 0.1, groups: [{params: [\"*\"], lr: 1}, {params: [fc3], lr: 2}]}\n",
    );
    fine(
        "schedule: {batch: 4, phases: [{epochs: 1, freeze: [fc1]}, {epochs: 1, freeze: [fc1]}]}\noptimizer: {sgd: 0.1, groups: [{params: [fc2], lr: 1}]}\n",
    );
    // Frozen in one phase, trained in another.
    fine(
        "schedule: {batch: 4, phases: [{epochs: 1, freeze: [fc1]}, {epochs: 1, freeze: none}]}\noptimizer: {sgd: 0.1, groups: [{params: [fc1], lr: 1}]}\n",
    );
}

#[test]
fn losses_that_train_nothing() {
    check(
        "term-frozen",
        "freeze: all\nlayers:\n  head: {replaces: fc3, stack: [linear: 3]}\n  side: {from: relu1, stack: [softmax]}\n\
         loss:\n  task: {cross_entropy: {of: head}}\n  extra: {cross_entropy: {of: side}, weight: 0.5}\n",
    );
    check(
        "branch-idle",
        "freeze: all\nlayers:\n  head: {replaces: fc3, stack: [linear: 3]}\n  side: {from: relu1, stack: [linear: 2, relu]}\n\
         loss: {cross_entropy: {of: head}}\n",
    );
}

#[test]
fn layers_that_do_not_fit() {
    check(
        "layers",
        "freeze: all\nlayers:\n  head:\n    replaces: fc3\n    stack:\n      - linear: 4\n      - relu\n      - conv: {channels: 2, kernel: 3}\n  \
         other: {from: relu1, stack: [max_pool: 2]}\n  next: {from: other, stack: [linear: 3]}\n  spliced: {insert_after: relu2, stack: [average_pool: 2]}\n\
         loss: {cross_entropy: {of: head}}\n",
    );
    check(
        "layers-input",
        "model: {input: {image: [2, 4, 4]}}\nlayers: {net: {stack: [conv: {channels: 2, kernel: 5}, flatten, linear: 3]}}\n",
    );
    check(
        "layers-branch",
        "freeze: all\nlayers:\n  neck: {replaces: fc3, stack: [linear: 4]}\n  head: {from: neck, stack: [max_pool: 2]}\n",
    );
}
