//! Training on a GPU. What needs one says so and is left out elsewhere; that kernels compile is tested wherever NVRTC is.

use crate::gradients::{Form, gradients, points_and_weights};
use crate::scene::{Ran, Scene, cnn};
use pipe::ir::{Attr, Builder, DType, Graph, OPSET, Tensor, TensorType, ValueId};
use pipe::kernels::{OPERATORS, cuda::Work};
use pipe::native::{Options, Session, cuda, locate, locate_cuda};
use pipe::ops::cases;
use pipe::parts::Family;
use pipe::runtime::Event;
use pipe::spec::Precision;
use serde_json::json;
use std::collections::BTreeSet;

/// Whether the library that this process loads can use a GPU; says so where not.
#[expect(clippy::print_stderr, reason = "what is left out is told")]
fn has_gpu() -> bool {
    let same = matches!((locate(), locate_cuda()), (Ok(a), Ok(b)) if a.path == b.path);
    let usable = same && cuda::is_usable();
    if !usable {
        eprintln!("no GPU, or `PIPE_ORT` does not name a library that uses it: left out");
    }
    usable
}

/// On machines without NVRTC there is nothing to compile with.
#[test]
fn kernels_compile() {
    if !cuda::has_compiler() {
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernels/cuda");
    let mut compiled = BTreeSet::new();
    for path in pipe::world::list_dir(std::path::Path::new(folder)).unwrap() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "cu") {
            continue;
        }
        let shared = pipe::world::read_to_string(&path.with_file_name("sums.cu")).unwrap();
        let source = pipe::world::read_to_string(&path).unwrap();
        let source = if source.contains("block_sum(") && name != "sums.cu" { shared + &source } else { source };
        if name == "real.cu" {
            continue;
        }
        let rules = match name.as_str() {
            "update.cu" => vec![
                ("sgd", json!({"lr": 0.1})),
                ("sgd", json!({"lr": 0.1, "momentum": 0.9, "dampening": 0.5})),
                ("sgd", json!({"lr": 0.1, "momentum": 0.9, "nesterov": true})),
                ("adam", json!({"lr": 0.1})),
                ("adamw", json!({"lr": 0.1})),
            ],
            _ => Vec::new(),
        };
        let mut fronts: Vec<String> = rules
            .into_iter()
            .map(|(kind, config)| {
                let chosen = pipe::parts::Chosen::<pipe::parts::optimizers::Optimizers>::new(kind, config);
                chosen.build().unwrap().cuda()
            })
            .collect();
        if name == "update.cu" {
            assert_eq!(pipe::parts::optimizers::Optimizers::rows().len(), 3, "a rule without a test here");
        } else {
            fronts.extend([DType::F32, DType::F16, DType::Bf16].map(|float| pipe::kernels::cuda::source("", float)));
        }
        for front in fronts {
            let code = cuda::compile(&format!("{front}{source}"), (9, 0)).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(!code.is_empty());
        }
        compiled.insert(name);
    }
    assert!(compiled.len() >= 6, "{compiled:?}");
}

#[test]
fn launches_name_functions_that_their_sources_have() {
    let shapes: [(&str, Vec<Vec<usize>>); 6] = [
        ("BatchNormApply", vec![vec![2, 3, 5], vec![3], vec![3], vec![2, 3]]),
        ("BatchNormDataGrad", vec![vec![2, 3, 5], vec![2, 3, 5], vec![3], vec![3], vec![3], vec![2, 3]]),
        ("BatchNormStatistics", vec![vec![2, 3, 4, 4]]),
        ("BatchNormSums", vec![vec![2, 3, 5], vec![2, 3, 5], vec![3], vec![3]]),
        ("CountedDropout", vec![vec![2, 3], vec![2]]),
        ("GateGrad", vec![vec![2, 3], vec![2, 3]]),
    ];
    for (name, shapes) in shapes {
        let operator = OPERATORS.iter().find(|operator| operator.name == name).unwrap();
        let node = pipe::ir::Node::default();
        let views: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let Work::Launches(launches, _) = (operator.kernel)(&node).unwrap().cuda(&views).unwrap() else {
            panic!("{name}")
        };
        for launch in launches {
            assert!(launch.source.contains(&format!("void {}(", launch.function)), "{name}: {}", launch.function);
            let from = launch.source.find(&format!("void {}(", launch.function)).unwrap();
            let list = launch.source[from..].split_once(')').unwrap().0;
            assert_eq!(list.split(',').count(), launch.arguments.len(), "{name}: {}", launch.function);
        }
    }
}

#[test]
fn gradients_are_those_of_the_processor() {
    if !has_gpu() {
        return;
    }
    let mut failures = Vec::new();
    let mut worst = (0.0f64, String::new());
    let mut count = 0;
    for case in cases() {
        let title = format!("{} ({})", case.op, case.name);
        // What the provider throws ends the process: the last name is the culprit's.
        eprintln!("{title}");
        let Some((points, weights)) = points_and_weights(&case) else { continue };
        let Ok(wanted) = gradients(&case, DType::F32, &points, &weights, Form::Plain) else { continue };
        match gradients(&case, DType::F32, &points, &weights, Form::Cuda(Precision::F32)) {
            Ok(made) => {
                count += 1;
                for (made, wanted) in made.iter().zip(&wanted) {
                    let norm = wanted.iter().map(|g| g * g).sum::<f64>().sqrt();
                    let away = made.iter().zip(wanted).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                    let apart = away / norm.max(1e-3);
                    if apart > worst.0 {
                        worst = (apart, title.clone());
                    }
                    if apart.is_nan() || apart > 1e-4 || made.len() != wanted.len() {
                        failures.push(format!("{title}: {apart:.2e} apart"));
                    }
                }
            }
            Err(why) => failures.push(format!("{title}: {}", why.lines().take(6).collect::<Vec<_>>().join(" "))),
        }
    }
    let (apart, title) = worst;
    assert!(failures.is_empty(), "{} of {count} failed\n{}", failures.len(), failures.join("\n"));
    assert!(count > 300, "{count} cases, the largest difference is {apart:.2e} in {title}");
}

/// Shapes of the inputs of an own operator, and its attributes.
type Sample = (&'static str, &'static [&'static [usize]], Vec<(&'static str, Attr)>);

/// One of every own operator that is there in half precision.
fn samples() -> Vec<Sample> {
    let ints = |name, list: &[i64]| (name, Attr::Ints(list.to_vec()));
    let convolution = || vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])];
    let (image, channels): (&[usize], &[usize]) = (&[4, 6, 10, 10], &[6]);
    let gate = || vec![("low", Attr::Float(-0.5)), ("high", Attr::Float(0.5))];
    vec![
        ("After", &[&[3, 37], &[3, 37]], Vec::new()),
        ("BatchNormApply", Vec::leak(vec![image, channels, channels, &[2, 6]]), vec![("epsilon", Attr::Float(1.5))]),
        (
            "BatchNormDataGrad",
            Vec::leak(vec![image, image, channels, channels, channels, &[2, 6]]),
            vec![("epsilon", Attr::Float(1.5))],
        ),
        ("BatchNormStatistics", &[&[4, 6, 10, 10]], Vec::new()),
        ("BatchNormStatistics", &[&[4, 6, 3, 3]], Vec::new()),
        ("BatchNormSums", Vec::leak(vec![image, image, channels, channels]), vec![("epsilon", Attr::Float(1.5))]),
        ("Conv", &[&[4, 6, 10, 10], &[8, 6, 3, 3]], convolution()),
        ("ConvDataGrad", &[&[4, 8, 10, 10], &[8, 6, 3, 3]], [convolution(), vec![ints("shape", &[10, 10])]].concat()),
        ("ConvWeightGrad", &[&[4, 6, 10, 10], &[4, 8, 10, 10]], convolution()),
        ("GateGrad", &[&[3, 37], &[3, 37]], gate()),
        ("GateGrad", &[&[3, 36], &[3, 36]], gate()),
        ("Gelu", &[&[3, 37]], Vec::new()),
        ("Gelu", &[&[3, 36]], vec![("tanh", Attr::Int(1))]),
        ("GeluGrad", &[&[3, 37], &[3, 37]], vec![("tanh", Attr::Int(1))]),
        ("GeluGrad", &[&[3, 36], &[3, 36]], Vec::new()),
        ("LayerNormDataGrad", &[&[5, 7, 70], &[5, 7, 70], &[70], &[5, 7, 1], &[5, 7, 1]], Vec::new()),
        ("LayerNormSums", &[&[5, 7, 70], &[5, 7, 70], &[5, 7, 1], &[5, 7, 1]], vec![("over", Attr::Int(1))]),
        (
            "RunningStatistic",
            Vec::leak(vec![channels, channels, image]),
            vec![("keep", Attr::Float(0.9)), ("unbiased", Attr::Int(1))],
        ),
        ("SoftmaxGrad", &[&[5, 70], &[5, 70]], Vec::new()),
        ("SoftmaxGrad", &[&[3, 3000], &[3, 3000]], vec![("log", Attr::Int(1))]),
    ]
}

/// What an operator gives in some float type on a GPU, or in f32 on the processor; its halves are rounded to that type either way.
fn sampled((op, shapes, attrs): &Sample, float: DType, on_gpu: bool) -> Vec<f32> {
    let operator = OPERATORS.iter().find(|operator| operator.name == *op).unwrap();
    let halves = operator.cuda.unwrap();
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let inputs: Vec<ValueId> = (0..shapes.len())
        .map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(DType::F32, shapes[i])))
        .collect();
    let mut b = Builder::new(&mut graph, "own");
    let given: Vec<Option<ValueId>> = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| {
            if !halves.inputs.contains(&i) || float == DType::F32 {
                return Some(*input);
            }
            let half = b.cast(*input, float);
            Some(if on_gpu { half } else { b.cast(half, DType::F32) })
        })
        .collect();
    let made = b.node("pipe", op, &given, attrs, 1)[0];
    let wide = b.cast(made, DType::F32);
    graph.outputs = vec![wide];
    let cuda = on_gpu.then_some(pipe::native::Cuda { tf32: false, deterministic: true });
    let mut session = Session::build(&graph, &Options { threads: 1, cuda, ..Options::default() }).unwrap();
    let values = |i: usize, size: usize| (0..size).map(|at| ((at * (i + 3)) as f32 * 0.37).sin()).collect::<Vec<_>>();
    let feeds: Vec<(String, Tensor)> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| (format!("x{i}"), Tensor::new(*shape, &values(i, shape.iter().product()))))
        .collect();
    let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    session.call(&feeds).unwrap()[0].to_vec().unwrap()
}

#[test]
fn own_operators_in_half_precision_give_what_the_processor_gives() {
    let named: BTreeSet<&str> = samples().iter().map(|sample| sample.0).collect();
    for operator in OPERATORS.iter().filter(|operator| operator.cuda.is_some_and(|halves| !halves.inputs.is_empty())) {
        // Those that read integers too are in the sweep of gradients, in f32.
        let floats = operator.inputs.iter().all(|ty| *ty == DType::F32);
        assert!(!floats || named.contains(operator.name), "{} has no sample", operator.name);
    }
    for sample in samples() {
        assert!(sampled(&sample, DType::F32, false).iter().all(|value| value.is_finite()), "{}", sample.0);
    }
    if !has_gpu() {
        return;
    }
    let mut failures = Vec::new();
    for sample in samples() {
        for (float, unit) in [(DType::F32, 1e-6), (DType::F16, 1e-3), (DType::Bf16, 8e-3)] {
            let (made, wanted) = (sampled(&sample, float, true), sampled(&sample, float, false));
            let scale = wanted.iter().fold(1.0f32, |most, value| most.max(value.abs()));
            let apart = made.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale;
            // Half a unit in the last place of the output, and the rounding of sums in f32.
            if made.len() != wanted.len() || apart.is_nan() || apart > 0.6 * unit + 1e-5 {
                failures.push(format!("{} {:?} {float:?}: {apart:.1e} apart", sample.0, sample.1));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn golden_curves_hold() {
    if !has_gpu() {
        return;
    }
    for case in crate::goldens::CASES {
        crate::goldens::golden_on(case, "\nruntime: {device: cuda}\n", 1e-3);
    }
}

#[test]
fn numbers_that_need_a_gpu_are_refused_on_the_processor_and_stand_for_a_run() {
    let scene = scene();
    scene.write("spec.yaml", spec(SPECS[0].1, "{device: cpu}"));
    let commands: [&[&str]; 3] = [
        &["run", "spec.yaml", "--set", "runtime.precision=bf16"],
        &["bench", "spec.yaml", "--precision", "bf16"],
        &["bench", "model.onnx", "--precision", "bf16"],
    ];
    for command in commands {
        let (status, said) = scene.command(command, &[]);
        assert!(status != Some(0) && said.contains("P0208"), "{command:?}: {status:?} {said}");
    }
    assert!(!pipe::world::exists(&scene.path("runs")));
    let identity = |runtime: &str| {
        let parsed = pipe::spec::parse(&spec(SPECS[0].1, runtime), "spec.yaml", &[]);
        pipe::spec::identity(&parsed.spec.unwrap())
    };
    assert_eq!(identity("{device: cpu}"), identity("{device: cuda, precision: f32}"));
    assert_ne!(identity("{device: cuda}"), identity("{device: cuda, precision: bf16}"));
}

#[test]
fn a_machine_without_a_gpu_says_so_before_anything_runs() {
    if cuda::is_usable() {
        return;
    }
    let scene = scene();
    scene.write("spec.yaml", spec(SPECS[0].1, "{device: cuda}"));
    for command in [["run", "spec.yaml"], ["bench", "spec.yaml"]] {
        let (status, said) = scene.command(&command, &[]);
        assert_eq!(status, Some(1), "{command:?}: {said}");
        assert!(said.contains("P0011") || said.contains("P0010"), "{command:?}: {said}");
        assert!(said.contains("help:") && said.contains("device: cuda"), "{command:?}: {said}");
    }
    assert!(!pipe::world::exists(&scene.path("runs")));
    // A plan that is only looked at says what it does not know, and what the GPU would have to hold.
    let (status, text, said) = scene.outputs(&["plan", "spec.yaml"]);
    assert_eq!(status, Some(0), "{said}");
    let (_, gpu) = text.split_once("\ngpu        about ").unwrap_or_else(|| panic!("{text}"));
    assert!(gpu.contains("activations") && gpu.contains("known only on a machine with a GPU: "), "{text}");
    let (_, json, _) = scene.outputs(&["plan", "spec.yaml", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(plan["gpu_memory"]["total"].as_u64() > plan["gpu_memory"]["activations"].as_u64(), "{json}");
    let train = trained(&plan);
    assert!(train["placement_unknown_because"].is_string() && train.get("on_processor").is_none(), "{json}");
    // Whether the spec is right is another question.
    assert_eq!(scene.command(&["check", "spec.yaml", "--model"], &[]).0, Some(0));
    assert_eq!(scene.command(&["run", "spec.yaml", "--device", "auto", "--quiet"], &[]).0, Some(0));
}

/// The training step of a plan.
fn trained(plan: &serde_json::Value) -> &serde_json::Value {
    plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == "train").unwrap()
}

#[test]
fn a_plan_says_which_nodes_the_gpu_does_not_run() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    for (name, rest) in SPECS {
        scene.write("spec.yaml", spec(rest, "{device: cuda}"));
        let (status, text, said) = scene.outputs(&["plan", "spec.yaml"]);
        assert_eq!(status, Some(0), "{name}: {said}");
        assert!(text.contains("every node runs on the GPU") && text.contains("\ngpu        about "), "{name}: {text}");
        let (_, json, _) = scene.outputs(&["plan", "spec.yaml", "--json", "--set", "runtime.strict=true"]);
        let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(trained(&plan)["on_processor"], json!([]), "{name}: {json}");
    }
}

/// With the command, which has the driver wait for every kernel from its start.
#[test]
fn operators_are_timed() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    let bench =
        ["bench", "model.onnx", "--device", "cuda", "--precision", "bf16", "--steps", "3", "--json", "--profile"];
    let (status, json, said) = scene.outputs(&bench);
    assert_eq!(status, Some(0), "{said}");
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    let table = &found["profile"];
    let (mut inside, mut directions) = (0.0, BTreeSet::new());
    for row in table["rows"].as_array().unwrap() {
        inside += row["milliseconds"].as_f64().unwrap();
        directions.insert(row["direction"].as_str().unwrap());
    }
    assert_eq!(directions, BTreeSet::from(["backward", "forward"]), "{table}");
    assert!(inside > 0.0 && inside <= 1.001 * table["milliseconds"].as_f64().unwrap(), "{table}");
    assert!(table["optimizer"].as_f64().unwrap() > 0.0, "{table}");
    let trace = pipe::world::read_to_string(&scene.path("trace.json")).unwrap();
    assert!(trace.contains(r#""cat":"backward""#) && trace.contains(r#""name":"step""#));
    // A run as well, and what it computes stays the same.
    scene.write("spec.yaml", spec(SPECS[0].1, "{device: cuda, deterministic: true}"));
    let (status, text, said) = scene.outputs(&["run", "spec.yaml", "--profile", "--out", "profiled"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(text.contains("trace in trace.phase1.json") && text.contains("\noptimizer "), "{text}");
    assert!(text.contains("waited for after every kernel"), "{text}");
    assert_eq!(scene.outputs(&["run", "spec.yaml", "--fresh", "--out", "plain"]).0, Some(0));
    let [profiled, plain] =
        ["profiled", "plain"].map(|run| pipe::world::read(&scene.path(run).join("metrics.jsonl")).unwrap());
    assert!(profiled == plain);
}

/// Losses of the steps of a run.
fn losses(ran: &Ran) -> Vec<f64> {
    let of = |event: &Event| match event {
        Event::Step { objective, .. } => Some(*objective),
        _ => None,
    };
    ran.events.iter().filter_map(of).collect()
}

/// Specs that go through everything that the optimizer and the steps can do.
pub(crate) const SPECS: &[(&str, &str)] = &[
    ("momentum", "optimizer: {sgd: {lr: 0.05, momentum: 0.9}, clip_norm: 1.0}\nschedule: {epochs: 6, batch: 8}\n"),
    (
        "adamw",
        "optimizer: {adamw: {lr: 0.01, weight_decay: 0.1}, ema: 0.9}\nregularizer: {l1: 1e-3}\nschedule: {epochs: 6, batch: 8, lr: {cosine: {}}}\n",
    ),
    (
        "accumulated",
        "optimizer: {sgd: {lr: 0.05}}\nregularizer: {l2_sp: {lambda: 0.1, beta: 0.01}}\nschedule: {epochs: 6, batch: 4, accumulate: 2}\n",
    ),
    (
        "dropout",
        "layers: {head: {replaces: fc, stack: [linear: 8, relu, {dropout: 0.3}, linear: 3]}}\noptimizer: {adam: 0.01}\nschedule: {epochs: 6, batch: 8}\n",
    ),
    ("frozen", "freeze: {all_but: ['fc.*']}\noptimizer: {adam: 0.01}\nschedule: {epochs: 6, batch: 8}\n"),
];

pub(crate) fn spec(rest: &str, runtime: &str) -> String {
    format!(
        "version: 1\nname: cuda\nmodel: {{source: model.onnx}}\ndata: {{sets: {{train: {{npz: train.npz}}}}}}\nloss: cross_entropy\n{rest}\
         runtime: {runtime}\n"
    )
}

pub(crate) fn scene() -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", &cnn());
    scene.samples("train.npz", 45, &[2, 6, 6], 3);
    scene
}

#[test]
fn losses_are_those_of_the_processor() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    let mut failures = Vec::new();
    for (name, rest) in SPECS {
        let wanted = losses(&scene.run(&spec(rest, "{device: cpu}"), &format!("{name}-cpu")));
        for (precision, tolerance) in [("f32", 1e-3), ("tf32", 2e-2), ("bf16", 1e-1), ("f16", 2e-2)] {
            let text = spec(rest, &format!("{{device: cuda, precision: {precision}, strict: true}}"));
            let made = match scene.attempt(&text, &format!("{name}-{precision}"), false, &|_| false) {
                Ok(ran) => losses(&ran),
                Err(problems) => {
                    failures.push(format!("{name} {precision}: {problems:?}"));
                    continue;
                }
            };
            let apart = made.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / b.abs().max(1e-2)).fold(0.0, f64::max);
            if made.len() != wanted.len() || apart.is_nan() || apart > tolerance {
                failures.push(format!(
                    "{name} {precision}: {apart:.1e} apart, {} of {} steps",
                    made.len(),
                    wanted.len()
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn two_runs_and_a_resumed_one_give_the_same_bytes() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    for (name, rest) in SPECS {
        let text = spec(rest, "{device: cuda, deterministic: true}");
        let [first, second] = ["first", "second"].map(|out| scene.run(&text, &format!("{name}-{out}")));
        assert!(first.model == second.model && first.metrics == second.metrics, "{name}");
        let out = format!("{name}-resumed");
        let third = |event: &Event| matches!(event, Event::Step { step: 13, .. });
        assert!(scene.attempt(&text, &out, false, &third).is_err());
        let resumed = scene.attempt(&text, &out, true, &|_| false).unwrap();
        assert!(first.model == resumed.model && first.metrics == resumed.metrics, "{name} resumed");
    }
}

#[test]
fn what_is_made_again_changes_nothing() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    for precision in ["f32", "f16", "bf16"] {
        let runtime =
            |more: &str| format!("{{device: cuda, strict: true, deterministic: true, precision: {precision}{more}}}");
        let text = spec(SPECS[0].1, &runtime(", recompute: ['*', '!fc']"));
        let plan = scene.plan(&text).unwrap();
        assert!(plan.phases[0].graphs.full.recomputed.nodes > 2, "{precision}");
        let again = scene.run(&text, &format!("{precision}-again"));
        let kept = scene.run(&spec(SPECS[0].1, &runtime("")), &format!("{precision}-kept"));
        let apart = losses(&again)
            .iter()
            .zip(losses(&kept))
            .map(|(a, b)| (a - b).abs() / b.abs().max(1e-2))
            .fold(0.0, f64::max);
        assert!(apart <= 1e-5, "{precision}: {apart:.1e} apart");
    }
}

/// A loss so heavy that gradients overflow in half precision until the factor on it was halved several times.
fn heavy() -> String {
    let rest = "optimizer: {sgd: {lr: 5e-5, momentum: 0.9}}\nschedule: {epochs: 6, batch: 8}\n";
    spec(rest, "{device: cuda, precision: f16, deterministic: true}")
        .replace("loss: cross_entropy", "loss: {cross_entropy: {}, weight: 1000}")
}

/// The factor on the loss is part of the checkpoint: a run that went on from the factor of the start would leave steps out again.
#[test]
fn a_resumed_run_in_half_precision_goes_on_with_the_factor_on_the_loss() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    let whole = scene.run(&heavy(), "whole");
    let left_out = |event: &&Event| matches!(event, Event::Step { skipped: true, grad_norm: None, .. });
    let (skipped, steps) = (whole.events.iter().filter(left_out).count(), losses(&whole).len());
    assert!((1..steps).contains(&skipped), "{skipped} of {steps} steps left out");
    // A step that was left out says so and has no norm; every other has a finite one.
    for line in whole.metrics.lines().filter(|line| line.contains(r#""event":"step""#)) {
        let step: serde_json::Value = serde_json::from_str(line).unwrap();
        let norm = step.get("grad_norm");
        assert_eq!(norm.is_none(), step.get("skipped") == Some(&json!(true)), "{line}");
        assert!(norm.is_none_or(serde_json::Value::is_number) && step["objective"].is_number(), "{line}");
    }
    let later = |event: &Event| matches!(event, Event::Step { step: 13, .. });
    assert!(scene.attempt(&heavy(), "resumed", false, &later).is_err());
    let resumed = scene.attempt(&heavy(), "resumed", true, &|_| false).unwrap();
    assert!(whole.metrics == resumed.metrics, "metrics\n{}\nresumed\n{}", whole.metrics, resumed.metrics);
    assert!(whole.model == resumed.model, "model");
}

/// One layer on a million rows that fill a batch up: more than a TiB, of which the host sees 25 MiB.
fn too_large() -> String {
    let rest = "freeze: all\nlayers: {head: {replaces: fc, stack: [linear: 100000, relu, linear: 3]}}\n\
                optimizer: {adam: 0.01}\nschedule: {epochs: 1, batch: 1048576}\n";
    spec(rest, "{device: cuda}")
}

#[test]
fn memory_that_ran_out_is_told_with_what_is_needed_and_what_there_is() {
    if !has_gpu() {
        return;
    }
    // Our own allocations.
    let problem = cuda::DeviceBuffer::new(1 << 42).unwrap_err();
    assert_eq!(problem.code(), pipe::diag::Code::OutOfMemory, "{problem:?}");
    // Those of ONNX Runtime.
    let problems = scene().attempt(&too_large(), "large", false, &|_| false).unwrap_err();
    assert_eq!(problems[0].code(), pipe::diag::Code::OutOfMemory, "{problems:?}");
    let notes = problems[0].notes().join("\n");
    for words in ["on the GPU the run needs about", "activations", "the GPU has", "are free"] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    assert!(problems[0].help_text().unwrap().contains("schedule.batch"), "{problems:?}");
}

#[test]
fn a_bad_value_ends_the_run_with_the_weights_before_it() {
    if !has_gpu() {
        return;
    }
    let scene = scene();
    let rest = "optimizer: {sgd: {lr: 1e30}}\nschedule: {epochs: 6, batch: 8}\n";
    let problems = scene.attempt(&spec(rest, "{device: cuda}"), "bad", false, &|_| false).unwrap_err();
    assert_eq!(problems[0].code(), pipe::diag::Code::NotFinite, "{problems:?}");
}
