//! Going on under an edited spec: longer, or with another end; anything else is refused with what differs.

use crate::bad_input::assert_said;
use crate::scene::{Ran, Scene, mlp};
use pipe::diag::Code;
use pipe::runtime::Event;
use pipe::world;

const BASE: &str = "version: 1
name: edited
model: {source: mlp.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [dropout: 0.2, linear: 3]}}
data:
  sets: {train: {npz: train.npz}}
  validation: {from: train, fraction: 0.2}
loss: cross_entropy
optimizer: {sgd: {lr: 0.2, momentum: 0.9}, ema: 0.9}
";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 16, &[6], 3);
    scene
}

fn spec(schedule: &str) -> String {
    format!("{BASE}schedule: {{batch: 4, {schedule}}}\n")
}

/// A run to its end under one spec, then on under another.
fn grown(scene: &Scene, out: &str, first: &str, then: &str) -> Ran {
    scene.run(first, out);
    scene.attempt(then, out, true, &|_| false).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Metrics of steps and final evaluations.
fn steps(ran: &Ran) -> Vec<&str> {
    let of = |line: &&str| line.contains(r#""event":"step""#) || line.contains(r#""last":true"#);
    ran.metrics.lines().filter(of).collect()
}

#[test]
fn a_longer_run_is_the_one_that_was_long_from_its_start() {
    let scene = scene();
    // 13 samples are trained on: four steps an epoch. Seven and ten steps end inside an epoch.
    for (name, short, long) in
        [("epochs", "epochs: 2", "epochs: 4"), ("inside", "steps: 7", "steps: 10"), ("even", "steps: 8", "steps: 9")]
    {
        let straight = scene.run(&spec(long), &format!("{name}-straight"));
        let ran = grown(&scene, name, &spec(short), &spec(long));
        assert_eq!(steps(&straight), steps(&ran), "{name}");
        assert!(straight.model == ran.model, "{name}");
        assert_eq!(ran.metrics.matches(r#""event":"extended""#).count(), 1, "{}", ran.metrics);
        // Killed on the way: the line is there once, and all else is the same.
        let out = format!("{name}-cut");
        scene.run(&spec(short), &out);
        let cut = scene.attempt(&spec(long), &out, true, &|event| matches!(event, Event::Step { step: 9, .. }));
        assert_eq!(cut.unwrap_err()[0].code(), Code::Interrupted);
        let again = scene.attempt(&spec(long), &out, true, &|_| false).unwrap();
        assert_eq!((&again.metrics, &again.summary), (&ran.metrics, &ran.summary), "{name}");
        assert!(again.model == ran.model, "{name}");
    }
}

#[test]
fn phases_to_come_may_grow() {
    let scene = scene();
    let phases =
        |first: u32, second: u32| spec(&format!("phases: [{{epochs: {first}}}, {{epochs: {second}, freeze: none}}]"));
    let reached = |event: &Event| matches!(event, Event::Step { phase: 1, epoch: 2, .. });
    scene.attempt(&phases(2, 1), "a", false, &reached).unwrap_err();
    let straight = scene.run(&phases(3, 2), "straight");
    let ran = scene.attempt(&phases(3, 2), "a", true, &|_| false).unwrap();
    assert!(straight.model == ran.model);
    // The first has ended by then.
    let problems = scene.attempt(&phases(4, 2), "a", true, &|_| false).unwrap_err();
    assert_eq!(problems[0].code(), Code::ResumeChanged);
    assert!(problems[0].notes()[0].ends_with("that phase has ended"), "{problems:?}");
    assert!(scene.attempt(&phases(3, 3), "a", true, &|_| false).is_ok());
}

#[test]
fn the_end_may_be_put_off_or_brought_forward() {
    let scene = scene();
    let stop = |patience: u32| {
        spec(&format!("epochs: 6, stop: {{watch: validation.loss, patience: {patience}}}")).replace("lr: 0.2", "lr: 2")
    };
    let impatient = scene.run(&stop(1), "a");
    let epochs = |ran: &Ran| ran.metrics.lines().filter(|line| line.contains(r#""last":false"#)).count();
    assert!(epochs(&impatient) < 6, "{}", impatient.metrics);
    let patient = scene.attempt(&stop(50), "a", true, &|_| false).unwrap();
    assert_eq!(epochs(&patient), 6);
    let straight = scene.run(&stop(50), "straight");
    assert!(straight.model == patient.model);
    // Under the same spec nothing is left to do.
    let again = scene.attempt(&stop(50), "a", true, &|_| false).unwrap();
    assert!(again.losses().is_empty() && again.model == patient.model);
    // Without `stop` at all.
    let endless = spec("epochs: 6").replace("lr: 0.2", "lr: 2");
    scene.run(&stop(1), "b");
    assert_eq!(epochs(&scene.attempt(&endless, "b", true, &|_| false).unwrap()), 6);
}

const RESUME: [&str; 7] = ["run", "spec.yaml", "--fresh", "--out", "out", "--resume", "--quiet"];

#[test]
fn the_command_shows_what_differs() {
    let scene = scene();
    let cosine = |epochs: u32| spec(&format!("epochs: {epochs}, lr: cosine"));
    scene.write("spec.yaml", cosine(2));
    assert_eq!(
        scene.command(&["run", "spec.yaml", "--fresh", "--out", "out", "--quiet"], &[]),
        (Some(0), String::new())
    );
    let short = world::read(&scene.path("out/model.onnx")).unwrap();
    let edited = cosine(2)
        .replace("lr: 0.2", "lr: 0.1")
        .replace("linear: 3", "linear: 3, relu")
        .replace("fraction: 0.2", "fraction: 0.3");
    scene.write("spec.yaml", edited + "seed: 7\n");
    assert_said("resume-edited-much", scene.command(&RESUME, &[]));
    scene.write("spec.yaml", cosine(2));
    let set = [&RESUME[..], &["--set", "schedule.batch=2"]].concat();
    assert_said("resume-edited-set", scene.command(&set, &[]));
    scene.write("spec.yaml", cosine(1));
    assert_said("resume-shorter", scene.command(&RESUME, &[]));
    // What was refused has changed nothing.
    scene.write("spec.yaml", cosine(2));
    let (status, said, _) = scene.outputs(&RESUME[..6]);
    assert_eq!((status, said.as_str()), (Some(0), "out is finished\n"));
    // Finished, and longer now.
    scene.write("spec.yaml", cosine(3));
    assert_said("resume-longer-cosine", scene.command(&RESUME, &[]));
    assert!(world::is_file(&scene.path("out/summary.json")));
    assert!(short != world::read(&scene.path("out/model.onnx")).unwrap());
    assert!(world::read_to_string(&scene.path("out/spec.yaml")).unwrap().contains("epochs: 3"));
}

#[test]
fn before_the_first_checkpoint_the_folder_knows_the_spec() {
    let scene = scene();
    scene.write("spec.yaml", spec("epochs: 2"));
    assert_eq!(
        scene.command(&["run", "spec.yaml", "--fresh", "--out", "whole", "--quiet"], &[]),
        (Some(0), String::new())
    );
    scene.write("out/spec.yaml", world::read(&scene.path("whole/spec.yaml")).unwrap());
    scene.write("spec.yaml", spec("epochs: 2").replace("ema: 0.9", "ema: 0.8"));
    assert_said("resume-edited-early", scene.command(&RESUME, &[]));
    scene.write("spec.yaml", spec("epochs: 3"));
    assert_eq!(scene.command(&RESUME, &[]), (Some(0), String::new()));
}
