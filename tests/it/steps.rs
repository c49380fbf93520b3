//! Steps that are served from the cache: what is unchanged is not run again, and what is served is what would have been made.

use crate::scene::{Ran, Scene, cnn};
use pipe::runtime::Event;
use pipe::world::{self, Store};

const SPEC: &str = "
version: 1
name: steps
seed: 5
model: {source: cnn.onnx}
freeze: all
layers:
  head: {replaces: fc, stack: [linear: 8, relu, dropout: 0.4, linear: 3]}
data:
  sets: {train: {npz: train.npz}, test: {npz: test.npz}, other: {npz: other.npz}}
loss: cross_entropy
optimizer: {adamw: {lr: 0.01}}
schedule:
  batch: 4
  phases:
    - {epochs: 2}
    - {epochs: 2, freeze: {all_but: ['conv2.*', 'bn2.*']}, optimizer: {adamw: {lr: 0.003}}}
  keep: {best: test.loss}
evaluate: {metrics: [accuracy]}
";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    for (name, count) in [("train.npz", 14), ("test.npz", 9), ("other.npz", 9)] {
        scene.samples(name, count, &[2, 6, 6], 3);
    }
    scene
}

/// What was served, in order.
fn served(ran: &Ran) -> Vec<&str> {
    let what = |event: &'_ Event| matches!(event, Event::Cached { .. });
    let served = ran.events.iter().filter(|event| what(event));
    served.filter_map(|event| if let Event::Cached { what, .. } = event { Some(what.as_str()) } else { None }).collect()
}

fn assert_same(a: &Ran, b: &Ran, what: &str) {
    assert_eq!(a.metrics, b.metrics, "{what}");
    assert_eq!(a.summary, b.summary, "{what}");
    assert!(a.model == b.model, "model.onnx differs: {what}");
}

#[test]
fn what_is_unchanged_is_not_run_again() {
    let scene = scene();
    let first = scene.reuse(SPEC, "first");
    assert!(served(&first).is_empty(), "{:?}", served(&first));
    let again = scene.reuse(SPEC, "again");
    let all = ["train phase 1", "train phase 2", "evaluate other", "evaluate test", "export"];
    assert_eq!(served(&again), all, "and no features, which nothing needs");
    assert_same(&first, &again, "served");
    assert_eq!(first.checkpoints(), again.checkpoints());
    // A run without a cache is the same too.
    assert_same(&first, &scene.run(&format!("{SPEC}runtime: {{cache: {{limit: 0}}}}\n"), "none"), "no cache");
}

#[test]
fn what_changed_runs_with_all_that_hangs_on_it() {
    let scene = scene();
    scene.reuse(SPEC, "first");
    let reused = |spec: &str, out: &str| {
        let ran = scene.reuse(spec, out);
        let fresh = scene.run(spec, &format!("{out}-fresh"));
        assert_same(&ran, &fresh, out);
        served(&ran).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let both = ["features train", "features test", "features train", "features test", "features other"];
    let metric = SPEC.replace("metrics: [accuracy]", "metrics: [accuracy, f1]");
    assert_eq!(reused(&metric, "metric"), both, "metrics are told in training too");
    let other = SPEC.replace("other: {npz: other.npz}", "other: {npz: other.npz, limit: 5}");
    assert_eq!(reused(&other, "limit"), ["train phase 1", "train phase 2", "evaluate test"]);
    let later = SPEC.replace("lr: 0.003", "lr: 0.002");
    assert_eq!(reused(&later, "later"), ["train phase 1", "features train", "features test", "features other"]);
    let named = SPEC.replace("name: steps", "name: others");
    assert_eq!(reused(&named, "named"), ["train phase 1", "train phase 2", "evaluate other", "evaluate test"]);
    // Other samples under the same name.
    scene.samples("train.npz", 15, &[2, 6, 6], 3);
    assert_eq!(reused(SPEC, "data"), ["features test", "features test", "features other"]);
}

#[test]
fn the_plan_says_what_will_run_and_why() {
    let scene = scene();
    scene.write("spec.yaml", SPEC);
    let plan = |args: &[&str]| {
        let (status, out, problems) = scene.outputs(&[&["plan", "spec.yaml"], args].concat());
        assert_eq!(status, Some(0), "{problems}");
        out
    };
    let text = plan(&[]);
    assert_eq!(text.matches("to run: the cache has nothing like it").count(), 10, "{text}");
    assert_eq!(scene.outputs(&["run", "spec.yaml", "--quiet"]).0, Some(0));
    let text = plan(&[]);
    assert_eq!(text.matches("    cached\n").count(), 5, "{text}");
    assert_eq!(text.matches("not needed: what it is for is cached").count(), 5, "{text}");
    let text = plan(&["--set", "schedule.phases.1.epochs=3"]);
    assert!(text.contains("to run: changed since it was last made: length\n"), "{text}");
    assert!(text.contains("to run: changed since it was last made: trained weights\n"), "{text}");

    let value: serde_json::Value = serde_json::from_str(&plan(&["--json"])).unwrap();
    let steps = value["steps"].as_array().unwrap();
    let training: Vec<_> = steps.iter().filter(|step| step["step"] == "train").collect();
    assert_eq!(training.len(), 2);
    assert_eq!((&training[0]["state"], &training[0]["trained_parameters"]), (&"cached".into(), &83.into()));
    // The parts of the memory are all of it.
    let memory = value["memory"].as_object().unwrap();
    let parts: u64 = memory.iter().filter(|(part, _)| *part != "total").filter_map(|(_, bytes)| bytes.as_u64()).sum();
    assert_eq!((memory["total"].as_u64(), memory["process"].as_u64()), (Some(parts), Some(62 << 20)), "{value:#}");
    assert!(text.contains("\nmemory     about ") && text.contains("process 62.0 MiB"), "{text}");
    assert!(training[1]["needs"].as_array().unwrap().contains(&training[0]["id"]), "{value:#}");
    assert!(plan(&["--dot"]).starts_with("digraph plan {") && plan(&["--mermaid"]).starts_with("flowchart LR\n"));

    let (status, list, _) = scene.outputs(&["cache", "ls", "spec.yaml"]);
    assert!(status == Some(0) && list.contains("steps: train phase 2") && list.contains("10 entries"), "{list}");
    let (_, gone, _) = scene.outputs(&["cache", "gc", "--all"]);
    assert!(gone.starts_with("removed 10 entries"), "{gone}");
    assert!(scene.outputs(&["cache", "ls"]).1.starts_with("0 entries"));
}

#[test]
fn a_torn_entry_is_made_again() {
    let scene = scene();
    let first = scene.reuse(SPEC, "first");
    let store = Store::at(scene.path("runs/cache"));
    for entry in store.list().unwrap() {
        let path = store.path(&entry.kind, &entry.digest);
        let mut bytes = world::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        world::write_atomic(&path, |out| out.write_all(&bytes)).unwrap();
    }
    let again = scene.reuse(SPEC, "again");
    let steps: Vec<_> = served(&again).into_iter().filter(|what| !what.starts_with("features")).collect();
    assert!(steps.is_empty(), "{steps:?}");
    // Of features only the end is looked at; they are made again when it is torn.
    for entry in store.list().unwrap().iter().filter(|entry| entry.kind == "features") {
        world::remove(&store.path(&entry.kind, &entry.digest)).unwrap();
    }
    let fresh = SPEC.replace("seed: 5", "seed: 6");
    assert!(served(&scene.reuse(&fresh, "fresh")).is_empty());
    assert_eq!(first.summary.files, again.summary.files);
}

#[test]
fn a_run_that_failed_at_a_step_starts_there() {
    let scene = scene();
    let third = |event: &Event| matches!(event, Event::Step { phase: 2, .. });
    scene.attempt(SPEC, "failed", false, &third).unwrap_err();
    let again = scene.reuse(SPEC, "again");
    assert_eq!(served(&again), ["train phase 1", "features train", "features test", "features other"]);
    assert_same(&again, &scene.run(SPEC, "whole"), "after a failure");
}

#[test]
fn two_processes_share_the_work() {
    let scene = scene();
    scene.write("spec.yaml", SPEC);
    let outcomes = std::thread::scope(|scope| {
        let run = |out: &'static str| scene.outputs(&["run", "spec.yaml", "--out", out]);
        let workers = ["a", "b", "c"].map(|out| scope.spawn(move || run(out)));
        workers.map(|worker| worker.join().unwrap())
    });
    let mut trained = 0;
    for (status, out, problems) in &outcomes {
        assert_eq!(*status, Some(0), "{problems}");
        trained += out.matches("parameters, 8 steps").count();
    }
    assert_eq!(trained, 2, "each phase once: {outcomes:?}");
    let read = |out: &str, file: &str| world::read(&scene.path(out).join(file)).unwrap();
    for file in ["metrics.jsonl", "model.onnx", "summary.json"] {
        assert!(read("a", file) == read("b", file) && read("a", file) == read("c", file), "{file} differs");
    }
}

/// Numbers that f32 holds without rounding, whatever the machine: another digest means that training gives other bytes, and then
/// `TRAIN` in `plan/keys.rs` has to change together with it.
#[test]
fn training_gives_the_bytes_of_its_revision() {
    let scene = Scene::new();
    let x: Vec<f32> = (0..12).map(|i| [1.0, -1.0, 2.0, 0.0, 1.0][i % 5]).collect();
    scene.npz("train.npz", 6, &[2], &x, &[0, 1, 1, 0, 1, 0]);
    let spec = "
version: 1
name: exact
seed: 3
model: {input: {x: [2]}}
layers: {net: {stack: [linear: {units: 1}]}}
data: {sets: {train: {npz: train.npz}}}
loss: mse
regularizer: {l2: 0.5}
optimizer: {sgd: {lr: 0.25, momentum: 0.5}}
schedule: {epochs: 2, batch: 2, accumulate: 2}
";
    let spec = spec.replace("[linear: {units: 1}]", "[{linear: {units: 1, bias: false}, init: zeros}]");
    let ran = scene.run(&spec, "exact");
    let mut hasher = blake3::Hasher::new();
    hasher.update(ran.metrics.as_bytes());
    for weight in ran.weight("net.0.weight") {
        hasher.update(&weight.to_le_bytes());
    }
    assert_eq!(&hasher.finalize().to_hex()[..16], "40ac7765a756682d", "{}", ran.metrics);
}
