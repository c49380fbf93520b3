//! Runs as a whole: the same bytes twice, the same bytes after an interruption, and the frozen prefix from the cache.

use crate::scene::{Ran, Scene, assert_close, cnn, mlp};
use pipe::diag::Code;
use pipe::runtime::Event;
use pipe::world;

/// Two phases with unfreezing, dropout, accumulation, a partial last batch, a validation set, and the best epoch exported.
const UNFREEZING: &str = "
version: 1
name: unfreezing
seed: 5
model: {source: cnn.onnx}
freeze: all
layers:
  head: {replaces: fc, stack: [linear: 8, relu, dropout: 0.4, linear: 3]}
data:
  sets: {train: {npz: train.npz}}
  validation: {from: train, fraction: 0.25, stratify: true}
loss: cross_entropy
regularizer: {l2_sp: 0.01}
optimizer: {adamw: {lr: 0.01}}
schedule:
  batch: 4
  accumulate: 2
  lr: {cosine: {warmup: 1}}
  phases:
    - {epochs: 2}
    - {epochs: 2, freeze: {all_but: ['conv2.*', 'bn2.*']}, optimizer: {adamw: {lr: 0.003}}}
  keep: {best: validation.loss, last: 2}
evaluate: {metrics: [accuracy]}
";

fn unfreezing() -> Scene {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 19, &[2, 6, 6], 3);
    scene
}

fn assert_same(a: &Ran, b: &Ran, what: &str) {
    assert_eq!(a.metrics, b.metrics, "{what}");
    assert_eq!(a.summary, b.summary, "{what}");
    assert!(a.model == b.model, "model.onnx differs: {what}");
    assert!(a.checkpoints() == b.checkpoints(), "checkpoints differ: {what}");
}

#[test]
fn the_same_spec_gives_the_same_bytes() {
    let scene = unfreezing();
    let first = scene.run(UNFREEZING, "first");
    // 14 samples of the 19 are trained on: batches of 4, 4, 4 and 2, two of them a step.
    assert_eq!(first.losses().len(), 8);
    assert_eq!(first.checkpoints().len(), 3, "two and their pointer");
    assert_same(&first, &scene.run(UNFREEZING, "again"), "again");
    for threads in [1, 2, 3] {
        let spec = format!("{UNFREEZING}runtime: {{threads: {threads}, cache: {{limit: 0}}}}\n");
        let other = scene.run(&spec, &format!("threads{threads}"));
        let features = format!("{UNFREEZING}runtime: {{threads: {threads}}}\n");
        assert_same(&first, &scene.run(&features, &format!("features{threads}")), &format!("{threads} threads"));
        assert_eq!(other.losses().len(), 8);
    }
    let seed = UNFREEZING.replace("seed: 5", "seed: 6");
    assert_ne!(first.metrics, scene.run(&seed, "seed").metrics, "another seed, other numbers");
}

#[test]
fn augmented_images_do_not_depend_on_the_number_of_threads() {
    let scene = Scene::new();
    for (class, level) in [("dark", 20), ("bright", 140)] {
        for i in 0..5u8 {
            scene.png(&format!("images/{class}/{i}.png"), 10, 9, level + 7 * i);
        }
    }
    let spec = |threads: usize| {
        format!(
            "
version: 1
name: augmented
model: {{input: {{image: [3, 8, 8]}}}}
layers:
  net: {{stack: [conv: {{channels: 4, kernel: 3}}, relu, dropout: 0.2, global_average_pool, linear: 2]}}
data:
  sets: {{train: {{image_folder: images}}}}
  transforms:
    train: [random_crop: 8, horizontal_flip, color_jitter: {{brightness: 0.3}}, to_tensor]
    eval: [center_crop: 8, to_tensor]
loss: cross_entropy
optimizer: {{sgd: {{lr: 0.1, momentum: 0.9}}}}
schedule: {{epochs: 3, batch: 4}}
runtime: {{threads: {threads}}}
"
        )
    };
    let one = scene.run(&spec(1), "one");
    assert_same(&one, &scene.run(&spec(2), "two"), "two threads");
    // ONNX Runtime sums over all but the channels in another order once there are more threads than channels.
    assert_same(&one, &scene.run(&spec(4), "four"), "four threads");
    let first: Vec<f64> = one.losses().into_iter().take(3).collect();
    assert!(!one.losses()[3..].windows(3).any(|epoch| epoch == first), "every epoch draws anew");
}

#[test]
fn an_interrupted_run_goes_on_as_if_nothing_had_happened() {
    let scene = unfreezing();
    let whole = scene.run(UNFREEZING, "whole");
    let steps = whole.losses().len() as u64;
    for at in 1..=steps {
        let out = format!("step{at}");
        let reached = |event: &Event| matches!(event, Event::Step { step, .. } if *step == at);
        let problems = scene.attempt(UNFREEZING, &out, false, &reached).unwrap_err();
        assert_eq!(problems[0].code(), Code::Interrupted, "{problems:?}");
        let resumed = scene.attempt(UNFREEZING, &out, true, &|_| false).unwrap();
        assert_same(&whole, &resumed, &format!("stopped at step {at}"));
        // It went on from that step, not from the epoch before.
        let left = resumed.losses().len() as u64;
        assert_eq!(left, steps - at, "stopped at step {at}");
    }
}

#[test]
fn a_run_may_be_stopped_at_every_step() {
    let scene = unfreezing();
    let whole = scene.run(UNFREEZING, "whole");
    let stepped = |event: &Event| matches!(event, Event::Step { .. });
    let steps = whole.losses().len();
    for step in 0..steps {
        scene.attempt(UNFREEZING, "often", step > 0, &stepped).unwrap_err();
        let files = world::list_dir(&scene.path("runs/often/checkpoints")).unwrap();
        let stopped = files.iter().filter(|path| path.to_string_lossy().contains("stopped")).count();
        assert!(stopped <= 1, "{files:?}");
    }
    let last = scene.attempt(UNFREEZING, "often", true, &|_| false).unwrap();
    assert_same(&whole, &last, "stopped at every step");
}

#[test]
fn other_weights_or_samples_of_the_same_size_are_noticed() {
    let scene = unfreezing();
    let reached = |event: &Event| matches!(event, Event::Step { step: 3, .. });
    scene.attempt(UNFREEZING, "out", false, &reached).unwrap_err();
    let data = world::read(&scene.path("train.npz")).unwrap();
    scene.samples("other.npz", 19, &[2, 6, 6], 3);
    scene.write("train.npz", world::read(&scene.path("other.npz")).unwrap());
    let problems = scene.attempt(UNFREEZING, "out", true, &|_| false).unwrap_err();
    assert_eq!(problems[0].code(), Code::CheckpointBad, "{problems:?}");
    scene.write("train.npz", data);
    let mut graph = cnn();
    let value = graph.find("conv1.weight").unwrap();
    let weight = graph.constant(value).unwrap();
    let doubled: Vec<f32> = weight.to_vec::<f32>().unwrap().iter().map(|x| 2.0 * x).collect();
    let doubled = pipe::ir::Tensor::new(weight.shape().to_vec(), &doubled);
    graph.initializers.insert(value, doubled);
    scene.model("cnn.onnx", &graph);
    let problems = scene.attempt(UNFREEZING, "out", true, &|_| false).unwrap_err();
    assert_eq!(problems[0].code(), Code::CheckpointBad, "{problems:?}");
    scene.model("cnn.onnx", &cnn());
    scene.attempt(UNFREEZING, "out", true, &|_| false).unwrap();
}

#[test]
fn a_run_may_be_interrupted_after_every_epoch() {
    let scene = unfreezing();
    let whole = scene.run(UNFREEZING, "whole");
    let evaluated = |event: &Event| matches!(event, Event::Evaluated { last: false, .. });
    for epoch in 0..4 {
        let problems = scene.attempt(UNFREEZING, "often", epoch > 0, &evaluated).unwrap_err();
        assert_eq!(problems[0].code(), Code::Interrupted, "{problems:?}");
    }
    let last = scene.attempt(UNFREEZING, "often", true, &evaluated).unwrap();
    assert_same(&whole, &last, "stopped after every epoch");
    assert_eq!(last.losses().len(), 0, "nothing was left to train");
}

#[test]
fn bytes_behind_the_checkpoint_are_cut_off() {
    let scene = unfreezing();
    let whole = scene.run(UNFREEZING, "whole");
    let reached = |event: &Event| matches!(event, Event::Step { step: 5, .. });
    scene.attempt(UNFREEZING, "torn", false, &reached).unwrap_err();
    let metrics = scene.path("runs/torn/metrics.jsonl");
    let torn = world::read_to_string(&metrics).unwrap() + "{\"event\":\"step\",\"ph";
    scene.write("runs/torn/metrics.jsonl", torn);
    // A file that was being written when the process died.
    scene.write("runs/torn/checkpoints/.writing-abc", b"half");
    let resumed = scene.attempt(UNFREEZING, "torn", true, &|_| false).unwrap();
    assert_eq!(whole.metrics, resumed.metrics);
    assert!(whole.model == resumed.model);
}

const HEAD: &str = "
version: 1
name: head
model: {source: mlp.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [linear: 3]}}
data: {sets: {train: {npz: train.npz}, test: {npz: test.npz}}}
loss: cross_entropy
optimizer: {sgd: {lr: 0.2, momentum: 0.9}}
schedule: {epochs: 3, batch: 4}
evaluate: {metrics: [accuracy]}
";

#[test]
fn the_frozen_prefix_is_computed_once() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 13, &[6], 3);
    scene.samples("test.npz", 9, &[6], 3);
    let plan = scene.plan(HEAD).unwrap();
    let text = plan.describe();
    assert!(text.contains("run once for each sample") && text.contains("starts from cached"), "{text}");
    let off = format!("{HEAD}runtime: {{cache: {{limit: 0}}}}\n");
    let text = scene.plan(&off).unwrap().describe();
    assert!(text.contains("whole network every step") && !text.contains("starts from cached"), "{text}");

    let cached = |ran: &Ran| ran.events.iter().filter(|event| matches!(event, Event::Cached { .. })).count();
    let first = scene.run(HEAD, "first");
    let second = scene.run(HEAD, "second");
    let whole = scene.run(&off, "whole");
    assert_eq!((cached(&first), cached(&second), cached(&whole)), (0, 2, 0));
    assert_same(&first, &second, "features from the cache");
    for (a, b) in first.losses().iter().zip(whole.losses()) {
        assert!((a - b).abs() <= 1e-5 * b.abs(), "{a} from features, {b} without");
    }
    assert_close(&first.weight("head.0.weight"), &whole.weight("head.0.weight"), 1e-5);
    assert!((first.score("test", "loss") - whole.score("test", "loss")).abs() < 1e-5);

    // Other samples are other features: nothing of the cache may be taken for them.
    scene.samples("other.npz", 13, &[6], 3);
    let other = scene.run(&HEAD.replace("train.npz", "other.npz"), "other");
    assert_eq!(cached(&other), 1, "those of `test` only");
    assert_ne!(first.losses(), other.losses());
}

#[test]
fn a_damaged_feature_file_is_made_again() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 13, &[6], 3);
    scene.samples("test.npz", 9, &[6], 3);
    let first = scene.run(HEAD, "first");
    let mut damaged = 0;
    for folder in world::list_dir(&scene.path("runs/cache")).unwrap() {
        let files = if world::is_folder(&folder) { world::list_dir(&folder).unwrap() } else { vec![folder] };
        for file in files {
            let bytes = world::read(&file).unwrap();
            world::write_atomic(&file, |out| out.write_all(&bytes[..bytes.len() / 2])).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged >= 2);
    assert_same(&first, &scene.run(HEAD, "second"), "half of every cached file is gone");
}
