//! What `pipe check` says of a spec once it has read the model or the data: the exact words, in `validation/<case>.txt`.
//! `PIPE_BLESS=1` rewrites them. What the text alone says is in `errors.rs`, which has the table of all that is checked.

use crate::scene::{Net, Scene, assert_expected, mlp, whole};
use pipe::ir::{Builder, DType, Dim, TensorType};

fn spec(rest: &str) -> String {
    whole("odd", rest)
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    scene
}

/// Checks a spec in a scene as deep as `depth` says, and compares.
fn said(scene: &Scene, depth: &str, case: &str, rest: &str) {
    scene.write("spec.yaml", spec(rest));
    let found = scene.command(&["check", depth, "spec.yaml"], &[]);
    assert!(!found.1.contains("P0009"), "{case}: {}", found.1);
    assert_expected("validation", case, found);
}

fn check(case: &str, rest: &str) {
    said(&scene(), "--model", case, rest);
}

/// The spec is fine, and nothing is said of it.
fn fine(rest: &str) {
    let scene = scene();
    scene.write("spec.yaml", spec(rest));
    assert_eq!(scene.command(&["check", "--model", "spec.yaml"], &[]), (Some(0), String::new()), "{rest}");
}

const HEAD: &str = "layers: {head: {replaces: fc3, stack: [linear: 3]}}\n";

#[test]
fn patterns_that_match_nothing() {
    check(
        "pattern-near",
        "freeze:\n  - \"fc1.*\"\n  - \"fc2.wieght\"\n  - \"fd3.*\"\n  - \"!*.bais\"\n  - \"encoder.*\"\n",
    );
    check("pattern-all-but", &format!("freeze: {{all_but: [\"fc4.*\"]}}\n{HEAD}"));
    check(
        "pattern-elsewhere",
        "model: {source: model.onnx, reinitialize: [fc9, fc2.baes]}\nregularizer: [{l2: 0.1, params: [haed]}]\n\
         optimizer: {sgd: 0.1, groups: [{params: [\"head.0.wait\"], lr: 1}]}\nfreeze: [fc1, fc7]\n\
         layers: {head: {replaces: fc3, stack: [linear: 3]}}\n",
    );
    check(
        "place-near",
        "freeze: {before: relu}\nlayers:\n  head: {replaces: fc33, stack: [linear: 3]}\n  side: {from: relu3, stack: [linear: 3]}\n  \
         more: {insert_after: strange/place, stack: [relu]}\nloss: {cross_entropy: {of: head}}\n",
    );
}

#[test]
fn names_of_inputs_and_dimensions() {
    check("input-name", "model: {source: model.onnx, inputs: {features: X1}}\nfreeze: none\n");
    check("dimension-none", "model: {source: model.onnx, shape: {height: 6}}\nfreeze: none\n");
    let open = scene();
    let mut graph = mlp();
    let input = graph.inputs[0];
    let dims = vec![Dim::Symbol("N".to_owned()), Dim::Symbol("width".to_owned())];
    graph.set_type(input, Some(TensorType { dtype: DType::F32, dims }));
    open.model("model.onnx", &graph);
    said(&open, "--model", "dimension-near", "model: {source: model.onnx, shape: {widht: 6}}\nfreeze: none\n");
}

#[test]
fn warnings_travel_with_errors() {
    check(
        "warnings-travel",
        "freeze: [\"!fc2\", \"*\"]\nlayers: {head: {replaces: fc3, stack: [linear: 2]}}\nvars: {unused: 1}\n",
    );
}

#[test]
fn rules_that_others_make_void() {
    check("void-pattern", "freeze: [\"fc1.*\", \"!fc3\", \"fc2\", \"!fc1.weight\", \"!fc1.bias\"]\n");
    check("void-order", &format!("freeze: [\"!fc2.*\", \"*\"]\n{HEAD}"));
    check("void-all-but", &format!("freeze: {{all_but: [\"fc1.*\", \"!fc1\"]}}\n{HEAD}"));
    check("void-before", &format!("freeze: {{params: [\"*\", \"!fc1\"], before: relu1}}\n{HEAD}"));
    check("void-reinitialize", "model: {source: model.onnx, reinitialize: [fc2, \"!fc2\"]}\n");
    check(
        "void-group",
        &format!(
            "freeze: all\n{HEAD}regularizer:\n  - {{l2: 0.1, params: [\"fc*.weight\"]}}\n  - {{l2_sp: 0.1}}\n\
             optimizer:\n  sgd: 0.1\n  groups:\n    - {{params: [fc1, fc2], lr: 1}}\n    - {{params: [head.0.weight], lr: 2}}\n    \
             - {{params: [\"head.*\"], lr: 3}}\n"
        ),
    );
    check(
        "void-phase",
        "freeze: none\nschedule:\n  batch: 4\n  phases:\n    - {epochs: 1, freeze: [fc1, fc2]}\n    \
         - {epochs: 1, freeze: [fc1], optimizer: {sgd: 0.1, groups: [{params: [fc1], lr: 1}]}}\n",
    );
    fine(
        "freeze: [\"*\", \"!fc3\", \"fc3.bias\"]\noptimizer: {sgd: 0.1, groups: [{params: [\"*\"], lr: 1}, {params: [fc3], lr: 2}]}\n",
    );
    fine(
        "schedule: {batch: 4, phases: [{epochs: 1, freeze: [fc1]}, {epochs: 1, freeze: [fc1]}]}\noptimizer: {sgd: 0.1, groups: [{params: [fc2], lr: 1}]}\n",
    );
    // Frozen in one phase, trained in another.
    fine(
        "schedule: {batch: 4, phases: [{epochs: 1, freeze: [fc1]}, {epochs: 1, freeze: none}]}\noptimizer: {sgd: 0.1, groups: [{params: [fc1], lr: 1}]}\n",
    );
}

#[test]
fn losses_that_train_nothing() {
    check(
        "term-frozen",
        "freeze: all\nlayers:\n  head: {replaces: fc3, stack: [linear: 3]}\n  side: {from: relu1, stack: [softmax]}\n\
         loss:\n  task: {cross_entropy: {of: head}}\n  extra: {cross_entropy: {of: side}, weight: 0.5}\n",
    );
    check(
        "branch-idle",
        "freeze: all\nlayers:\n  head: {replaces: fc3, stack: [linear: 3]}\n  side: {from: relu1, stack: [linear: 2, relu]}\n\
         loss: {cross_entropy: {of: head}}\n",
    );
}

#[test]
fn layers_that_do_not_fit() {
    check(
        "layers",
        "freeze: all\nlayers:\n  head:\n    replaces: fc3\n    stack:\n      - linear: 4\n      - relu\n      - conv: {channels: 2, kernel: 3}\n  \
         other: {from: relu1, stack: [max_pool: 2]}\n  next: {from: other, stack: [linear: 3]}\n  spliced: {insert_after: relu2, stack: [average_pool: 2]}\n\
         loss: {cross_entropy: {of: head}}\n",
    );
    check(
        "layers-input",
        "model: {input: {image: [2, 4, 4]}}\nlayers: {net: {stack: [conv: {channels: 2, kernel: 5}, flatten, linear: 3]}}\n",
    );
    check(
        "layers-branch",
        "freeze: all\nlayers:\n  neck: {replaces: fc3, stack: [linear: 4]}\n  head: {from: neck, stack: [max_pool: 2]}\n",
    );
}

/// Pictures of two classes, all 9 × 9 but one that is 5 × 5.
fn pictures() -> Scene {
    let scene = Scene::new();
    for (i, class) in ["a", "b", "a", "b"].iter().enumerate() {
        let side = if i == 2 { 5 } else { 9 };
        scene.png(&format!("pictures/{class}/{i}.png"), side, side, 60 * i as u8);
    }
    scene
}

/// A network over 8 × 8 pictures, with these lines below `data:`.
fn of_pictures(data: &str) -> String {
    let network = "model: {input: {image: [3, 8, 8]}}\nlayers: {net: {stack: [flatten, linear: 2]}}\n";
    format!("{network}data:\n  sets: {{train: {{image_folder: pictures}}}}\n{data}")
}

#[test]
fn samples_that_the_model_does_not_take() {
    let scene = pictures();
    let model = |case: &str, data: &str| said(&scene, "--model", case, &of_pictures(data));
    model("samples-size", "  transforms:\n    - resize: 12\n    - center_crop: 9\n    - to_tensor\n");
    model("samples-channels", "  transforms: [resize: [8, 8], grayscale, to_tensor]\n");
    model("samples-image", "  transforms: [resize: [8, 8], grayscale]\n");
    model("samples-random", "  validation: {from: train, fraction: 50%}\n  transforms: [random_crop: 8, to_tensor]\n");
    model(
        "samples-differ",
        "  validation: {from: train, fraction: 50%}\n  transforms:\n    train: [resize: [8, 8], to_tensor]\n    eval: [resize: [9, 9], to_tensor]\n",
    );
    model(
        "samples-normalize",
        "  transforms:\n    - resize: [8, 8]\n    - grayscale\n    - to_tensor\n    - normalize: {mean: [0.5, 0.5, 0.5], std: 0.5}\n",
    );
    let flat = "model: {input: {x: [192]}}\nlayers: {net: {stack: [linear: 2]}}\n\
                data: {sets: {train: {image_folder: pictures}}, transforms: [resize: [8, 8], to_tensor]}\n";
    said(&scene, "--model", "samples-rank", flat);
    scene.model("last.onnx", &Net::new(&[8, 8, 3]).op("flat", "Flatten").linear("fc", 192, 2).done());
    let last = "model: {source: last.onnx}\ndata: {sets: {train: {image_folder: pictures}}, transforms: [resize: [8, 8], to_tensor]}\n";
    said(&scene, "--model", "samples-channels-last", last);
    // Wrong transforms hide nothing of what else is wrong.
    let both = of_pictures("  transforms: [to_tensor]\n").replace("flatten, linear: 2", "linear: 2, max_pool: 40");
    said(&scene, "--model", "samples-and-layers", &both);
    check(
        "samples-numbers",
        "model: {source: model.onnx, inputs: {features: x}}\ndata: {sets: {train: {npz: {path: train.npz, inputs: y}}}}\n",
    );
}

#[test]
fn inputs_that_are_not_numbers() {
    let mut graph = mlp();
    let input = graph.inputs[0];
    let dims = graph.ty(input).unwrap().dims.clone();
    graph.set_type(input, Some(TensorType { dtype: DType::F64, dims }));
    let wide = scene();
    let cast = Builder::new(&mut graph, "cast").cast(input, DType::F32);
    let first = graph.nodes.pop().unwrap();
    graph.nodes.insert(0, first);
    graph.nodes[1].inputs[0] = Some(cast);
    wide.model("model.onnx", &graph);
    said(&wide, "--model", "samples-type", "freeze: none\n");
}

#[test]
fn labels_that_a_loss_cannot_use() {
    let shown = include_str!("validation/labels-units.txt").split_once('\n').unwrap().1.trim();
    assert!(include_str!("../../README.md").contains(shown), "the README shows another text");
    check("labels-units", "freeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 2]}}\n");
    check("labels-units-relu", "freeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 2, relu]}}\n");
    check("labels-classes", "freeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 3]}}\nloss: mse\n");
    check(
        "labels-yes-no",
        "freeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 1]}}\nloss: {yes: {binary_cross_entropy: {of: head}}}\n",
    );
    check(
        "loss-weights",
        "loss: {cross_entropy: {class_weights: [1, 2]}}\nfreeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 3]}}\n",
    );
    check("loss-shape", "loss: cross_entropy\nfreeze: all\nlayers: {head: {replaces: fc3, stack: [linear: 1]}}\n");
    let scene = scene();
    scene.write("t.csv", "a,b,c,d,e,f,sort,size\n1,2,3,4,5,6,x,1.5\n1,2,3,4,5,6,y,2\n");
    let csv =
        |source: &str| format!("freeze: none\ndata:\n  sets:\n    train:\n      csv: {{path: t.csv, {source}}}\n");
    let data = |case: &str, source: &str| said(&scene, "--data", case, &csv(source));
    data("labels-none", "features: [a, b, c, d, e, f]");
    data("labels-numbers", "features: [a, b, c, d, e, f], values: [size]");
    data("column-labels", "features: [a, b, c, d, e, f], labels: srot");
    data("column-feature", "features: [a, b, c, d, e, g], labels: sort");
    data("column-where", "features: rest, labels: sort, where: {siz: 2}");
    scene.samples("test.npz", 5, &[6], 3);
    said(
        &scene,
        "--data",
        "array-missing",
        "data: {sets: {train: {npz: {path: train.npz, labels: z}}, test: {npz: {path: test.npz, inputs: xs}}}}\n",
    );
}

#[test]
fn every_sample_goes_through_its_transforms() {
    let scene = pictures();
    let data = |case: &str, data: &str| said(&scene, "--data", case, &of_pictures(data));
    data(
        "scan-crop",
        "  transforms:\n    train:\n      - random_crop: 8\n      - to_tensor\n    eval: [center_crop: 8, to_tensor]\n",
    );
    scene.write("pictures/b/9.png", b"\x89PNG\r\n\x1a\nnothing");
    data(
        "scan-both",
        "  transforms:\n    train:\n      - random_crop: 8\n      - to_tensor\n    eval: [center_crop: 8, to_tensor]\n",
    );
    data("scan-skip", "  on_error: skip\n  transforms: [center_crop: 8, to_tensor]\n");
}

#[test]
fn preprocessing_is_judged_without_the_data() {
    let away = Scene::new();
    let export = |transforms: &str| {
        format!("{}export: {{preprocess: true}}\n", of_pictures(&format!("  transforms: {transforms}\n")))
    };
    said(
        &away,
        "--model",
        "preprocess-random",
        &export("{train: [random_crop: 8, to_tensor], eval: [random_crop: 8, to_tensor]}"),
    );
    said(
        &away,
        "--model",
        "preprocess-size",
        &export("{train: [center_crop: 8, to_tensor], eval: [resize: 8, to_tensor]}"),
    );
    said(&away, "--model", "preprocess-good", &export("[resize: 9, center_crop: 8, to_tensor]"));
    let table = "freeze: none\ndata: {sets: {train: {csv: {path: t.csv, labels: sort, features: rest}}}}\nexport: {preprocess: true}\n";
    away.model("model.onnx", &mlp());
    said(&away, "--model", "preprocess-table", table);
    // What sources declare is held against the model, set by set.
    let columns =
        "freeze: none\ndata:\n  sets:\n    train: {csv: {path: t.csv, labels: sort, features: [a, b, c, d]}}\n";
    said(&away, "--model", "absent-columns", columns);
    let cifar = "model: {input: {image: [3, 32, 32]}}\nlayers: {net: {stack: [flatten, linear: 10]}}\n\
                 data: {sets: {train: {cifar10: {path: c, split: train}}}, transforms: [to_tensor]}\n";
    away.write("spec.yaml", spec(cifar));
    let (status, said) = away.command(&["check", "--model", "spec.yaml"], &[]);
    assert!(status == Some(0) && said.starts_with("note: "), "{said}");
}
