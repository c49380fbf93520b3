//! `pipe diff`: specs, runs, and what is neither.

use crate::locking;
use crate::scene::Scene;
use pipe::world;
use serde_json::Value;

/// Two specs, `a.yaml` and `b.yaml`, beside model and data.
fn scene() -> Scene {
    let scene = locking::scene();
    scene.write("a.yaml", spec());
    scene.write("b.yaml", spec().replace("sgd: 0.1", "sgd: {lr: 0.3}") + "seed: 2\n");
    scene
}

fn spec() -> String {
    locking::SPEC.replace("locked", "first")
}

/// Standard output of a comparison that ends with a status.
fn diff(scene: &Scene, args: &[&str], expected: i32) -> String {
    let (status, out, said) = scene.outputs(&[&["diff"], args].concat());
    assert_eq!(status, Some(expected), "{args:?}\n{out}{said}");
    if expected == 2 { said } else { out }
}

fn json(scene: &Scene, a: &str, b: &str, expected: i32) -> Value {
    serde_json::from_str(&diff(scene, &[a, b, "--json"], expected)).unwrap()
}

fn run(scene: &Scene, args: &[&str]) {
    let (status, out, said) = scene.outputs(&[&["run", "--quiet"], args].concat());
    assert_eq!(status, Some(0), "{out}{said}");
}

#[test]
fn specs_differ_by_path_value_and_place() {
    let scene = scene();
    let text = diff(&scene, &["a.yaml", "b.yaml"], 1);
    assert_eq!(
        text,
        "a  spec a.yaml
b  spec b.yaml

spec
  seed              0 → 2      b.yaml:10
  optimizer.sgd.lr  0.1 → 0.3  a.yaml:7 → b.yaml:7

note: `a.yaml` and `b.yaml` have no lock: data and versions are not compared
different
"
    );
    let found = json(&scene, "a.yaml", "b.yaml", 1);
    assert_eq!(found["spec"][1]["path"], "optimizer.sgd.lr");
    assert_eq!((&found["spec"][1]["a"], &found["spec"][1]["b"]), (&"0.1".into(), &"0.3".into()));
    assert_eq!((&found["data"], &found["metrics"], &found["same"]), (&Value::Null, &Value::Null, &false.into()));
    // Short forms, comments and the order of keys say nothing.
    scene.write(
        "c.yaml",
        spec().replace("sgd: 0.1", "sgd: {lr: 1e-1}").replace("loss: cross_entropy\n", "")
            + "# c\nloss: cross_entropy\n",
    );
    assert!(diff(&scene, &["a.yaml", "c.yaml"], 0).contains("\nspec\n  the same\n"));
}

#[test]
fn locks_of_specs_say_which_data_differ() {
    let scene = scene();
    scene.write("b.yaml", spec());
    for name in ["a.yaml", "b.yaml"] {
        assert_eq!(scene.outputs(&["lock", name]).0, Some(0));
    }
    assert!(diff(&scene, &["a.yaml", "b.yaml"], 0).contains("\ndata\n  the same\n\nversions\n  the same\n"));
    scene.samples("test.npz", 6, &[6], 3);
    assert_eq!(scene.outputs(&["lock", "b.yaml"]).0, Some(0));
    let found = json(&scene, "a.yaml", "b.yaml", 1);
    assert_eq!(found["spec"], Value::Array(vec![]));
    assert_eq!(found["data"][0]["name"], "test");
    assert!(found["data"][0]["a"].as_str().unwrap().starts_with("5 samples"));
    assert!(found["data"][0]["b"].as_str().unwrap().starts_with("6 samples"));
    scene.write("b.yaml.lock", "nonsense\n");
    assert!(diff(&scene, &["a.yaml", "b.yaml"], 2).starts_with("P0621"));
}

#[test]
fn runs_differ_by_spec_data_and_scores() {
    let scene = scene();
    run(&scene, &["a.yaml"]);
    run(&scene, &["a.yaml", "--fresh"]);
    scene.samples("train.npz", 10, &[6], 3);
    run(&scene, &["b.yaml", "--set", "name=second", "--set", "schedule.epochs=3"]);
    // The same spec twice gives the same numbers, whatever time it took.
    let same = json(&scene, "runs/first/001", "first/002", 0);
    assert_eq!(same["same"], true);
    assert!(same["seconds"][0].as_f64().unwrap() > 0.0 && same["seconds"][1].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&same["data"], &same["versions"], &same["machine"]),
        (&Value::Array(vec![]), &Value::Array(vec![]), &Value::Array(vec![]))
    );
    let found = json(&scene, "run://first", "run://second", 1);
    let paths: Vec<&str> =
        found["spec"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["name", "seed", "optimizer.sgd.lr", "schedule.epochs"]);
    assert_eq!(found["a"]["name"], "./runs/first/002");
    assert_eq!(found["data"][0]["name"], "train");
    let score =
        |name: &str| found["metrics"].as_array().unwrap().iter().find(|score| score["name"] == name).unwrap().clone();
    assert_eq!((&score("steps")["a"]["final"], &score("steps")["b"]["final"]), (&6.0.into(), &9.0.into()));
    assert_eq!(score("steps")["difference"], 3.0);
    // The final value is what the run itself wrote down in the end.
    let summary: Value =
        serde_json::from_slice(&world::read(&scene.path("runs/second/001/summary.json")).unwrap()).unwrap();
    for metric in ["accuracy", "loss"] {
        let (final_value, best) =
            (&score(&format!("test.{metric}"))["b"]["final"], &score(&format!("test.{metric}"))["b"]["best"]);
        assert_eq!(final_value, &summary["scores"]["test"]["numbers"][metric]);
        let (last, best) = (final_value.as_f64().unwrap(), best.as_f64().unwrap());
        assert!(if metric == "accuracy" { best >= last } else { best <= last }, "{metric} {last} {best}");
    }
    let text = diff(&scene, &["run://first", "run://second"], 1);
    for part in [
        "\nspec\n  name",
        "\ndata\n  train",
        "\nversions\n  the same\n",
        "\nmetrics\n",
        "final a",
        "\ntime\n  a  ",
        "\ndifferent\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // A spec against a run: the specs alone.
    let text = diff(&scene, &["a.yaml", "first/001"], 0);
    assert!(
        text.contains("note: of a spec and a run only the specs are compared") && !text.contains("metrics"),
        "{text}"
    );
    diff(&scene, &["b.yaml", "first/001"], 1);
}

#[test]
fn unfinished_and_old_runs_are_compared_as_far_as_they_go() {
    let scene = scene();
    run(&scene, &["a.yaml"]);
    run(&scene, &["a.yaml"]);
    world::remove(&scene.path("runs/first/002/summary.json")).unwrap();
    world::remove(&scene.path("runs/first/002/lock")).unwrap();
    let metrics = world::read_to_string(&scene.path("runs/first/002/metrics.jsonl")).unwrap();
    let steps: Vec<&str> = metrics.lines().take_while(|line| !line.contains("\"last\":true")).collect();
    scene.write("runs/first/002/metrics.jsonl", steps.join("\n") + "\n{\"event\":\"st");
    let text = diff(&scene, &["first/001", "first/002"], 1);
    for note in
        ["is not finished", "`runs/first/002` has no lock", "1 lines of `runs/first/002/metrics.jsonl` cannot be read"]
    {
        assert!(text.contains(note), "{note}\n{text}");
    }
    scene.write("runs/first/002/spec.yaml", "version: 1\nname: first\nfuture: {}\n");
    world::remove(&scene.path("runs/first/002/metrics.jsonl")).unwrap();
    world::remove(&scene.path("runs/first/002/timing.jsonl")).unwrap();
    let text = diff(&scene, &["first/001", "first/002"], 1);
    assert!(text.contains("the specs are not compared") && text.contains("\n  b  -\n"), "{text}");
}

#[test]
fn what_is_neither_spec_nor_run_is_told() {
    let scene = scene();
    scene.write("bad.yaml", spec().replace("sgd: 0.1", "sgd: {learning_rate: 0.1}"));
    scene.write("runs/empty/001/notes.txt", "nothing");
    scene.write("runs/tried/001/spec.yaml", spec());
    scene.write("runs/tried/001/trials/001/spec.yaml", spec());
    for (other, what) in [
        ("bad.yaml", "did you mean `lr`?"),
        ("gone.yaml", "neither a spec nor a run"),
        ("gone", "neither a spec nor a run"),
        ("run://gone", "neither a spec nor a run"),
        ("runs/empty/001", "holds no run"),
        ("empty", "holds no run"),
        ("tried/001", "is the folder of a sweep"),
    ] {
        for pair in [["a.yaml", other], [other, "a.yaml"]] {
            let said = diff(&scene, &pair, 2);
            assert!(said.contains(what), "{pair:?}\n{said}");
        }
    }
    // Both are told.
    let said = diff(&scene, &["gone", "lost"], 2);
    assert!(said.contains("`gone`") && said.contains("`lost`"), "{said}");
    assert_eq!(diff(&scene, &["tried/001/trials/001", "a.yaml"], 0).matches("the same").count(), 2);
    assert_eq!(scene.outputs(&["diff", "a.yaml"]).0, Some(2));
}
