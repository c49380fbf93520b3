//! `pipe lock`, `--locked`, files of git-lfs, and runs that are repeated from their own folders.

use crate::scene::{Scene, mlp};
use pipe::ir::{Tensor, onnx};
use pipe::world;

pub(crate) const SPEC: &str = "\
version: 1
name: locked
model: {source: model.onnx}
freeze: {all_but: ['fc3.*']}
data: {sets: {train: {npz: train.npz}, test: {npz: test.npz}}}
loss: cross_entropy
optimizer: {sgd: 0.1}
schedule: {epochs: 2, batch: 4}
evaluate: {metrics: [accuracy]}
";

pub(crate) fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    scene.samples("test.npz", 5, &[6], 3);
    scene.write("spec.yaml", SPEC);
    scene
}

/// Standard output of a command that is fine.
fn fine(scene: &Scene, args: &[&str]) -> String {
    let (status, out, said) = scene.outputs(args);
    assert_eq!(status, Some(0), "{args:?}\n{out}{said}");
    out
}

/// What a command says that refuses.
fn refused(scene: &Scene, args: &[&str]) -> String {
    let (status, out, said) = scene.outputs(args);
    assert_eq!(status, Some(2), "{args:?}\n{out}{said}");
    said
}

fn lock(scene: &Scene) -> String {
    world::read_to_string(&scene.path("spec.yaml.lock")).unwrap()
}

/// The file as git-lfs leaves it where its bytes were not fetched.
fn unfetch(scene: &Scene, name: &str) {
    let sha256 = world::sha256(&scene.path(name)).unwrap();
    let size = world::read(&scene.path(name)).unwrap().len();
    scene.write(name, format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"));
}

#[test]
fn a_lock_says_what_a_spec_stands_on() {
    let scene = scene();
    assert_eq!(fine(&scene, &["lock", "spec.yaml"]), "spec.yaml.lock: new\n");
    let text = lock(&scene);
    for fact in [
        "\npipe = \"0.1.0\"\n",
        "\nonnxruntime = \"",
        "\nspec = \"blake3:",
        "\ntest = \"5 samples, blake3:",
        "\n\"model.onnx\" = \"sha256:",
        "\n\"train.npz\" = \"sha256:",
        "\n\"optimizer.sgd.lr\" = \"0.1\"\n",
    ] {
        assert!(text.contains(fact), "no {fact}\n{text}");
    }
    let absolute = scene.path("").display().to_string();
    assert!(!text.contains(absolute.trim_end_matches('/')), "no place on this machine: {text}");
    assert_eq!(fine(&scene, &["lock", "spec.yaml"]), "spec.yaml.lock: unchanged\n");
    assert_eq!(fine(&scene, &["lock", "--check", "spec.yaml"]), "spec.yaml: as locked\n");
    fine(&scene, &["plan", "spec.yaml", "--locked"]);
    fine(&scene, &["run", "spec.yaml", "--locked", "--quiet"]);
    // Elsewhere, and touched, it is the same.
    let other = Scene::new();
    for name in ["model.onnx", "train.npz", "test.npz", "spec.yaml"] {
        other.write(&format!("deep/{name}"), world::read(&scene.path(name)).unwrap());
    }
    fine(&other, &["lock", "deep/spec.yaml"]);
    assert_eq!(world::read_to_string(&other.path("deep/spec.yaml.lock")).unwrap(), text);
    // What is not computed is not locked.
    scene.write("spec.yaml", format!("{SPEC}description: said differently\nruntime: {{threads: 1}}\n"));
    fine(&scene, &["lock", "--check", "spec.yaml"]);
}

#[test]
fn the_tree_of_a_folder_does_not_depend_on_where_it_lies() {
    let tree = |folder: &str| {
        let scene = Scene::new();
        for (class, level) in [("dark", 20), ("bright", 140)] {
            (0..3u8).for_each(|i| scene.png(&format!("{folder}/{class}/{i}.png"), 4, 4, level + i));
        }
        let text = format!(
            "version: 1\nname: a\nmodel: {{input: {{image: [3, 4, 4]}}}}\nlayers: {{net: {{stack: [flatten, linear: 2]}}}}\ndata: {{sets: {{train: {{image_folder: {folder}}}}}, transforms: [to_tensor]}}\nloss: cross_entropy\noptimizer: {{sgd: 0.1}}\nschedule: {{epochs: 1, batch: 2}}\n"
        );
        scene.write("spec.yaml", text);
        fine(&scene, &["lock", "spec.yaml"]);
        let tree = lock(&scene).lines().find(|line| line.starts_with("train = \"6 samples")).unwrap().to_owned();
        (scene, tree)
    };
    let (_, one) = tree("a");
    let (scene, two) = tree("some/other");
    assert_eq!(one, two);
    // A file under another name is another tree.
    let bytes = world::read(&scene.path("some/other/dark/2.png")).unwrap();
    world::remove(&scene.path("some/other/dark/2.png")).unwrap();
    scene.write("some/other/dark/3.png", bytes);
    assert!(refused(&scene, &["lock", "--check", "spec.yaml"]).contains("the dataset `train` is not the one"));
}

#[test]
fn locked_refuses_whatever_changed_and_names_it() {
    let scene = scene();
    let said = refused(&scene, &["run", "spec.yaml", "--locked"]);
    assert!(said.contains("P0620") && said.contains("pipe lock spec.yaml"), "{said}");
    fine(&scene, &["lock", "spec.yaml"]);
    let old = lock(&scene);
    let digest = |name: &str| world::sha256(&scene.path(name)).unwrap();
    let refuses = |what: &[&str]| {
        for args in [
            &["run", "spec.yaml", "--locked"][..],
            &["plan", "spec.yaml", "--locked"],
            &["lock", "--check", "spec.yaml"],
        ] {
            let said = refused(&scene, args);
            for what in what {
                assert!(said.contains(what), "{args:?}: no {what}\n{said}");
            }
        }
        assert!(!world::exists(&scene.path("runs")), "no run was begun");
    };
    // A value of the spec, with its place.
    scene.write("spec.yaml", SPEC.replace("sgd: 0.1", "sgd: 0.2"));
    refuses(&["P0622", "[spec.yaml:7:", "the lock says 0.1", "spec optimizer.sgd.lr: 0.1 → 0.2"]);
    scene.write("spec.yaml", SPEC);
    let said = refused(&scene, &["plan", "spec.yaml", "--locked", "--set", "schedule.batch=3"]);
    assert!(said.contains("schedule.batch: 4 → 3") && said.contains("[command line:"), "{said}");
    // The model.
    let (was, mut graph) = (digest("model.onnx"), mlp());
    let weight = graph.find("fc1.bias").unwrap();
    graph.initializers.insert(weight, Tensor::vector(&[0.5f32; 8]));
    scene.model("model.onnx", &graph);
    let now = digest("model.onnx");
    refuses(&["the model file `model.onnx` is not the one", &was, &now, "[spec.yaml:3:"]);
    scene.model("model.onnx", &mlp());
    // Data.
    scene.samples("test.npz", 6, &[6], 3);
    refuses(&["the dataset `test` is not the one", "5 samples", "6 samples", "the data file `test.npz`"]);
    scene.samples("test.npz", 5, &[6], 3);
    // Versions.
    scene.write("spec.yaml.lock", old.replace("pipe = \"0.1.0\"", "pipe = \"0.0.9\""));
    refuses(&["pipe is not the one that the lock says", "it was 0.0.9"]);
    assert_eq!(fine(&scene, &["lock", "spec.yaml"]), "spec.yaml.lock: changed\n  pipe: 0.0.9 → 0.1.0\n");
    assert_eq!(lock(&scene), old);
    scene.write("spec.yaml.lock", "lock = \"1\"\n<<<<<<< ours\n");
    refuses(&["P0621", "[spec.yaml.lock:2:1]"]);
}

#[test]
fn a_checkout_without_the_bytes_of_git_lfs_is_checked_by_what_its_pointers_say() {
    let scene = scene();
    fine(&scene, &["lock", "spec.yaml"]);
    for name in ["model.onnx", "train.npz"] {
        unfetch(&scene, name);
    }
    let (status, out, said) = scene.outputs(&["lock", "--check", "spec.yaml"]);
    assert_eq!((status, out.as_str()), (Some(0), "spec.yaml: as locked\n"), "{said}");
    assert!(said.starts_with("note: not compared with the lock: `./train.npz` is a git-lfs pointer"), "{said}");
    assert!(said.contains("run `git lfs pull`") && said.lines().count() == 1, "the model's hash is known: {said}");
    // Where bytes are needed it is an error that names the file.
    for args in [&["run", "spec.yaml"][..], &["plan", "spec.yaml"], &["plan", "spec.yaml", "--locked"]] {
        let (status, said) = scene.command(args, &[]);
        assert!(
            status != Some(0) && said.contains("P0007") && said.contains("train.npz` is a git-lfs pointer"),
            "{said}"
        );
        assert!(said.contains("run `git lfs pull`"), "{said}");
    }
    // A pointer to another file is seen.
    let pointer = world::sha256(&scene.path("train.npz")).unwrap();
    let other = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 900\n", "0".repeat(64));
    scene.write("train.npz", &other);
    let said = refused(&scene, &["lock", "--check", "spec.yaml"]);
    assert!(said.contains("the data file `train.npz`") && said.contains(&pointer), "{said}");
    scene.write("model.onnx", other);
    let said = refused(&scene, &["lock", "--check", "spec.yaml"]);
    assert!(said.contains("the model file `model.onnx`"), "{said}");
    // What is not there at all is a note too.
    for name in ["model.onnx", "train.npz", "test.npz"] {
        world::remove(&scene.path(name)).unwrap();
    }
    let (status, _, said) = scene.outputs(&["lock", "--check", "spec.yaml"]);
    assert!(status == Some(0) && said.contains("the model `model.onnx` is not there"), "{said}");
    let (status, _, said) = scene.outputs(&["lock", "spec.yaml"]);
    assert!(status == Some(1) && said.contains("P0501"), "what is not there cannot be locked: {said}");
}

#[test]
fn pointers_in_folders_of_images_and_in_tables_are_named() {
    let scene = Scene::new();
    for class in ["a", "b"] {
        (0..3u8).for_each(|i| scene.png(&format!("images/{class}/{i}.png"), 4, 4, 40 * i));
    }
    scene.write("table.csv", "0.5,1.5,0\n1.5,0.5,1\n");
    let text = |set: &str, shape: &str, more: &str| {
        format!(
            "version: 1\nname: a\nmodel: {{input: {{image: {shape}}}}}\nlayers: {{net: {{stack: [flatten, linear: 2]}}}}\ndata: {{sets: {{train: {{{set}}}}}{more}}}\nloss: cross_entropy\noptimizer: {{sgd: 0.1}}\nschedule: {{epochs: 1, batch: 2}}\n"
        )
    };
    for (set, shape, more, file) in [
        ("image_folder: images", "[3, 4, 4]", ", transforms: [{resize: [4, 4]}, to_tensor]", "images/b/1.png"),
        (
            "image_folder: images",
            "[3, 4, 4]",
            ", transforms: [{resize: [4, 4]}, to_tensor], on_error: skip",
            "images/b/1.png",
        ),
        ("csv: {path: table.csv, header: false, features: rest, labels: 2}", "[2]", "", "table.csv"),
    ] {
        let kept = world::read(&scene.path(file)).unwrap();
        unfetch(&scene, file);
        scene.write("spec.yaml", text(set, shape, more));
        let (status, said) = scene.command(&["run", "spec.yaml", "--quiet"], &[]);
        assert!(status != Some(0) && said.contains("P0007") && said.contains(file), "{said}");
        assert!(said.contains("run `git lfs pull`"), "{said}");
        scene.write(file, kept);
    }
}

/// A model whose weights lie beside it.
fn external(scene: &Scene) {
    use prost::Message;
    let mut model = onnx::proto::ModelProto::decode(onnx::encode(&mlp()).as_slice()).unwrap();
    let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
    let bytes = tensor.raw_data.take().unwrap();
    tensor.data_location = Some(onnx::proto::tensor_proto::DataLocation::External as i32);
    let location =
        onnx::proto::StringStringEntryProto { key: Some("location".to_owned()), value: Some("weights.bin".to_owned()) };
    tensor.external_data = vec![location];
    scene.write("weights.bin", bytes);
    scene.write("model.onnx", model.encode_to_vec());
}

#[test]
fn files_of_external_data_are_locked_with_the_model() {
    let scene = scene();
    external(&scene);
    fine(&scene, &["lock", "spec.yaml"]);
    assert!(lock(&scene).contains("\n\"model.onnx: weights.bin\" = \"sha256:"), "{}", lock(&scene));
    // Also where the model is a pointer, which does not say what lies beside it.
    unfetch(&scene, "model.onnx");
    let bytes = world::read(&scene.path("weights.bin")).unwrap();
    fine(&scene, &["lock", "--check", "spec.yaml"]);
    scene.write("weights.bin", [&bytes[1..], &[0][..]].concat());
    let said = refused(&scene, &["lock", "--check", "spec.yaml"]);
    assert!(said.contains("the model file `model.onnx: weights.bin` is not the one"), "{said}");
    external(&scene);
    unfetch(&scene, "weights.bin");
    let (status, said) = scene.command(&["plan", "spec.yaml"], &[]);
    assert!(
        status == Some(2) && said.contains("P0007") && said.contains("weights.bin` is a git-lfs pointer"),
        "{said}"
    );
}

#[test]
fn a_run_is_repeated_from_its_own_folder() {
    let scene = scene();
    fine(&scene, &["run", "spec.yaml", "--quiet"]);
    // The spec may be gone, and its cache is not asked.
    world::remove(&scene.path("spec.yaml")).unwrap();
    let out = fine(&scene, &["run", "--reproduce", "locked/001", "--quiet"]);
    let expected = "metrics.jsonl the same bytes\nmodel.onnx   the same bytes\nsummary.json the same bytes\nruns/locked/001 is reproduced in ./runs/locked/002\n";
    assert_eq!(out, expected);
    assert!(fine(&scene, &["run", "--reproduce", "run://locked", "--quiet"]).contains("runs/locked/002 is reproduced"));
    let out = fine(&scene, &["run", "--reproduce", "runs/locked/001", "--out", "elsewhere", "--quiet"]);
    assert!(out.contains("is reproduced in elsewhere"), "{out}");
    // From there the way back is known as well.
    assert!(fine(&scene, &["run", "--reproduce", "elsewhere", "--quiet"]).contains("elsewhere is reproduced in"));

    // Changed numbers of the old run are what would be seen if the new one differed.
    let metrics = scene.path("runs/locked/001/metrics.jsonl");
    let kept = world::read_to_string(&metrics).unwrap();
    let second = kept.lines().position(|line| line.contains("\"step\":2")).unwrap() + 1;
    let changed = kept.replace("\"step\":2,\"loss\":", "\"step\":2,\"loss\":9");
    assert_ne!(changed, kept);
    scene.write("runs/locked/001/metrics.jsonl", changed);
    let (status, out, _) = scene.outputs(&["run", "--reproduce", "locked/001", "--quiet"]);
    assert_eq!(status, Some(1));
    assert!(out.contains(&format!("metrics.jsonl line {second}, step 2: loss 9")), "{out}");
    assert!(out.contains("is not reproduced") && out.contains("nothing that is known differs"), "{out}");
    scene.write("runs/locked/001/metrics.jsonl", kept);

    // A changed data file is named.
    scene.samples("train.npz", 10, &[6], 3);
    let (status, out, _) = scene.outputs(&["run", "--reproduce", "locked/001", "--quiet"]);
    assert_eq!(status, Some(1));
    for what in [
        "differs      data train: 9 samples, blake3:",
        "→ 10 samples, blake3:",
        "differs      files train.npz: sha256:",
        "weights differ by up to ",
    ] {
        assert!(out.contains(what), "no {what}\n{out}");
    }
    scene.samples("train.npz", 9, &[6], 3);

    // A changed model is named.
    let mut graph = mlp();
    let weight = graph.find("fc1.bias").unwrap();
    graph.initializers.insert(weight, Tensor::vector(&[0.5f32; 8]));
    scene.model("model.onnx", &graph);
    let (status, out, _) = scene.outputs(&["run", "--reproduce", "locked/001", "--quiet"]);
    assert_eq!(status, Some(1));
    assert!(out.contains("differs      model model.onnx: sha256:") && out.contains("summary.json "), "{out}");
}

#[test]
fn a_trial_of_a_sweep_is_a_run_that_can_be_repeated() {
    let scene = scene();
    scene.write("spec.yaml", format!("{SPEC}sweep: {{grid: {{seed: [1, 2]}}, metric: test.accuracy}}\n"));
    fine(&scene, &["run", "spec.yaml", "--quiet"]);
    let said = refused(&scene, &["run", "--reproduce", "locked/001"]);
    assert!(said.contains("P0620") && said.contains("trials/001"), "{said}");
    let out = fine(&scene, &["run", "--reproduce", "locked/001/trials/002", "--out", "again", "--quiet"]);
    assert!(out.contains("runs/locked/001/trials/002 is reproduced in again"), "{out}");
}

#[test]
fn what_is_no_finished_run_cannot_be_repeated() {
    let scene = scene();
    let said = |run: &str| refused(&scene, &["run", "--reproduce", run]);
    let (status, _, missing) = scene.outputs(&["run", "--reproduce", "locked/001"]);
    assert!(status == Some(1) && missing.contains("there is no run `locked/001`"), "{missing}");
    fine(&scene, &["run", "spec.yaml", "--quiet"]);
    world::remove(&scene.path("runs/locked/001/lock")).unwrap();
    assert!(said("locked/001").contains("P0620"));
    world::remove(&scene.path("runs/locked/001/summary.json")).unwrap();
    assert!(said("locked/001").contains("there is no finished run"));
    let (status, _, both) = scene.outputs(&["run", "spec.yaml", "--reproduce", "locked/001"]);
    assert!(status == Some(2) && both.contains("cannot be used with"), "{both}");
}
