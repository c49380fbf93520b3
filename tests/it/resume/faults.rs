//! What can go wrong around a run that is under way: the diagnostic, and that the last checkpoint is whole.

use super::{UNFREEZING, assert_left, left, spawned, unfreezing};
use crate::bad_input::assert_said;
use crate::scene::{Net, Scene, mlp};
use pipe::diag::Code;
use pipe::runtime::Event;
use pipe::world;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

#[test]
fn a_folder_that_is_taken_away() {
    let scene = unfreezing();
    let whole = scene.run(UNFREEZING, "whole");
    let (folder, aside) = (scene.path("runs/a/checkpoints"), scene.path("aside"));
    // Works for every user, root included: a file stands where the folder was.
    let taken = |event: &Event| {
        if matches!(event, Event::Step { step: 5, .. }) {
            std::fs::rename(&folder, &aside).unwrap();
            scene.write("runs/a/checkpoints", "a file");
        }
        false
    };
    let problems = scene.attempt(UNFREEZING, "a", false, &taken).unwrap_err();
    assert_eq!(problems[0].code(), Code::Io, "{problems:?}");
    world::remove(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    let resumed = scene.attempt(UNFREEZING, "a", true, &|_| false).unwrap();
    assert_eq!(whole.metrics, resumed.metrics);
    assert!(whole.model == resumed.model && whole.checkpoints() == resumed.checkpoints());
}

/// A command whose process may not pass over permissions, even as root; `None` where that cannot be had.
fn obedient(scene: &Scene, arguments: &[&str]) -> Option<Command> {
    let probe = scene.path("probe");
    world::create_dir_all(&probe).unwrap();
    std::fs::set_permissions(&probe, Permissions::from_mode(0o555)).unwrap();
    let pipe = env!("CARGO_BIN_EXE_pipe");
    let less = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"];
    for start in [&[][..], &[&["setpriv"][..], &less].concat()] {
        let command = |words: &[&str]| {
            let words = [start, words].concat();
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).current_dir(scene.path(""));
            command
        };
        let refused = command(&["sh", "-c", ": 2>/dev/null >probe/file"]).stderr(std::process::Stdio::null()).status();
        if refused.is_ok_and(|status| !status.success()) && !world::exists(&probe.join("file")) {
            // A program that cannot be started refuses as well.
            let works = command(&["true"]).status().is_ok_and(|status| status.success());
            return works.then(|| command(&[&[pipe], arguments].concat()));
        }
        world::remove(&probe.join("file")).unwrap();
    }
    None
}

#[test]
fn a_folder_that_may_not_be_written() {
    let scene = unfreezing();
    let mode = |path: &str, mode| std::fs::set_permissions(scene.path(path), Permissions::from_mode(mode)).unwrap();
    world::create_dir_all(&scene.path("locked")).unwrap();
    mode("locked", 0o555);
    let Some(mut refused) = obedient(&scene, &["run", "spec.yaml", "--fresh", "--out", "locked/out", "--quiet"]) else {
        return;
    };
    assert_said("folder-read-only", scene.outcome(&mut refused));
    // A run that loses its permission behind the first checkpoint.
    assert_eq!(
        scene.command(&["run", "spec.yaml", "--fresh", "--out", "whole", "--quiet"], &[]),
        (Some(0), String::new())
    );
    let whole = left(&scene, "whole");
    let cut = |event: &Event| matches!(event, Event::Step { step: 4, .. });
    scene.attempt(UNFREEZING, "a", false, &cut).unwrap_err();
    for (case, place) in [("lost-checkpoints", "runs/a/checkpoints"), ("lost-run", "runs/a")] {
        mode(place, 0o555);
        let resumed = obedient(&scene, &["run", "spec.yaml", "--fresh", "--out", "runs/a", "--resume", "--quiet"]);
        assert_said(case, scene.outcome(&mut resumed.unwrap()));
        mode(place, 0o755);
    }
    let again = ["run", "spec.yaml", "--fresh", "--out", "runs/a", "--resume", "--quiet"];
    assert_eq!(scene.command(&again, &[]), (Some(0), String::new()));
    assert_left(&scene, "runs/a", &whole, "permission came back");
}

const HEAD: &str = "version: 1
name: head
model: {source: mlp.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [linear: 3]}}
data: {sets: {train: {npz: train.npz}, test: {npz: test.npz}}}
loss: cross_entropy
optimizer: {sgd: {lr: 0.2, momentum: 0.9}}
schedule: {batch: 4, phases: [{epochs: 2}, {epochs: 2, freeze: {all_but: ['fc2.*']}}]}
";

#[test]
fn a_cache_that_is_deleted_under_a_run() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 13, &[6], 3);
    scene.samples("test.npz", 9, &[6], 3);
    let whole = scene.run(HEAD, "whole");
    world::remove(&scene.path("runs/cache")).unwrap();
    // The entries are mapped: who reads them does not notice, and the next phase makes the folder anew.
    let trains = |event: &Event| {
        if matches!(event, Event::Step { .. }) {
            world::remove(&scene.path("runs/cache")).unwrap();
        }
        false
    };
    let ran = scene.attempt(HEAD, "trains", false, &trains).unwrap();
    assert_eq!(whole.metrics, ran.metrics);
    assert!(whole.model == ran.model);
    // Gone while an entry is written: an error that the next try does not meet.
    world::remove(&scene.path("runs/cache")).unwrap();
    let fills = |event: &Event| {
        if matches!(event, Event::Progress { .. }) {
            world::remove(&scene.path("runs/cache")).unwrap();
        }
        false
    };
    match scene.attempt(HEAD, "fills", false, &fills) {
        Ok(ran) => assert!(whole.model == ran.model),
        Err(problems) => assert_eq!(problems[0].code(), Code::Io, "{problems:?}"),
    }
    let resumed = scene.attempt(HEAD, "fills", true, &|_| false).unwrap();
    assert_eq!(whole.metrics, resumed.metrics);
    assert!(whole.model == resumed.model);
}

#[test]
fn a_clock_that_is_set_back() {
    let scene = unfreezing();
    let whole = scene.run(UNFREEZING, "whole");
    let cut = |event: &Event| matches!(event, Event::Step { step: 5, .. });
    scene.attempt(UNFREEZING, "a", false, &cut).unwrap_err();
    // As the files look to a process whose clock stands years before or behind their times.
    let years = Duration::from_hours(20 * 365 * 24);
    for (at, times) in [(7, SystemTime::now() + years), (9, SystemTime::now() - years)] {
        for folder in ["", "runs/a", "runs/a/checkpoints"] {
            for (path, is_folder) in world::list_entries(&scene.path(folder)).unwrap() {
                if !is_folder {
                    File::options().append(true).open(path).unwrap().set_modified(times).unwrap();
                }
            }
        }
        let step = |event: &Event| matches!(event, Event::Step { step, .. } if *step == at);
        scene.attempt(UNFREEZING, "a", true, &step).unwrap_err();
    }
    let resumed = scene.attempt(UNFREEZING, "a", true, &|_| false).unwrap();
    assert_eq!(whole.metrics, resumed.metrics);
    assert!(whole.model == resumed.model && whole.checkpoints() == resumed.checkpoints());
}

#[test]
fn files_of_a_run_that_were_touched() {
    let scene = unfreezing();
    let cut = |event: &Event| matches!(event, Event::Step { step: 5, .. });
    scene.attempt(UNFREEZING, "a", false, &cut).unwrap_err();
    let again = ["run", "spec.yaml", "--fresh", "--out", "runs/a", "--resume", "--quiet"];
    let metrics = world::read(&scene.path("runs/a/metrics.jsonl")).unwrap();
    scene.write("runs/a/metrics.jsonl", &metrics[..100]);
    let refused = |words: &str| {
        let (status, said) = scene.command(&again, &[]);
        assert!(status == Some(1) && said.starts_with("P0603") && said.contains(words), "{said}");
    };
    refused("`runs/a/metrics.jsonl` lacks what was written before the checkpoint");
    world::remove(&scene.path("runs/a/metrics.jsonl")).unwrap();
    refused("`runs/a/metrics.jsonl` is gone");
    scene.write("runs/a/metrics.jsonl", &metrics);
    // The model was exchanged for one with other shapes.
    let model = world::read(&scene.path("cnn.onnx")).unwrap();
    let wider = Net::new(&[2, 6, 6]).conv("conv1", 2, 4).batch_norm("bn1", 4).op("relu1", "Relu").conv("conv2", 4, 7);
    let wider = wider.batch_norm("bn2", 7).op("pool", "GlobalAveragePool").op("flat", "Flatten").linear("fc", 7, 3);
    scene.model("cnn.onnx", &wider.done());
    assert_said("resume-other-model", scene.command(&again, &[]));
    scene.write("cnn.onnx", model);
    // As many samples as give another number of steps.
    let data = world::read(&scene.path("train.npz")).unwrap();
    scene.samples("train.npz", 40, &[2, 6, 6], 3);
    assert_said("resume-other-data", scene.command(&again, &[]));
    scene.write("train.npz", data);
    let mut child = spawned(&scene, &again);
    assert!(child.wait().unwrap().success());
    assert_said("resume-no-folder", scene.command(&["run", "spec.yaml", "--fresh", "--out", "gone", "--resume"], &[]));
}
