//! What a run writes: the fine-tuned model, the model that takes images, and networks that the spec puts together.

use crate::scene::{Net, Ran, Scene, assert_close, cnn, mlp, weight};
use pipe::data::Pipeline;
use pipe::ir::{DType, Tensor, onnx};
use pipe::native::{Options, Session};
use pipe::parts::sources::Item;
use pipe::plan::Plan;
use pipe::world;
use pipe::world::rng::Key;

fn options() -> Options {
    Options { threads: 1, ..Options::default() }
}

fn session(ran: &Ran) -> Session {
    Session::from_bytes(&ran.model, &options()).unwrap()
}

fn outputs(session: &Session) -> Vec<String> {
    session.outputs().into_iter().map(|(name, _)| name).collect()
}

fn drawn(shape: &[usize]) -> Tensor {
    let mut rng = Key::new(11).rng();
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
    Tensor::new(shape, &data)
}

/// Rows `[from, to)` of a tensor.
fn rows(tensor: &Tensor, from: usize, to: usize) -> Tensor {
    let width: usize = tensor.shape()[1..].iter().product();
    let mut shape = tensor.shape().to_vec();
    shape[0] = to - from;
    Tensor::new(shape, &tensor.to_vec::<f32>().unwrap()[from * width..to * width])
}

/// Seven rows at once give what each gives alone.
fn assert_any_batch(session: &mut Session, input: &str, sample: &[usize], width: usize) -> Vec<f32> {
    let mut shape = vec![7];
    shape.extend(sample);
    let x = drawn(&shape);
    let whole = session.call(&[(input, x.clone())]).unwrap().remove(0);
    assert_eq!(whole.shape(), [7, width]);
    let whole: Vec<f32> = whole.to_vec().unwrap();
    for row in 0..7 {
        let alone = session.call(&[(input, rows(&x, row, row + 1))]).unwrap().remove(0);
        assert_eq!(alone.shape(), [1, width]);
        assert_close(&alone.to_vec::<f32>().unwrap(), &whole[row * width..][..width], 1e-5);
    }
    whole
}

const TRAINED: &str = "
data: {sets: {train: {npz: train.npz}}}
loss: cross_entropy
optimizer: {sgd: {lr: 0.05, momentum: 0.9}}
schedule: {epochs: 2, batch: 4}
";

fn spec(model: &str, rest: &str) -> String {
    let trained =
        if rest.contains("loss:") { TRAINED.replace("loss: cross_entropy\n", "") } else { TRAINED.to_owned() };
    format!("version: 1\nname: export\nmodel: {model}\n{trained}{rest}\n")
}

#[test]
fn the_model_takes_any_batch_and_its_output_is_the_branch() {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 10, &[2, 6, 6], 3);
    let rest = "freeze: {all_but: ['conv2.*']}\nlayers: {sorts: {replaces: fc, stack: [dropout: 0.5, linear: 3]}}";
    let ran = scene.run(&spec("{source: cnn.onnx}", rest), "out");
    let mut session = session(&ran);
    assert_eq!(outputs(&session), ["sorts"]);
    assert_eq!(session.inputs(), [("x".to_owned(), Some((DType::F32, vec![-1, 2, 6, 6])))]);
    let graph = ran.exported();
    assert!(graph.nodes.iter().all(|node| node.op != "Dropout" && node.domain.is_empty()), "only standard operators");
    assert_any_batch(&mut session, "x", &[2, 6, 6], 3);
    assert!(graph.metadata.keys().any(|key| key.starts_with("pipe.")), "{:?}", graph.metadata);
    // The exported model is a source like any other.
    scene.write("tuned.onnx", &ran.model);
    let again = scene.run(&spec("{source: tuned.onnx}", "freeze: none"), "again");
    assert!(again.losses()[0] < ran.losses()[0] * 1.2);
    let by_name = scene.run(&spec("{source: tuned.onnx}", "freeze: {all_but: ['sorts.1.weight']}"), "named");
    assert_eq!(by_name.weight("conv2.weight"), ran.weight("conv2.weight"));
    assert_ne!(by_name.weight("sorts.1.weight"), ran.weight("sorts.1.weight"));
}

#[test]
fn the_exported_model_gives_the_evaluated_loss() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    let rest = "freeze: none\nevaluate: {datasets: [train], metrics: [accuracy]}";
    let ran = scene.run(&spec("{source: mlp.onnx}", rest), "out");
    let plan = scene.plan(&spec("{source: mlp.onnx}", rest)).unwrap();
    let set = &plan.sets["train"];
    let pipe::parts::sources::Labels::Classes { ids, .. } = set.labels() else { panic!("labels are classes") };
    let mut session = session(&ran);
    let mut loss = 0.0;
    let mut right = 0;
    for (i, class) in ids.iter().enumerate() {
        let Item::Array { data, .. } = set.load(i).unwrap() else { panic!("samples are arrays") };
        let scores = session.call(&[("x", Tensor::new([1, 6], &data))]).unwrap()[0].to_vec::<f32>().unwrap();
        let total: f64 = scores.iter().map(|s| f64::from(*s).exp()).sum();
        loss += total.ln() - f64::from(scores[*class as usize]);
        let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        right += usize::from(best as i64 == *class);
    }
    assert!((loss / 9.0 - ran.score("train", "loss")).abs() < 1e-5);
    assert!((right as f64 / 9.0 - ran.score("train", "accuracy")).abs() < 1e-12);
}

#[test]
fn chosen_branches_are_exported() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    let layers = "freeze: all\nlayers:\n  body: {replaces: fc3, stack: [linear: 4, relu]}\n  head: {from: body, stack: [linear: 3]}\n";
    let loss = "loss: {task: {cross_entropy: {of: head}}}\nevaluate: {datasets: [train]}\n";
    for (export, expected) in [
        ("", vec!["head"]),
        ("export: {outputs: [head]}", vec!["head"]),
        ("export: {outputs: [body]}", vec!["body"]),
        ("export: {outputs: [body, head]}", vec!["body", "head"]),
    ] {
        let ran = scene.run(&spec("{source: mlp.onnx}", &format!("{layers}{loss}{export}")), &format!("run{export}"));
        let session = session(&ran);
        assert_eq!(outputs(&session), expected, "{export}");
    }
}

/// What the transforms of `train` give for a PNG, and what the model of a run gives for that.
fn expected(plan: &Plan, ran: &Ran, position: usize) -> Vec<f32> {
    let set = &plan.sets["train"];
    let pipeline = Pipeline::build(&plan.spec.data.transforms.eval, Key::new(0)).unwrap();
    let Item::Array { shape, data } = pipeline.apply(set.load(position).unwrap(), 0, 0).unwrap() else { panic!() };
    let shape: Vec<usize> = std::iter::once(1).chain(shape).collect();
    session(ran).call(&[("image", Tensor::new(shape, &data))]).unwrap()[0].to_vec().unwrap()
}

#[test]
fn the_image_model_takes_decoded_images_of_any_size() {
    let scene = Scene::new();
    for (class, level) in [("a", 10), ("b", 120)] {
        for i in 0..4u8 {
            scene.png(&format!("images/{class}/{i}.png"), 24 + u32::from(i) * 9, 31 - u32::from(i) * 3, level + i);
        }
    }
    let text = "
version: 1
name: image
model: {input: {image: [3, 12, 12]}}
layers:
  net: {stack: [conv: {channels: 4, kernel: 3, padding: same}, relu, max_pool: 2, flatten, linear: 2]}
data:
  sets: {train: {image_folder: images}}
  transforms:
    train: [random_resized_crop: 12, to_tensor, normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.3]}]
    eval: [resize: 14, center_crop: 12, to_tensor, normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.3]}]
loss: cross_entropy
optimizer: {sgd: 0.01}
schedule: {epochs: 1, batch: 4}
";
    let ran = scene.run(text, "out");
    assert!(ran.summary.files.contains(&"model.image.onnx".to_owned()), "{:?}", ran.summary.files);
    let plan = scene.plan(text).unwrap();
    let bytes = world::read(&ran.folder.join("model.image.onnx")).unwrap();
    let mut whole = Session::from_bytes(&bytes, &options()).unwrap();
    assert_eq!(outputs(&whole), ["net"]);
    let mut apart = 0.0f32;
    for position in 0..8 {
        let Item::Image(image) = plan.sets["train"].load(position).unwrap() else { panic!() };
        let shape = vec![1, image.height, image.width, 3];
        let pixels = Tensor::from_bytes(DType::U8, shape, image.data).unwrap();
        let found = whole.call(&[("image", pixels)]).unwrap()[0].to_vec::<f32>().unwrap();
        let expected = expected(&plan, &ran, position);
        let scale = expected.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
        for (a, b) in found.iter().zip(&expected) {
            apart = apart.max((a - b).abs() / scale);
        }
    }
    // A pixel of the resized image may round to its neighbour: 1/255 before the division by std.
    assert!(apart < 0.02, "logits are {apart} apart");
    // Grey pictures stay grey: the model takes one channel.
    let pixels: Vec<u8> = (0..2 * 10 * 9).map(|i| (i * 7 % 251) as u8).collect();
    scene.write("x", [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 10, 0, 0, 0, 9][..], &pixels[..]].concat());
    scene.write("y", [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]);
    let grey = text
        .replace("image: [3, 12, 12]", "image: [1, 12, 12]")
        .replace("{image_folder: images}", "{idx: {images: x, labels: y}}")
        .replace("mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.3]", "mean: 0.4, std: 0.2");
    let grey_run = scene.run(&grey, "grey");
    let bytes = world::read(&grey_run.folder.join("model.image.onnx")).unwrap();
    let mut whole = Session::from_bytes(&bytes, &options()).unwrap();
    let image = Tensor::from_bytes(DType::U8, vec![1, 10, 9, 1], pixels[..90].to_vec()).unwrap();
    let found = whole.call(&[("image", image)]).unwrap()[0].to_vec::<f32>().unwrap();
    assert!(found.iter().all(|x| x.is_finite()) && found.len() == 2);
    let without = text.to_owned() + "export: {preprocess: false}\n";
    assert_eq!(scene.run(&without, "without").summary.files, ["model.onnx"]);
}

#[test]
fn a_network_may_be_built_from_layers_alone() {
    let scene = Scene::new();
    scene.samples("train.npz", 12, &[1, 8, 8], 3);
    let layers = "
layers:
  net:
    stack:
      - conv: {channels: 4, kernel: 3, padding: same, bias: false}
      - batch_norm
      - relu
      - max_pool: 2
      - conv: {channels: 6, kernel: 3, stride: 2, padding: 1}
      - leaky_relu
      - average_pool: 2
      - flatten
      - linear: 5
        init: kaiming_normal
      - gelu
      - linear: 3
";
    let ran = scene.run(&spec("{input: {image: [1, 8, 8]}}", layers), "out");
    let mut session = session(&ran);
    assert_eq!((outputs(&session), session.inputs()[0].0.as_str()), (vec!["net".to_owned()], "image"));
    assert_any_batch(&mut session, "image", &[1, 8, 8], 3);
    assert_eq!(ran.weight("net.4.weight").len(), 6 * 4 * 9);
    let losses =
        scene.run(&spec("{input: {image: [1, 8, 8]}}", layers).replace("epochs: 2", "epochs: 25"), "long").losses();
    assert!(losses[losses.len() - 1] < 0.5 * losses[0], "it learns: {losses:?}");
}

#[test]
fn reinitialised_parameters_start_anew() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    let rest = "freeze: {all_but: ['fc3.*']}\nseed: 4";
    let run = |model: &str, out: &str| scene.run(&spec(model, rest), out);
    let kept = run("{source: mlp.onnx}", "kept");
    let anew = run("{source: mlp.onnx, reinitialize: ['fc2.weight']}", "anew");
    assert_eq!(kept.weight("fc2.weight"), weight(&mlp(), "fc2.weight"));
    assert_ne!(anew.weight("fc2.weight"), weight(&mlp(), "fc2.weight"));
    assert_eq!(anew.weight("fc2.bias"), weight(&mlp(), "fc2.bias"));
    assert_eq!(anew.weight("fc1.weight"), weight(&mlp(), "fc1.weight"));
    let bound = 1.0 / 8.0f32.sqrt();
    assert!(anew.weight("fc2.weight").iter().all(|w| w.abs() <= bound + 1e-6), "torch's default for 8 inputs");
    assert_ne!(kept.losses(), anew.losses());
}

#[test]
fn a_stack_may_be_spliced_in() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    let rest = "freeze: all\nlayers: {adapter: {insert_after: relu1, stack: [linear: 4, tanh, linear: 8]}}";
    let text = spec("{source: mlp.onnx}", rest).replace("loss: cross_entropy", "loss: {cross_entropy: {}}");
    let plan = scene.plan(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let names: Vec<&str> = plan.network.branches.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["logits"], "what is spliced in is no output; the model's own is");
    let ran = scene.run(&text, "out");
    assert_ne!(ran.weight("adapter.0.weight"), Vec::<f32>::new());
    assert_eq!(ran.weight("fc3.weight"), weight(&mlp(), "fc3.weight"));
    assert_any_batch(&mut session(&ran), "x", &[6], 3);
}

#[test]
fn every_branch_sees_what_is_spliced_in_whatever_the_names() {
    let scene = Scene::new();
    scene.model("mlp.onnx", &mlp());
    scene.samples("train.npz", 9, &[6], 3);
    for (first, second) in [("a", "b"), ("b", "z"), ("y", "z")] {
        for start in ["from: relu1", "replaces: fc2"] {
            let rest = format!(
                "freeze: all\nlayers:\n  {first}: {{insert_after: relu1, stack: [linear: 4]}}\n  \
                 {second}: {{insert_after: relu1, stack: [linear: 5]}}\n  m: {{{start}, stack: [linear: 3]}}"
            );
            let plan = scene.plan(&spec("{source: mlp.onnx}", &rest)).unwrap();
            let shape = |name: String| {
                let param = plan.network.params.iter().find(|param| param.name == name);
                param.unwrap_or_else(|| panic!("no {name}")).shape.clone()
            };
            let shapes = [first, second, "m"].map(|branch| shape(format!("{branch}.0.weight")));
            assert_eq!(shapes, [[4, 8], [5, 4], [3, 5]], "{first}, {second}, {start}");
        }
    }
}

#[test]
fn a_branch_may_start_from_another_or_from_a_value() {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 10, &[2, 6, 6], 3);
    let rest = "
freeze: all
layers:
  neck: {from: relu1, stack: [conv: {channels: 3, kernel: 1}, relu, global_average_pool]}
  near: {from: neck, stack: [linear: 3]}
  far: {from: neck, stack: [linear: 7, relu, linear: 3]}
loss:
  near: {cross_entropy: {of: near}, weight: 0.5}
  far: {cross_entropy: {of: far}, weight: 2}
";
    let ran = scene.run(&spec("{source: cnn.onnx}", rest), "out");
    let graph = ran.exported();
    assert!(graph.find("conv2.weight").is_none(), "what nothing needs is pruned");
    assert_eq!(
        graph.constant(graph.find("conv1.weight").unwrap()),
        cnn().constant(cnn().find("conv1.weight").unwrap())
    );
    assert_eq!(outputs(&session(&ran)), ["far", "near"]);
    let told = ran.events.iter().find_map(|event| match event {
        pipe::runtime::Event::Step { loss, terms, .. } => Some((*loss, terms["near"], terms["far"])),
        _ => None,
    });
    let (loss, near, far) = told.unwrap();
    assert!((loss - (0.5 * near + 2.0 * far)).abs() < 1e-6, "{loss}, {near}, {far}");
}

#[test]
fn a_term_without_a_branch_looks_at_the_only_end() {
    let scene = Scene::new();
    scene.model("cnn.onnx", &cnn());
    scene.samples("train.npz", 10, &[2, 6, 6], 3);
    let rest = "
freeze: all
layers:
  neck: {from: relu1, stack: [global_average_pool, linear: 5, relu]}
  end: {from: neck, stack: [linear: 3]}
";
    let ran = scene.run(&spec("{source: cnn.onnx}", rest), "out");
    assert_eq!(outputs(&session(&ran)), ["end"]);
}

#[test]
fn odd_inputs_of_a_source_are_taken() {
    // One sample, one class more than there are samples, a batch larger than the set.
    let scene = Scene::new();
    scene.model("model.onnx", &Net::new(&[1]).linear("fc", 1, 4).done());
    scene.npz("train.npz", 1, &[1], &[0.5], &[3]);
    let ran = scene.run(&spec("{source: model.onnx}", "freeze: none"), "one");
    assert!(ran.losses().iter().all(|loss| loss.is_finite()));
    assert_any_batch(&mut session(&ran), "x", &[1], 4);
    assert!(onnx::decode(&ran.model, None).is_ok());
}
