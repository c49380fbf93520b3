//! `pipe init`: specs from templates, models and data, which are checked and run as they are.

use crate::scene::{Scene, mlp};
use pipe::world;
use std::path::Path;

fn text(scene: &Scene, name: &str) -> String {
    world::read_to_string(&scene.path(name)).unwrap()
}

/// Writes a spec, which must be found clean, and gives its text.
fn init(scene: &Scene, args: &[&str]) -> String {
    let (status, out, said) = scene.outputs(&[&["init"], args].concat());
    assert_eq!((status, out.trim_end(), said.as_str()), (Some(0), format!("wrote {}", args[0]).as_str(), ""));
    let (status, _, said) = scene.outputs(&["check", "--deny", "warnings", args[0]]);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let (status, _, _) = scene.outputs(&["fmt", "--check", args[0]]);
    assert_eq!(status, Some(0), "its keys are in order");
    text(scene, args[0])
}

/// A text holds all of these.
fn holds(text: &str, parts: &[&str]) {
    let missing: Vec<&&str> = parts.iter().filter(|part| !text.contains(**part)).collect();
    assert!(missing.is_empty(), "{missing:?}: {text}");
}

/// Runs a spec for one epoch.
fn run(scene: &Scene, spec: &str) {
    let out = spec.replace(".yaml", "-run");
    let (status, _, said) = scene.outputs(&["run", spec, "--set", "schedule.epochs=1", "--out", &out]);
    assert_eq!(status, Some(0), "{said}");
    assert!(world::is_file(&scene.path(&out).join("model.onnx")));
    let (status, _, said) = scene.outputs(&["check", "--data", spec]);
    assert_eq!(status, Some(0), "{said}");
}

/// What a bad call is told.
fn refused(scene: &Scene, args: &[&str]) -> String {
    let (status, out, said) = scene.outputs(&[&["init"], args].concat());
    assert_eq!((status, out.as_str()), (Some(2), ""), "{said}");
    said
}

#[test]
fn every_template_is_a_clean_spec() {
    let scene = Scene::new();
    let (_, listed, _) = scene.outputs(&["init", "--list"]);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 5 && listed.lines().all(|line| line.len() > 40), "{listed}");
    for name in &names {
        init(&scene, &[&format!("{name}.yaml"), "--template", name]);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/templates");
    assert_eq!(world::list_dir(&folder).unwrap().len(), names.len(), "every file is a template");
    let said = refused(&scene, &["x.yaml", "--template", "frozen-haed"]);
    assert!(said.contains("did you mean `frozen-head`?"), "{said}");
}

#[test]
fn pictures_and_a_model_make_a_spec_that_trains() {
    let scene = Scene::new();
    let backbone = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/backbone.onnx");
    scene.write("my models/net.onnx", world::read(&backbone).unwrap());
    for (class, count) in [("cat", 12), ("dog: small", 4)] {
        for i in 0..count {
            scene.png(&format!("pictures/{class}/{i}.png"), 9, 11, 20 * i);
        }
    }
    let spec = init(&scene, &["specs/pets.yaml", "--model", "my models/net.onnx", "--data", "pictures"]);
    let parts = [
        "name: pets\n",
        "source: \"../my models/net.onnx\"",
        "- linear: 2    # cat, dog: small",
        "train: {image_folder: ../pictures}    # 16 samples, 2 classes",
        "- resize: 9 ",
        "- center_crop: 8",
        "- grayscale: 1",
        "class_weights: balanced",
        "watch: validation.balanced_accuracy",
    ];
    holds(&spec, &parts);
    run(&scene, "specs/pets.yaml");
}

#[test]
fn numbers_and_a_model_make_a_spec_that_trains() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 40, &[6], 4);
    let spec = init(&scene, &["numbers.yaml", "--model", "mlp.onnx", "--data", "train.npz"]);
    assert!(spec.contains("replaces: fc3") && spec.contains("- linear: 4") && !spec.contains("transforms"), "{spec}");
    run(&scene, "numbers.yaml");
    // Without data it says what is to be written, and is checked against the model.
    let spec = init(&scene, &["bare.yaml", "--model", "mlp.onnx"]);
    assert!(spec.contains("write the number of classes here") && spec.contains("data/train"), "{spec}");
}

#[test]
fn a_table_makes_a_network_of_its_own() {
    let scene = Scene::new();
    let species = ["setosa", "virginica", "versicolor"];
    let rows: String = (0..30).map(|i| format!("{}.5;{};fine;{}\n", i % 7, i % 5, species[i % 3])).collect();
    scene.write("data/flowers.csv", "width;height;note;species\n".to_owned() + &rows);
    let spec = init(&scene, &["flowers.yaml", "--data", "data/flowers.csv"]);
    let parts = [
        "input: {x: [2]}",
        "delimiter: \";\"",
        "features: [width, height]",
        "guessed: column \"species\" holds the classes; left out since they are no numbers: \"note\"",
        "- linear: 3    # setosa, versicolor, virginica",
        "loss: cross_entropy\n",
    ];
    holds(&spec, &parts);
    run(&scene, "flowers.yaml");
    // Numbers that are no classes are targets.
    let rows: String = (0..30).map(|i| format!("{i}\t{}.25\t{}.75\n", i % 7, i)).collect();
    scene.write("data/price.tsv", rows);
    let spec = init(&scene, &["price.yaml", "--data", "data/price.tsv"]);
    assert!(spec.contains("loss: mse") && spec.contains("values: [2]") && spec.contains("validation.rmse"), "{spec}");
    run(&scene, "price.yaml");
}

#[test]
fn folders_of_sets_are_sets() {
    let scene = Scene::new();
    for set in ["train", "val", "test"] {
        for (class, value) in [("a", 10), ("b", 200)] {
            scene.png(&format!("all/{set}/{class}/1.png"), 12, 12, value);
            scene.png(&format!("all/{set}/{class}/2.png"), 12, 12, value + 1);
        }
    }
    let spec = init(&scene, &["sets.yaml", "--data", "all"]);
    assert!(spec.contains("validation: {image_folder: all/val}") && !spec.contains("from: train"), "{spec}");
    assert!(spec.contains("test: {image_folder: all/test}") && spec.contains("resize: [64, 64]"), "{spec}");
    run(&scene, "sets.yaml");
}

#[test]
fn bad_calls_write_nothing() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 20, &[5], 2);
    scene.write("spec.yaml", "version: 1\n");
    assert!(refused(&scene, &["--model", "mlp.onnx"]).contains("`spec.yaml` is there already"));
    assert_eq!(text(&scene, "spec.yaml"), "version: 1\n");
    assert!(refused(&scene, &["new.yaml"]).contains("nothing to begin with"));
    scene.write("text.onnx", "no model");
    let said = refused(&scene, &["new.yaml", "--model", "text.onnx", "--data", "gone"]);
    assert!(said.contains("`gone` does not exist") && said.contains("P0301"), "both are told: {said}");
    world::create_dir_all(&scene.path("empty")).unwrap();
    assert!(refused(&scene, &["new.yaml", "--data", "empty"]).contains("looks like no dataset"));
    scene.png("one/only/1.png", 9, 9, 1);
    assert!(refused(&scene, &["new.yaml", "--data", "one"]).contains("are of one class"));
    // Five numbers do not fit a model of six: its own draft is refused with the reason.
    let said = refused(&scene, &["new.yaml", "--model", "mlp.onnx", "--data", "train.npz"]);
    assert!(said.contains("P0505") && said.contains("would have been written"), "{said}");
    assert!(!world::exists(&scene.path("new.yaml")));
    // Over a file only when that is asked for; to standard output always.
    let (status, _, _) = scene.outputs(&["init", "--force", "--template", "tabular"]);
    assert!(status == Some(0) && text(&scene, "spec.yaml").contains("name: tabular"));
    let (_, out, _) = scene.outputs(&["init", "-", "--template", "tabular", "--name", "churn 2"]);
    assert_eq!(out, text(&scene, "spec.yaml").replace("name: tabular", "name: churn-2"));
    let (status, out, _) = scene.outputs(&["init", "-", "--template", "tabular"]);
    assert_eq!((status, out), (Some(0), text(&scene, "spec.yaml")));
}
