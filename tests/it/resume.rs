//! Runs that are killed with their process, at moments drawn from a seed, and go on with `--resume`: the same bytes as without.
#![expect(clippy::disallowed_methods, reason = "real processes are started, watched and killed")]

mod edited;
mod faults;

use crate::scene::{Scene, cnn, mlp};
use pipe::runtime::RunFolder;
use pipe::world;
use pipe::world::rng::Key;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Unfreezing in three phases with dropout, accumulation, averages, early stopping, partial last batches, the last of them with batch
/// statistics, and the best epoch exported.
const UNFREEZING: &str = "
version: 1
name: unfreezing
seed: 5
model: {source: cnn.onnx}
freeze: all
layers: {head: {replaces: fc, stack: [linear: 8, relu, dropout: 0.4, linear: 3]}}
data:
  sets: {train: {npz: train.npz}}
  validation: {from: train, fraction: 0.25, stratify: true}
loss: cross_entropy
regularizer: {l2_sp: 0.01}
optimizer: {adamw: {lr: 0.3}, ema: 0.5}
schedule:
  batch: 4
  accumulate: 2
  lr: {cosine: {warmup: 1}}
  phases:
    - {epochs: 9}
    - {epochs: 2, freeze: {all_but: ['conv2.*', 'bn2.*']}, optimizer: {adamw: {lr: 0.003}, ema: 0.8, clip_norm: 1}}
    - {steps: 5, freeze: none, optimizer: {sgd: {lr: 0.01, momentum: 0.9}, ema: 0.8}}
  stop: {watch: validation.loss, patience: 1}
  keep: {best: validation.loss, last: 2}
evaluate: {metrics: [accuracy]}
";

const AUGMENTED: &str = "
version: 1
name: augmented
model: {input: {image: [3, 8, 8]}}
layers: {net: {stack: [conv: {channels: 4, kernel: 3}, relu, dropout: 0.2, global_average_pool, linear: 2]}}
data:
  sets: {train: {image_folder: images}}
  transforms:
    train: [random_crop: 8, horizontal_flip, color_jitter: {brightness: 0.3}, to_tensor]
    eval: [center_crop: 8, to_tensor]
loss: cross_entropy
optimizer: {sgd: {lr: 0.1, momentum: 0.9}}
schedule: {epochs: 8, batch: 4}
evaluate: {datasets: [train]}
";

const HEAD: &str = "
version: 1
name: head
model: {source: mlp.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [linear: 3]}}
data: {sets: {train: {npz: train.npz}, test: {npz: test.npz}}}
loss: cross_entropy
optimizer: {sgd: {lr: 0.2, momentum: 0.9}}
schedule: {epochs: 3, batch: 500}
";

fn unfreezing() -> Scene {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 19, &[2, 6, 6], 3);
    scene.write("spec.yaml", UNFREEZING);
    scene
}

/// What a run left in a folder that must be the same bytes whatever happened to it: all but times, the empty lock, and
/// the way from there to the spec.
fn left(scene: &Scene, out: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = scene.path(out);
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for (path, is_folder) in world::list_entries(&folder).unwrap() {
            if is_folder {
                folders.push(path);
            } else if !["timing.jsonl", ".lock", "lock"].iter().any(|name| path.ends_with(name)) {
                found.insert(path.strip_prefix(&root).unwrap().to_owned(), world::read(&path).unwrap());
            }
        }
    }
    found
}

fn assert_left(scene: &Scene, out: &str, whole: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    let found = left(scene, out);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(whole), "{what}");
    for (name, bytes) in &found {
        assert!(*bytes == whole[name], "{} differs: {what}", name.display());
    }
}

/// When a process is killed.
#[derive(Debug)]
enum Moment {
    /// After this share of the time that a whole run takes.
    Share(f64),
    /// As soon as a file with such a name is made in a folder; at the latest when a whole run would end.
    Made(PathBuf, &'static str),
}

impl Moment {
    fn draw(scene: &Scene, out: &str, rng: &mut pipe::world::rng::Rng) -> Self {
        let files = [
            (out, ".writing-"),
            (out, "metrics"),
            (out, "model"),
            ("checkpoints", ".writing-"),
            ("checkpoints", "latest"),
            ("checkpoints", "0"),
            (".pipe/cache/features", ".writing-"),
            (".pipe/cache/steps", ".writing-"),
        ];
        match rng.below(2 * files.len()) {
            index if index < files.len() => {
                let (folder, name) = files[index];
                let folder = if folder == "checkpoints" { format!("{out}/checkpoints") } else { folder.to_owned() };
                Self::Made(scene.path(&folder), name)
            }
            _ => Self::Share(rng.uniform()),
        }
    }
}

fn spawned(scene: &Scene, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
    command.args(arguments).current_dir(scene.path("")).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// Starts a run and kills it; `false` when it came to its end before.
fn killed(scene: &Scene, arguments: &[&str], moment: &Moment, whole: Duration) -> bool {
    let names =
        |folder: &PathBuf| if world::is_folder(folder) { world::list_dir(folder).unwrap_or_default() } else { vec![] };
    let before = if let Moment::Made(folder, _) = moment { names(folder) } else { vec![] };
    let began = Instant::now();
    let mut child = spawned(scene, arguments);
    loop {
        let due = match moment {
            Moment::Share(share) => began.elapsed().as_secs_f64() >= share * whole.as_secs_f64(),
            Moment::Made(folder, start) => {
                names(folder).iter().any(|path| {
                    path.file_name().unwrap().to_string_lossy().starts_with(start) && !before.contains(path)
                }) || began.elapsed() >= whole
            }
        };
        if due {
            child.kill().unwrap();
        }
        let ended = if due { Some(child.wait().unwrap()) } else { child.try_wait().unwrap() };
        if let Some(status) = ended {
            assert!(status.success() || due, "{status} at {moment:?}");
            return !status.success();
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Runs a spec whole, then `trials` times with up to `kills` kills, and compares. On a machine that others slow down by turns a process may
/// end before its moment; there are more trials then.
fn kill_and_resume(scene: &Scene, seed: &str, trials: usize, kills: usize) -> BTreeMap<PathBuf, Vec<u8>> {
    let began = Instant::now();
    let (status, said) = scene.command(&["run", "spec.yaml", "--fresh", "--out", "whole", "--quiet"], &[]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let mut time = began.elapsed();
    let whole = left(scene, "whole");
    let mut rng = Key::new(11).named(seed).rng();
    let (mut killed_in_all, mut with_checkpoint) = (0, 0);
    let enough = |killed, behind| killed >= 2 * trials && behind > 0;
    for trial in 0..5 * trials {
        if trial >= trials && enough(killed_in_all, with_checkpoint) {
            break;
        }
        world::remove(&scene.path(".pipe")).unwrap();
        let out = format!("trial{trial}");
        let mut story = Vec::new();
        for kill in 0..=kills {
            let moment = if kill < kills { Moment::draw(scene, &out, &mut rng) } else { Moment::Share(f64::INFINITY) };
            let mut arguments = vec!["run", "spec.yaml", "--out", &out, "--quiet"];
            if world::exists(&scene.path(&out)) {
                arguments.push("--resume");
            }
            let began = Instant::now();
            if !killed(scene, &arguments, &moment, time) {
                // What a whole run takes now.
                if !arguments.contains(&"--resume") {
                    time = time.min(began.elapsed());
                }
                break;
            }
            story.push(format!("{moment:?}"));
            killed_in_all += 1;
            with_checkpoint += usize::from(world::exists(&scene.path(&out).join("checkpoints/latest.json")));
        }
        assert_left(scene, &out, &whole, &format!("{story:#?}"));
    }
    let counts = format!("{killed_in_all} kills, {with_checkpoint} behind a checkpoint");
    assert!(enough(killed_in_all, with_checkpoint), "{counts}");
    whole
}

#[test]
fn killed_while_it_unfreezes() {
    let whole = kill_and_resume(&unfreezing(), "unfreezing", 3, 9);
    let metrics = String::from_utf8(whole[&PathBuf::from("metrics.jsonl")].clone()).unwrap();
    assert!(metrics.contains(r#""event":"stopped""#), "patience ran out somewhere:\n{metrics}");
    assert_eq!(metrics.matches(r#""event":"phase""#).count(), 3, "each phase has begun once");
}

#[test]
fn killed_while_it_augments() {
    let scene = Scene::new();
    for (class, level) in [("dark", 20), ("bright", 140)] {
        for i in 0..5u8 {
            scene.png(&format!("images/{class}/{i}.png"), 10, 9, level + 7 * i);
        }
    }
    scene.write("spec.yaml", AUGMENTED);
    let whole = kill_and_resume(&scene, "augmented", 2, 7);
    assert!(whole.contains_key(&PathBuf::from("model.image.onnx")));
}

#[test]
fn killed_while_it_fills_the_cache() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 4000, &[6], 3);
    scene.samples("test.npz", 4000, &[6], 3);
    scene.write("spec.yaml", HEAD);
    kill_and_resume(&scene, "head", 2, 7);
}

#[test]
fn a_run_goes_on_from_wherever_it_was_cut() {
    let scene = unfreezing();
    let run = |out: &str, more: &[&str]| {
        let arguments = [&["run", "spec.yaml", "--fresh", "--out", out, "--quiet"], more].concat();
        assert_eq!(scene.command(&arguments, &[]), (Some(0), String::new()), "{out}");
    };
    run("whole", &[]);
    let whole = left(&scene, "whole");
    let trained = ["summary.json", "model.onnx"];
    let begun = [&trained[..], &["checkpoints/latest.json"]].concat();
    let cuts: [(&str, &[&str]); 5] = [
        ("after-export", &trained[..1]),
        ("before-export", &trained),
        ("before-the-first-checkpoint", &begun),
        ("before-metrics", &[&begun[..], &["metrics.jsonl", "timing.jsonl"]].concat()),
        ("before-the-spec", &[&begun[..], &["metrics.jsonl", "timing.jsonl", "spec.yaml"]].concat()),
    ];
    for (out, gone) in cuts {
        for (name, bytes) in whole.iter().filter(|(name, _)| !gone.iter().any(|gone| name.ends_with(gone))) {
            scene.write(&format!("{out}/{}", name.display()), bytes);
        }
        // What a process leaves behind that dies while it writes.
        scene.write(&format!("{out}/.writing-abc"), "half");
        scene.write(&format!("{out}/checkpoints/.writing-abc"), "half");
        scene.write(&format!("{out}/checkpoints/00000999.safetensors"), "not committed");
        if !gone.contains(&"timing.jsonl") {
            scene.write(&format!("{out}/timing.jsonl"), "{\"seconds\":1.0,\"phase\":1}\n{\"seconds\":2.0,\"st");
        }
        run(out, &["--resume"]);
        if gone.contains(&"checkpoints/latest.json") {
            assert_left(&scene, out, &whole, out);
        } else {
            // Nothing was left to train, so no checkpoint was written that takes the stray one away.
            world::remove(&scene.path(out).join("checkpoints/00000999.safetensors")).unwrap();
            assert_left(&scene, out, &whole, out);
        }
        let times = world::read_to_string(&scene.path(out).join("timing.jsonl")).unwrap();
        assert!(times.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{out}: {times}");
    }
    // A finished run is left alone.
    let (status, said, _) = scene.outputs(&["run", "spec.yaml", "--fresh", "--out", "whole", "--resume"]);
    assert_eq!((status, said.as_str()), (Some(0), "whole is finished\n"));
    assert_left(&scene, "whole", &whole, "finished");
}

#[test]
fn one_process_at_a_time_works_in_a_folder() {
    let scene = unfreezing();
    let again = ["run", "spec.yaml", "--fresh", "--out", "runs/a", "--resume", "--quiet"];
    world::create_dir_all(&scene.path("runs/a")).unwrap();
    let held = RunFolder::at(&scene.path("runs/a"), true).unwrap().hold().unwrap();
    crate::bad_input::assert_said("resume-twice", scene.command(&again, &[]));
    drop(held);
    assert_eq!(scene.command(&again, &[]), (Some(0), String::new()));
    // Runs that start at once get numbers of their own.
    let mut children: Vec<Child> =
        (0..3).map(|_| spawned(&scene, &["run", "spec.yaml", "--fresh", "--quiet"])).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let numbers = world::list_dir(&scene.path("runs/unfreezing")).unwrap();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    let first = left(&scene, "runs/unfreezing/001");
    for number in ["002", "003"] {
        assert_left(&scene, &format!("runs/unfreezing/{number}"), &first, number);
    }
}
