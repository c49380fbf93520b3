//! `extends` through files: chains, folders, places in the file that is wrong, and everything that can be wrong with a base.
//! What is said stands in `extending/<case>.txt`; `PIPE_BLESS=1` rewrites it.

use crate::scene::{Scene, assert_expected};
use pipe::plan;
use pipe::spec::{Parsed, identity, to_yaml};
use pipe::world;

const BASE: &str = "\
version: 1
name: base
vars: {rate: 0.1, folder: data}
model: {source: model.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [linear: 3]}}
data: {sets: {train: {npz: \"${folder}/train.npz\"}, test: {npz: other/test.npz}}}
loss: cross_entropy
optimizer: {sgd: {lr: \"${rate}\", momentum: 0.9}}
schedule: {epochs: 2, batch: 4}
";

fn scene(files: &[(&str, &str)]) -> Scene {
    let scene = Scene::new();
    for (name, text) in files {
        scene.write(name, text);
    }
    scene
}

fn load(scene: &Scene, name: &str, sets: &[&str]) -> Parsed {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    plan::load(&scene.path(name), &sets).unwrap()
}

fn text(parsed: &Parsed) -> String {
    let spec = parsed.spec.as_ref().unwrap_or_else(|| panic!("{}", pipe::diag::render(&parsed.diagnostics, false)));
    to_yaml(spec).unwrap()
}

/// Compares what the command says about `spec.yaml` with what is expected of a case.
fn assert_said(case: &str, scene: &Scene, args: &[&str]) {
    assert_expected("extending", case, scene.command(&[&["check", "spec.yaml"][..], args].concat(), &[]));
}

#[test]
fn a_chain_of_files_is_one_spec() {
    let scene = scene(&[
        ("base.yaml", BASE),
        ("middle.yaml", "extends: base.yaml\nname: middle\nfreeze: null\noptimizer: {sgd: {lr: 0.2}}\n"),
        ("spec.yaml", "extends: middle.yaml\nname: child\nschedule: {steps: 7}\noptimizer: {adamw: 0.3}\n"),
    ]);
    let middle = load(&scene, "middle.yaml", &[]);
    assert!(text(&middle).contains("momentum: 0.9") && !text(&middle).contains("freeze"), "{}", text(&middle));
    let child = load(&scene, "spec.yaml", &[]);
    assert!(child.diagnostics.is_empty(), "a variable of a base need not be used: {:?}", child.diagnostics);
    assert_eq!(child.bases.len(), 2);
    let spec = child.spec.unwrap();
    assert_eq!((spec.name.as_str(), spec.schedule.epochs, spec.schedule.steps), ("child", None, Some(7)));
    assert_eq!((spec.schedule.batch, spec.optimizer.rule.kind.as_str()), (4, "adamw"));
}

#[test]
fn variables_and_overrides_come_over_the_base() {
    let scene = scene(&[("base.yaml", BASE), ("spec.yaml", "extends: base.yaml\nvars: {rate: 0.5}\n")]);
    let rate = |sets: &[&str]| load(&scene, "spec.yaml", sets).spec.unwrap().optimizer.rule.config["lr"].clone();
    assert_eq!(rate(&[]), 0.5);
    assert_eq!(rate(&["vars.rate=0.7"]), 0.7);
    assert_eq!(rate(&["optimizer.sgd.lr=0.9"]), 0.9);
}

#[test]
fn paths_start_from_the_file_that_they_stand_in() {
    let scene = scene(&[
        ("shared/base.yaml", BASE),
        ("shared/more/middle.yaml", "extends: ../base.yaml\nmodel: {source: own.onnx}\n"),
        ("specs/spec.yaml", "extends: ../shared/more/middle.yaml\n"),
        (
            "specs/own.yaml",
            "extends: ../shared/base.yaml\nvars: {folder: mine}\ndata: {sets: {test: {npz: here.npz}}}\n",
        ),
        ("specs/run.yaml", "extends: ../shared/base.yaml\nmodel: {source: 'run://first'}\n"),
    ]);
    let said = text(&load(&scene, "specs/spec.yaml", &[]));
    for path in ["../shared/more/own.onnx", "../shared/more/../data/train.npz", "../shared/more/../other/test.npz"] {
        assert!(said.contains(path), "no {path}: {said}");
    }
    let own = text(&load(&scene, "specs/own.yaml", &[]));
    // The variable was written here, and so was the other path.
    for path in ["path: mine/train.npz", "path: here.npz", "source: ../shared/model.onnx"] {
        assert!(own.contains(path), "no {path}: {own}");
    }
    let set = text(&load(&scene, "specs/own.yaml", &["model.source=given.onnx"]));
    assert!(set.contains("source: given.onnx"), "{set}");
    assert!(text(&load(&scene, "specs/run.yaml", &[])).contains("source: run://first"));
    // The whole is what the plan opens: a base in another folder runs with its own data.
    scene.model("shared/model.onnx", &crate::scene::mlp());
    scene.samples("shared/data/train.npz", 9, &[6], 3);
    scene.samples("shared/other/test.npz", 5, &[6], 3);
    scene.write("specs/whole.yaml", "extends: ../shared/base.yaml\nname: whole\n");
    let (status, _, said) = scene.outputs(&["run", "specs/whole.yaml", "--quiet"]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert!(world::is_file(&scene.path("specs/runs/whole/001/model.onnx")));
}

#[test]
fn the_same_values_are_the_same_run() {
    let scene = scene(&[("base.yaml", BASE), ("spec.yaml", "extends: base.yaml\noptimizer: {sgd: {lr: 0.2}}\n")]);
    scene.write("flat.yaml", BASE.replace("vars: {rate: 0.1,", "vars: {rate: 0.2,"));
    let spec = |name: &str| identity(&load(&scene, name, &[]).spec.unwrap());
    assert_eq!(spec("spec.yaml"), spec("flat.yaml"));
}

#[test]
fn what_is_wrong_is_shown_in_its_own_file() {
    let wrong = BASE.replace("batch: 4", "batch: 0").replace("momentum", "momentun");
    let child = "extends: base.yaml\nname: child\nseed: -1\nlayers: {head: {stack: [linear: many]}}\n";
    assert_said("own-file", &scene(&[("base.yaml", &wrong), ("spec.yaml", child)]), &[]);
    // An override points at the command line, whatever lies below it.
    let scene = scene(&[("base.yaml", BASE), ("spec.yaml", "extends: base.yaml\n")]);
    assert_said("override", &scene, &["--set", "schedule.batch=0"]);
    // A key that the merged spec lacks is missed in the spec that was asked for.
    scene.write("spec.yaml", "extends: base.yaml\nloss: null\nlimt: null\n");
    assert_said("taken-away", &scene, &[]);
    scene.write("spec.yaml", "extends: base.yaml\nschedule: {epoch: 3}\n");
    assert_said("conflict-of-keys", &scene, &[]);
}

#[test]
fn bases_that_cannot_be_read() {
    let with = scene;
    assert_said("missing", &with(&[("spec.yaml", "extends: modle.yaml\n")]), &[]);
    assert_said(
        "missing-below",
        &with(&[("base.yaml", "extends: gone.yaml\n"), ("spec.yaml", "extends: base.yaml\n")]),
        &[],
    );
    assert_said("folder", &with(&[("base/spec.yaml", ""), ("spec.yaml", "extends: base\n")]), &[]);
    assert_said("list", &with(&[("spec.yaml", "extends: [a.yaml, b.yaml]\n")]), &[]);
    assert_said("variable", &with(&[("spec.yaml", "vars: {a: b.yaml}\nextends: ${a}\n")]), &[]);
    assert_said("no-map", &with(&[("base.yaml", "- 1\n"), ("spec.yaml", "extends: base.yaml\n")]), &[]);
    assert_said("no-yaml", &with(&[("base.yaml", "a: [1\n"), ("spec.yaml", "extends: base.yaml\n")]), &[]);
    assert_said(
        "from-the-command-line",
        &with(&[("base.yaml", BASE), ("spec.yaml", BASE)]),
        &["--set", "extends=base.yaml"],
    );
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 900\n", "0".repeat(64));
    assert_said("pointer", &with(&[("base.yaml", &pointer), ("spec.yaml", "extends: base.yaml\n")]), &[]);
}

#[test]
fn circles_and_long_chains_end() {
    let circle =
        [("spec.yaml", "extends: a.yaml\n"), ("a.yaml", "extends: b.yaml\n"), ("b.yaml", "extends: ./a.yaml\n")];
    assert_said("circle", &scene(&circle), &[]);
    assert_said("itself", &scene(&[("spec.yaml", "extends: spec.yaml\n")]), &[]);
    let scene = Scene::new();
    for i in 0..12 {
        scene.write(&format!("{i}.yaml"), format!("extends: {}.yaml\n", i + 1));
    }
    scene.write("12.yaml", BASE);
    scene.write("spec.yaml", "extends: 0.yaml\n");
    assert_said("depth", &scene, &[]);
    // Eight are read.
    scene.write("spec.yaml", "extends: 5.yaml\n");
    assert!(load(&scene, "spec.yaml", &[]).spec.is_some());
}
