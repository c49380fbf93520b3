//! `pipe check` as CI calls it: depths, formats, files, and what the GitHub Action and the pre-commit hook run.
#![expect(clippy::disallowed_methods, reason = "shells are run as CI runs them")]

use crate::scene::{Scene, mlp};
use pipe::world;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const GOOD: &str = "
version: 1
name: good
model: {source: mlp.onnx}
freeze: all
layers: {head: {replaces: fc3, stack: [linear: 3]}}
data: {sets: {train: {npz: train.npz}}}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1}}
schedule: {epochs: 1, batch: 4}
";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 10, &[6], 3);
    scene.write("good.yaml", GOOD);
    scene.write("specs/bad.yaml", GOOD.replace("sgd: {lr", "sgd: {learning_rate"));
    scene.write("specs/deep/warned.yml", GOOD.to_owned() + "vars: {unused: 1}\n");
    scene.write("specs/other.yaml", "services: {web: {image: nginx}}\n");
    scene.write("specs/runs/good/001/spec.yaml", "version: 1\nmodel: {}\n");
    scene
}

#[test]
fn folders_and_patterns_name_specs() {
    let scene = scene();
    world::create_dir_all(&scene.path("empty")).unwrap();
    let (status, out, said) = scene.outputs(&["check", "good.yaml", "specs"]);
    assert_eq!(status, Some(2));
    assert_eq!(out, "ok good.yaml\nok specs/deep/warned.yml\n3 specs, 1 error, 1 warning\n");
    assert!(said.contains("did you mean `lr`?") && said.contains("never used"), "{said}");
    let (status, out, _) = scene.outputs(&["check", "**/*.yml", "good.yaml", "./good.yaml"]);
    assert_eq!((status, out.lines().count()), (Some(0), 4), "{out}");
    assert_eq!(scene.outputs(&["check", "--deny", "warnings", "**/*.yml"]).0, Some(2));
    let (status, _, said) = scene.outputs(&["check", "none/*.yaml", "empty"]);
    assert_eq!((status, said.matches("names no spec").count()), (Some(2), 2), "{said}");
    let (status, _, said) = scene.outputs(&["check", "gone.yaml"]);
    assert!(status == Some(2) && said.starts_with("P0002"), "{said}");
}

#[test]
fn programs_get_lines_sarif_and_annotations() {
    let scene = scene();
    let (_, out, _) = scene.outputs(&["check", "--format", "json", "specs"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["code"].as_str(), lines[0]["labels"][0]["line"].as_u64()), (Some("P0204"), Some(9)));
    let (status, out, _) = scene.outputs(&["check", "--format", "sarif", "specs", "good.yaml"]);
    assert_eq!(status, Some(2));
    let sarif: Value = serde_json::from_str(&out).unwrap();
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!((sarif["version"].as_str(), results.len()), (Some("2.1.0"), 2));
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "specs/bad.yaml");
    assert_eq!(place["region"], serde_json::json!({"startLine": 9, "startColumn": 19, "endLine": 9, "endColumn": 32}));
    let rule = results[0]["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], results[0]["ruleId"]);
    let (_, out, _) = scene.outputs(&["check", "--format", "github", "specs"]);
    let first = "::error file=specs/bad.yaml,line=9,endLine=9,col=19,endColumn=32,title=P0204::unknown key `learning_rate` in `sgd`";
    assert!(out.starts_with(first), "{out}");
    assert!(out.contains("%0Ahelp: ") && out.lines().count() == 2, "{out}");
    assert!(out.contains("\n::warning file=specs/deep/warned.yml,"), "{out}");
}

#[test]
fn programs_get_places_that_they_can_open() {
    let scene = scene();
    let outside = Scene::new();
    outside.write("a b/ü.yaml", GOOD.replace("sgd: {lr", "sgd: {learning_rate"));
    let sarif = |args: &[&str]| -> Value {
        let (_, out, _) = scene.outputs(&[&["check", "--format", "sarif"], args].concat());
        serde_json::from_str::<Value>(&out).unwrap()["runs"][0]["results"][0].take()
    };
    let place = |result: &Value| result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone();
    // What is wrong on the command line alone is said of the spec, and with its text.
    let set = ["good.yaml", "--set", "schedule.batch=many"];
    let found = sarif(&set);
    assert_eq!((place(&found), &found["relatedLocations"]), ("good.yaml".into(), &serde_json::json!([])));
    assert!(found["message"]["text"].as_str().unwrap().contains("`--set schedule.batch=many`"), "{found}");
    let (_, out, _) = scene.outputs(&[&["check", "--format", "github"], &set[..]].concat());
    assert!(out.starts_with("::error file=good.yaml,title=P0"), "{out}");
    // What is wrong in both points at the file.
    let found = sarif(&["good.yaml", "--set", "schedule.steps=7"]);
    assert_eq!((place(&found), &found["relatedLocations"]), ("good.yaml".into(), &serde_json::json!([])));
    // Absolute paths are those of the folder where that is so.
    let inside = scene.path("specs/bad.yaml");
    assert_eq!(place(&sarif(&[inside.to_str().unwrap()])), "specs/bad.yaml");
    let (_, out, _) = scene.outputs(&["check", "--format", "github", inside.to_str().unwrap()]);
    assert!(out.starts_with("::error file=specs/bad.yaml,line=9,"), "{out}");
    let away = outside.path("a b/ü.yaml");
    let uri = place(&sarif(&[away.to_str().unwrap()]));
    let uri = uri.as_str().unwrap();
    assert!(uri.starts_with("file:///") && uri.ends_with("/a%20b/%C3%BC.yaml"), "{uri}");
}

#[test]
fn the_model_is_read_without_the_data() {
    let scene = scene();
    let check = |text: &str, args: &[&str]| {
        scene.write("spec.yaml", text);
        scene.outputs(&[&["check", "spec.yaml"], args].concat())
    };
    let lost = GOOD.replace("fc3", "fc4");
    assert_eq!(check(&lost, &[]).0, Some(0), "the text alone does not know the model");
    let (status, _, said) = check(&lost, &["--model"]);
    assert!(status == Some(2) && said.contains("P0305") && said.contains("fc3"), "{said}");
    // Data that CI does not have is a note, and no warning.
    world::remove(&scene.path("train.npz")).unwrap();
    let (status, out, said) = check(GOOD, &["--model", "--deny", "warnings"]);
    assert_eq!((status, out.as_str()), (Some(0), "ok spec.yaml\n"), "{said}");
    assert!(said.starts_with("note: ") && said.contains("train.npz") && said.contains("was not looked at"), "{said}");
    let (status, _, said) = check(GOOD, &["--data"]);
    assert!(status == Some(2) && said.starts_with("P0501"), "{said}");
    // A set that is absent hides nothing of those that are there, and no error makes it one.
    scene.samples("test.npz", 4, &[7], 3);
    let two = GOOD.replace("{npz: train.npz}", "{npz: train.npz}, test: {npz: test.npz}");
    let (status, out, said) = check(&two, &["--model"]);
    assert!(status == Some(2) && said.contains("P0505") && said.contains("note: "), "{said}");
    assert_eq!(out, "1 spec, 1 error, 0 warnings\n");
    let (status, _, said) = check(&two.replace("test.npz", "good.yaml"), &["--model"]);
    assert!(status == Some(2) && !said.contains("P0501") && said.contains("P0502"), "{said}");
    assert!(said.contains("note: ") && said.contains("train.npz"), "{said}");
    for (format, start) in [
        ("json", "{\"file\":\"spec.yaml\",\"severity\":\"note\""),
        ("github", "::notice file=spec.yaml::"),
        ("sarif", "{\n"),
    ] {
        let (status, out, _) = check(GOOD, &["--model", "--format", format]);
        assert!(status == Some(0) && out.starts_with(start) && out.contains("was not looked at"), "{out}");
    }
    // All that can be said is, also without data: shapes, patterns, gradients.
    let wrong =
        GOOD.replace("freeze: all", "freeze: [fc9.*]").replace("[linear: 3]", "[conv: {channels: 2, kernel: 3}]");
    let (status, _, said) = check(&wrong, &["--model"]);
    assert!(status == Some(2) && said.contains("P0307"), "{said}");
    let (status, _, said) = check(&GOOD.replace("freeze: all", "freeze: [\"fc9.*\"]"), &["--model"]);
    assert!(status == Some(2) && said.contains("P0304"), "{said}");
}

#[test]
fn pictures_have_a_shape_before_they_are_there() {
    let scene = Scene::new();
    let text = "
version: 1
name: pictures
model: {input: {image: [3, 8, 8]}}
layers: {net: {stack: [flatten, linear: 2]}}
data: {sets: {train: {image_folder: pictures}}, transforms: [resize: [8, 8], to_tensor]}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1}}
schedule: {epochs: 1, batch: 4}
";
    scene.write("spec.yaml", text);
    assert_eq!(scene.outputs(&["check", "--model", "spec.yaml"]).0, Some(0));
    scene.write("spec.yaml", text.replace("[8, 8], to", "[9, 8], to"));
    let (status, _, said) = scene.outputs(&["check", "--model", "spec.yaml"]);
    assert!(status == Some(2) && said.contains("P0505") && said.contains("[3, 9, 8]"), "{said}");
    scene.write("spec.yaml", text.replace(", to_tensor", ""));
    let (status, _, said) = scene.outputs(&["check", "--model", "spec.yaml"]);
    assert!(status == Some(2) && said.contains("end as images"), "{said}");
    // With the data every sample is decoded.
    scene.write("spec.yaml", text);
    for (class, file) in [("a", "0.png"), ("a", "1.png"), ("b", "2.png")] {
        scene.png(&format!("pictures/{class}/{file}"), 9, 9, 100);
    }
    let (status, out, _) = scene.outputs(&["check", "--data", "spec.yaml"]);
    assert_eq!((status, out.as_str()), (Some(0), "ok spec.yaml, samples read: `train` 3\n"));
    scene.write("pictures/a/1.png", b"\x89PNG\r\n\x1a\nnothing");
    scene.write("pictures/b/3.png", b"");
    let (status, _, said) = scene.outputs(&["check", "--data", "spec.yaml"]);
    assert!(status == Some(2) && said.contains("2 of 4 samples of `train` cannot be read"), "{said}");
    assert!(said.contains("1.png") && said.contains("3.png"), "{said}");
}

/// A text file of the repository.
fn shipped(name: &str) -> String {
    world::read_to_string(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A shell in the scene's folder with `pipe` on the path.
fn shell(scene: &Scene, script: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = Path::new(env!("CARGO_BIN_EXE_pipe")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).env("PATH", path);
    let done = command.envs(environment.iter().copied()).current_dir(scene.path("")).output().unwrap();
    (done.status.code(), String::from_utf8(done.stdout).unwrap())
}

#[test]
fn the_action_runs_what_it_says() {
    let scene = scene();
    let action: Value = serde_saphyr::from_str(&shipped("action.yml")).unwrap();
    let steps = action["runs"]["steps"].as_array().unwrap();
    let scripts: Vec<&str> = steps.iter().map(|step| step["run"].as_str().unwrap()).collect();
    assert_eq!(shell(&scene, scripts[0], &[]), (Some(0), String::new()), "an installed `pipe` is used");
    // Where there is none it is built from the action itself, so that the version is the one after `@`.
    let bare = format!("cargo() {{ echo \"$@\"; }}; command() {{ return 1; }}; {}", scripts[0]);
    let built = shell(&scene, &bare, &[("GITHUB_ACTION_PATH", "the action/v1")]);
    assert_eq!(built, (Some(0), "install --locked --path the action/v1\n".to_owned()));
    // Every input reaches the step, and its default is what the test sets.
    let inputs = action["inputs"].as_object().unwrap();
    let given = steps[1]["env"].as_object().unwrap();
    let mut usual: Vec<(String, String)> = Vec::new();
    for (name, input) in inputs {
        let wanted = format!("${{{{ inputs.{name} }}}}");
        let variable = given.iter().find(|(_, value)| **value == wanted.as_str()).unwrap_or_else(|| panic!("{name}"));
        usual.push((variable.0.clone(), input["default"].as_str().unwrap().to_owned()));
    }
    let run = |changed: &[(&str, &str)]| {
        let mut all: Vec<(&str, &str)> = usual.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend(changed);
        shell(&scene, scripts[1], &all)
    };
    let (status, out) = run(&[]);
    assert!(status == Some(2) && out.starts_with("::error file=specs/bad.yaml,line=9,"), "{out}");
    assert_eq!(run(&[("FILES", "good.yaml specs/**/*.yml")]).0, Some(0));
    assert_eq!(run(&[("FILES", "specs/**/*.yml"), ("DENY", "true")]).0, Some(2));
    assert_eq!(run(&[("FILES", "good.yaml"), ("MODEL", "true"), ("DATA", "true")]).0, Some(0));
    assert_eq!(run(&[("FILES", "good.yaml"), ("LOCKED", "true")]).0, Some(2), "there is no lock");
}

#[test]
fn the_hook_runs_what_it_says() {
    let scene = scene();
    let hooks: Value = serde_saphyr::from_str(&shipped(".pre-commit-hooks.yaml")).unwrap();
    let hook = &hooks[0];
    assert_eq!((&hook["id"], &hook["language"]), (&"pipe-check".into(), &"system".into()));
    // As pre-commit does: the files of the commit behind the entry.
    let run = |files: &str| shell(&scene, &format!("{} {files}", hook["entry"].as_str().unwrap()), &[]).0;
    assert_eq!((run("good.yaml"), run("good.yaml specs/bad.yaml")), (Some(0), Some(2)));
}

#[test]
fn labels_in_two_texts_are_two_snippets() {
    let scene = scene();
    let (status, _, said) = scene.outputs(&["check", "good.yaml", "--set", "schedule.steps=7"]);
    let expected = "\
P0208 × `epochs` and `steps` cannot stand together
    ╭─[good.yaml:10:12]
  9 │ optimizer: {sgd: {lr: 0.1}}
 10 │ schedule: {epochs: 1, batch: 4}
    ·            ───┬──
    ·               ╰── this one
    ╰────
  help: keep one of them
";
    assert!(status == Some(2) && said.starts_with(expected), "{said}");
    assert!(said.contains("and in `command line`") && said.contains("schedule.steps=7"), "{said}");
    assert!(said.contains("╰── and this one"), "{said}");
}

#[test]
fn a_reader_that_stops_reading_stops_nothing() {
    let scene = scene();
    let script =
        "pipe run good.yaml 2>said | head -n 1 >/dev/null; pipe inspect mlp.onnx 2>>said | head -n 1 >/dev/null";
    assert_eq!(shell(&scene, script, &[]), (Some(0), String::new()));
    assert!(world::is_file(&scene.path("runs/good/001/summary.json")));
    let said = world::read_to_string(&scene.path("said")).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}
