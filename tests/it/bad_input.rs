//! Bad input through the command: the exact words on standard error and the exit status, in `bad_input/<case>.txt`.
//! `PIPE_BLESS=1` rewrites the expectations. No case may end in a panic.
#![expect(clippy::disallowed_methods, reason = "some cases need a shell that limits the size of files")]

mod hostile;
mod not_finite;

pub(crate) use hostile::endless;

use crate::scene::{Net, Scene, assert_expected, cnn, mlp, weight, whole};
use pipe::ir::{Graph, Tensor, ValueId, onnx};
use pipe::runtime::Event;
use pipe::world;
use std::process::Command;

fn spec(rest: &str) -> String {
    whole("bad", rest) + "\n"
}

fn scene(graph: &Graph, sample: &[usize]) -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", graph);
    scene.samples("train.npz", 9, sample, 3);
    scene
}

fn small() -> Scene {
    scene(&mlp(), &[6])
}

/// Compares with what is expected of a case.
pub(crate) fn assert_said(case: &str, (status, said): (Option<i32>, String)) {
    assert!(!said.contains("panicked") && !said.contains("a bug in pipe") && !said.contains("P0009"), "{case}: {said}");
    assert_expected("bad_input", case, (status, said));
}

fn run(scene: &Scene, text: &str) -> (Option<i32>, String) {
    scene.write("spec.yaml", text);
    scene.command(&["run", "spec.yaml", "--out", "out", "--quiet"], &[])
}

/// Runs a spec over the small network and compares.
fn bad(case: &str, rest: &str) {
    assert_said(case, run(&small(), &spec(rest)));
}

#[test]
fn model_files() {
    let bytes = onnx::encode(&mlp());
    let with = |bytes: &[u8]| {
        let scene = small();
        scene.write("model.onnx", bytes);
        run(&scene, &spec("freeze: none"))
    };
    assert_said("model-truncated", with(&bytes[..bytes.len() / 2]));
    assert_said("model-garbage", with(b"\x93\x01 this is not a model \xff\xfe"));
    assert_said("model-empty", with(b""));
    assert_said("model-lfs", with(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"));
    bad("model-missing", "model: {source: modle.onnx}\nfreeze: none");
    let scene = small();
    scene.write("model.onnx", b"another file");
    let sum = "0".repeat(64);
    assert_said("model-checksum", run(&scene, &spec(&format!("model: {{source: model.onnx, sha256: '{sum}'}}"))));
}

#[test]
fn weights_that_are_not_numbers() {
    let mut graph = mlp();
    let value = graph.find("fc2.weight").unwrap();
    let mut weights: Vec<f32> = graph.constant(value).unwrap().to_vec().unwrap();
    weights[3] = f32::NAN;
    graph.initializers.insert(value, Tensor::new([5, 8], &weights));
    assert_said("weight-nan", run(&scene(&graph, &[6]), &spec("freeze: none")));
}

#[test]
fn operators_that_cannot_be_trained() {
    let matrix = |net: &mut Net, name: &str| -> ValueId {
        net.graph.add_initializer(name, Tensor::new([2, 2], &[1.0f32, 0.5, -0.25, 2.0]))
    };
    let mut net = Net::new(&[2, 2]);
    let weight = matrix(&mut net, "turn.weight");
    let shape = net.graph.add_initializer("shape", Tensor::vector(&[-1i64, 1]));
    let net = net.node("turn", "MatMul", &[weight], &[]).op("volume", "Det").node("column", "Reshape", &[shape], &[]);
    let graph = net.linear("fc", 1, 3).done();
    let scene = scene(&graph, &[2, 2]);
    assert_said("operator-without-rule", run(&scene, &spec("freeze: none")));
    // Without `freeze` the spec has no place for it but the model.
    assert_said("operator-without-rule-unfrozen", run(&scene, &spec("")));
    let phases = "schedule: {batch: 4, phases: [{epochs: 1, freeze: {all_but: ['fc.*']}}, {epochs: 1, freeze: none}, {epochs: 1, freeze: none}]}";
    assert_said("operator-without-rule-phase", run(&scene, &spec(phases)));
    assert!(!world::exists(&scene.path("out")), "no run was begun");
    // Behind a frozen prefix the same operator is welcome: what the help says works.
    assert_eq!(run(&scene, &spec("freeze: {before: volume}")), (Some(0), String::new()));
}

#[test]
fn operators_are_told_once_with_their_nodes() {
    let net = Net::new(&[6]).linear("fc1", 6, 3);
    let net = (0..7).fold(net, |net, i| net.op(&format!("sinh{i}"), "Sinh")).op("cosh", "Cosh").op("last", "Sinh");
    assert_said("operators-without-rules", run(&scene(&net.linear("fc2", 3, 3).done(), &[6]), &spec("freeze: none")));
}

#[test]
fn parameters_that_no_loss_reaches() {
    let layers = "layers: {a: {replaces: fc3, stack: [linear: 3]}, b.c: {from: relu1, stack: [linear: 2, linear: 2]}}";
    bad("loss-idle-branch", &format!("loss: {{cross_entropy: {{of: a}}}}\n{layers}"));
    // Two outputs of a model: the loss looks at one, `fc3` is behind the other.
    let mut graph = mlp();
    let hidden = graph.nodes[2].output(0).unwrap();
    graph.outputs.push(hidden);
    let name = graph.name(hidden).to_owned();
    let scene = scene(&graph, &[6]);
    let of = format!("loss: {{cross_entropy: {{of: {name}}}}}\n");
    assert_said("loss-not-reached", run(&scene, &spec(&of)));
    assert_said("loss-not-reached-frozen", run(&scene, &spec(&format!("freeze: ['fc1.*']\n{of}"))));
}

#[test]
fn layers_that_do_not_fit() {
    bad(
        "layer-shape",
        "freeze: all\nlayers: {head: {replaces: fc3, stack: [conv: {channels: 4, kernel: 3}, flatten, linear: 3]}}",
    );
    bad("layer-window", "model: {input: {image: [6]}}\nlayers: {net: {stack: [max_pool: 2, linear: 3]}}");
    bad("layer-node-unknown", "freeze: all\nlayers: {head: {replaces: fc33, stack: [linear: 3]}}");
    bad("layer-node-strange", "freeze: all\nlayers: {head: {from: encoder/pooler, stack: [linear: 3]}}");
}

#[test]
fn what_is_trained() {
    bad("frozen-everything", "freeze: all");
    bad("pattern-unmatched", "freeze: ['fc1.*', 'fc2.wieght', 'layer9.*']");
    bad("pattern-group", "freeze: none\noptimizer: {sgd: 0.1, groups: [{params: ['head.*'], lr: 0.01}]}");
    bad("pattern-regularizer", "freeze: none\nregularizer: [{l2: 0.1, params: ['fc7.*']}]");
    bad("lambda-negative", "freeze: none\nregularizer: {l2: -0.1}");
    bad("batch-zero", "freeze: none\nschedule: {epochs: 1, batch: 0}");
    bad("batch-dropped", "freeze: none\nschedule: {epochs: 1, batch: 10, last: drop}");
    bad("loss-units", "freeze: none\nloss: binary_cross_entropy");
}

#[test]
fn labels_and_samples() {
    bad("label-range", "freeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 2]}}");
    bad("data-missing", "freeze: none\ndata: {sets: {train: {npz: trian.npz}}}");
    bad("data-array", "freeze: none\ndata: {sets: {train: {npz: {path: train.npz, inputs: X}}}}");
    assert_said("data-shape", run(&scene(&mlp(), &[5]), &spec("freeze: none")));

    let scene = small();
    let x: Vec<f32> = (0..24).map(|i| if i == 13 { f32::INFINITY } else { i as f32 }).collect();
    scene.npz("train.npz", 4, &[6], &x, &[0, 1, 2, 0]);
    assert_said("data-infinite", run(&scene, &spec("freeze: none\nschedule: {epochs: 1, batch: 2, shuffle: false}")));
    scene.npz("train.npz", 0, &[6], &[], &[]);
    assert_said("data-no-samples", run(&scene, &spec("freeze: none")));
    scene.npz("train.npz", 2, &[6], &[0.5; 12], &[-1, 1]);
    assert_said("label-negative", run(&scene, &spec("freeze: none")));
    // A small set need not have a sample of the last class.
    scene.npz("train.npz", 3, &[6], &[0.5; 18], &[0, 1, 2]);
    scene.npz("test.npz", 2, &[6], &[0.5; 12], &[0, 1]);
    let both = "freeze: none\ndata: {sets: {train: {npz: train.npz}, test: {npz: test.npz}}}";
    assert!(scene.plan(&spec(both)).is_ok());
    let two = "freeze: none\nlayers: {two: {replaces: fc3, stack: [linear: 2]}, one: {from: relu2, stack: [linear: 1]}}\n\
               loss: {a: {cross_entropy: {of: two}}, b: {mse: {of: one}}}\n";
    scene.npz("train.npz", 3, &[6], &[0.5; 18], &[0, 1, 1]);
    assert_said("label-kinds", run(&scene, &spec(two)));
    let filled = "freeze: none\nlayers: {head: {replaces: fc3, stack: [linear: 3, {relu: {}, init: zeros}]}}\n";
    assert_said("init-nothing", run(&scene, &spec(filled)));
    scene.write("train.npz", &world::read(&scene.path("model.onnx")).unwrap()[..100]);
    assert_said("data-garbage", run(&scene, &spec("freeze: none")));
}

#[test]
fn tables() {
    let scene = small();
    let columns = |labels: &str, features: &str| {
        spec(&format!(
            "freeze: none\ndata: {{sets: {{train: {{csv: {{path: t.csv, labels: {labels}, features: {features}}}}}}}}}"
        ))
    };
    scene.write("t.csv", "a,b,c,d,e,f,sort\n1,2,3,4,5,6,x\n1,2,3,4,5,6,y\n3,2,1,4,5,6,z\n");
    assert_said("column-missing", run(&scene, &columns("sorts", "rest")));
    assert_said("column-feature", run(&scene, &columns("sort", "[a, b, c, d, e, g]")));
    scene.write("t.csv", "a,b,c,d,e,f,sort\n1,2,3,4,5,6,x\n1,2,three,4,5,6,y\n");
    assert_said("column-not-a-number", run(&scene, &columns("sort", "rest")));
    scene.write("t.csv", "a,b,c,d,e,f,sort\n1,2,3,4,5,6,x\n1,2,3\n");
    assert_said("column-short-row", run(&scene, &columns("sort", "rest")));
}

const IMAGES: &str = "
model: {input: {image: [3, 8, 8]}}
layers: {net: {stack: [conv: {channels: 2, kernel: 3}, relu, global_average_pool, linear: 2]}}
";

fn images() -> Scene {
    let scene = Scene::new();
    for class in ["cat", "dog"] {
        for i in 0..3u8 {
            scene.png(&format!("images/{class}/{i}.png"), 8, 8, 40 * i);
        }
    }
    scene
}

fn image_data(more: &str) -> String {
    spec(&format!("{IMAGES}data:\n  sets: {{train: {{image_folder: images}}}}\n{more}"))
}

#[test]
fn images_that_cannot_be_read() {
    let scene = images();
    let whole = world::read(&scene.path("images/dog/1.png")).unwrap();
    scene.write("images/dog/1.png", &whole[..60]);
    let transforms = "  transforms: [center_crop: 8, to_tensor]\n";
    assert_said("image-corrupt", run(&scene, &image_data(transforms)));
    let skip = format!("{transforms}  on_error: skip\n");
    scene.write("spec.yaml", image_data(&skip));
    assert_said("image-skipped", scene.command(&["run", "spec.yaml", "--out", "skip", "--quiet"], &[]));
    assert!(world::is_file(&scene.path("skip/model.onnx")), "a run that skips comes to its end");
    for class in ["cat", "dog"] {
        for i in 0..3 {
            scene.write(&format!("images/{class}/{i}.png"), b"\x89PNG\r\n\x1a\nnothing");
        }
    }
    scene.write("spec.yaml", image_data(&skip));
    assert_said("image-all-skipped", scene.command(&["run", "spec.yaml", "--out", "all", "--quiet"], &[]));
}

#[test]
fn image_folders() {
    let scene = images();
    world::create_dir_all(&scene.path("empty")).unwrap();
    let data = |path: &str| {
        spec(&format!(
            "{IMAGES}data: {{sets: {{train: {{image_folder: {path}}}}}, transforms: [center_crop: 8, to_tensor]}}"
        ))
    };
    assert_said("folder-empty", run(&scene, &data("empty")));
    assert_said("folder-missing", run(&scene, &data("imags")));
    world::create_dir_all(&scene.path("hollow/cat")).unwrap();
    assert_said("folder-without-images", run(&scene, &data("hollow")));
}

#[test]
fn transforms() {
    let scene = images();
    assert_said("transforms-end-in-an-image", run(&scene, &image_data("  transforms: [center_crop: 8]\n")));
    let sets = "data:\n  sets: {train: {image_folder: images}, test: {image_folder: images}}\n";
    let both = format!("{IMAGES}{sets}  transforms: [random_crop: 8, to_tensor]\n");
    assert_said("transforms-random-in-evaluation", run(&scene, &spec(&both)));
    assert_said("transforms-order", run(&scene, &image_data("  transforms: [to_tensor, center_crop: 8]\n")));
    assert_said("transforms-size", run(&scene, &image_data("  transforms: [resize: [9, 9], to_tensor]\n")));
    let carried = "  transforms: [center_crop: 8, to_tensor]\nexport: {preprocess: true}\n";
    assert_eq!(run(&scene, &image_data(carried)), (Some(0), String::new()));
}

#[test]
fn preprocessing_that_cannot_be_exported() {
    let export = "export: {preprocess: true}\n";
    let scene = images();
    let random = format!("  transforms: [random_crop: 8, to_tensor]\n{export}");
    assert_said("preprocess-random", run(&scene, &image_data(&random)));
    let sets = "data:\n  sets: {train: {cifar10: {path: cifar, split: train}}}\n  transforms: [to_tensor]\n";
    let row = [vec![3], vec![90; 3072]].concat();
    scene.write("cifar/data_batch_1.bin", row.repeat(4));
    (2..=5).for_each(|i| scene.write(&format!("cifar/data_batch_{i}.bin"), &row));
    let fixed = "model: {input: {image: [3, 32, 32]}}\nlayers: {net: {stack: [flatten, linear: 10]}}\n";
    assert_said("preprocess-one-size", run(&scene, &spec(&format!("{fixed}{sets}{export}"))));
    bad("preprocess-no-images", &format!("freeze: none\n{export}"));
}

#[test]
fn what_cannot_be_trained_or_exported_is_told_before_an_image_is_read() {
    let scene = images();
    let net = Net::new(&[3, 8, 8]).conv("conv", 3, 3).op("volume", "Det").linear("fc", 3, 2);
    scene.model("model.onnx", &net.done());
    for class in ["cat", "dog"] {
        for i in 0..3 {
            scene.write(&format!("images/{class}/{i}.png"), b"\x89PNG\r\n\x1a\nnothing");
        }
    }
    let text = "version: 1
name: early
model: {source: model.onnx}
freeze: none
layers:
  head: {replaces: fc, stack: [linear: 2]}
  idle: {from: volume, stack: [linear: 4]}
data:
  sets: {train: {image_folder: images}}
  transforms: {train: [center_crop: 8, to_tensor], eval: [center_crop: 8, random_crop: 8, to_tensor]}
loss: {cross_entropy: {of: head}}
optimizer: {sgd: 0.1}
schedule: {epochs: 1, batch: 4}
export: {preprocess: true}
";
    let said = run(&scene, text);
    assert_eq!(scene.command(&["plan", "spec.yaml"], &[]), said);
    assert!(!world::exists(&scene.path("out")), "no run was begun");
    assert_said("told-early", said);
}

#[test]
fn run_folders() {
    let scene = small();
    let text = spec("freeze: none");
    scene.write("occupied", "a file");
    scene.write("spec.yaml", &text);
    assert_said("out-below-a-file", scene.command(&["run", "spec.yaml", "--out", "occupied/out", "--quiet"], &[]));
    assert_said("resume-nothing", scene.command(&["run", "spec.yaml", "--resume", "--quiet"], &[]));
    assert_eq!(run(&scene, &text), (Some(0), String::new()));
    assert_said("out-in-use", run(&scene, &text));
    assert_said("spec-missing", scene.command(&["run", "specs.yaml"], &[]));
    assert_said("set-unknown", scene.command(&["run", "spec.yaml", "--set", "schedule.bacth=3"], &[]));
}

const LONG: &str = "freeze: none\nschedule: {epochs: 3, batch: 4}";

/// A run that was stopped in its second epoch.
fn stopped(scene: &Scene, text: &str) {
    let reached = |event: &Event| matches!(event, Event::Step { epoch: 2, .. });
    scene.attempt(text, "stopped", false, &reached).unwrap_err();
    scene.write("spec.yaml", text);
}

const RESUME: [&str; 6] = ["run", "spec.yaml", "--out", "runs/stopped", "--resume", "--quiet"];

#[test]
fn resumption() {
    let scene = small();
    stopped(&scene, &spec(LONG));
    scene.write("spec.yaml", spec(LONG).replace("sgd: 0.1", "sgd: 0.2"));
    assert_said("resume-edited", scene.command(&RESUME, &[]));
    // Where it runs may change.
    scene.write("spec.yaml", spec(LONG) + "runtime: {threads: 2}\n");
    assert_eq!(scene.command(&RESUME, &[]), (Some(0), String::new()));

    let scene = small();
    stopped(&scene, &spec(LONG));
    let latest = world::read(&scene.path("runs/stopped/checkpoints/latest.json")).unwrap();
    let latest: serde_json::Value = serde_json::from_slice(&latest).unwrap();
    let file = &format!("runs/stopped/checkpoints/{}", latest["file"].as_str().unwrap());
    let whole = world::read(&scene.path(file)).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    scene.write(file, &damaged);
    assert_said("checkpoint-damaged", scene.command(&RESUME, &[]));
    world::remove(&scene.path(file)).unwrap();
    assert_said("checkpoint-gone", scene.command(&RESUME, &[]));
    scene.write(file, &whole);
    let pointer = world::read(&scene.path("runs/stopped/checkpoints/latest.json")).unwrap();
    scene.write("runs/stopped/checkpoints/latest.json", &pointer[..pointer.len() / 2]);
    assert_said("checkpoint-pointer", scene.command(&RESUME, &[]));
    scene.write("runs/stopped/checkpoints/latest.json", pointer);
    assert_eq!(scene.command(&RESUME, &[]), (Some(0), String::new()));
}

#[test]
fn nothing_to_train_for() {
    // No epoch at all: evaluated and exported as it came.
    let scene = small();
    let none = spec("freeze: none\nschedule: {epochs: 0, batch: 4}\nevaluate: {datasets: [train]}");
    assert_eq!(run(&scene, &none), (Some(0), String::new()));
    let bytes = world::read(&scene.path("out/model.onnx")).unwrap();
    let exported = onnx::decode(&bytes, None).unwrap().graph;
    assert_eq!(weight(&exported, "fc2.weight"), weight(&mlp(), "fc2.weight"));
}

#[test]
fn divergence_leaves_the_last_checkpoint() {
    let scene = small();
    let text = spec("freeze: none\nschedule: {batch: 4, phases: [{epochs: 1}, {epochs: 20, optimizer: {sgd: 1e20}}]}");
    assert_said("loss-nan", run(&scene, &text));
    let again = ["run", "spec.yaml", "--out", "out", "--resume", "--quiet"];
    assert_said("loss-nan", scene.command(&again, &[]));
    assert!(!world::exists(&scene.path("out/model.onnx")), "nothing is exported");
}

#[test]
fn a_full_disk() {
    // 3 · 6000 weights: the checkpoint is larger than the 8 KiB that a file may have.
    let graph = Net::new(&[6]).linear("fc1", 6, 3000).op("relu", "Relu").linear("fc2", 3000, 3).done();
    let scene = scene(&graph, &[6]);
    let text = spec(LONG);
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_pipe")])
            .args(arguments);
        scene.outcome(&mut command)
    };
    scene.write("spec.yaml", &text);
    assert_said("disk-full", limited(&["run", "spec.yaml", "--out", "out", "--quiet"]));
    stopped(&scene, &text);
    assert_said("disk-full-resumed", limited(&RESUME));
    // The checkpoint that there was is intact.
    assert_eq!(scene.command(&RESUME, &[]), (Some(0), String::new()));
    let whole = scene.run(&text, "whole");
    assert!(whole.model == world::read(&scene.path("runs/stopped/model.onnx")).unwrap());
}

#[test]
fn a_missing_library() {
    let scene = small();
    scene.write("spec.yaml", spec("freeze: none"));
    let environment = [("ORT_DYLIB_PATH", "gone/libonnxruntime.so"), ("PIPE_ORT", "gone/libonnxruntime.so")];
    let (status, said) = scene.command(&["run", "spec.yaml", "--out", "out", "--quiet"], &environment);
    assert_said("library-missing", (status, said));
}

#[test]
fn several_problems_are_told_at_once() {
    let scene = scene(&cnn(), &[2, 6, 6]);
    let rest = "freeze: ['conv9.*', 'bn1.weigth']\nregularizer: {l2: -1}\nschedule: {epochs: 1, batch: 0}\nevaluate: {datasets: [tset]}";
    assert_said("several", run(&scene, &spec(rest)));
}
