//! ONNX Runtime rewrites a graph before it runs, more or less by level. Gradients must be the same at each.

use crate::scene::{Net, Scene, cnn, mlp};
use pipe::graph::TrainGraph;
use pipe::ir::{Attr, DType, Graph, Tensor, ValueId};
use pipe::native::{Level, Options, Session};
use pipe::parts::Chosen;
use pipe::plan::Plan;
use pipe::spec::Optimizer;
use pipe::world;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Furthest that two gradients of a parameter may be apart, ‖Δ‖/‖g‖.
const MOST: f64 = 1e-5;

/// The plan of a model whose parameters are all trained.
fn planned(path: &Path, batch: usize, recompute: &[&str]) -> Plan {
    let optimizer =
        Optimizer { rule: Chosen::new("sgd", json!({"lr": 0.1})), groups: Vec::new(), clip_norm: None, ema: None };
    let recompute = recompute.iter().map(|pattern| (*pattern).to_owned()).collect();
    let runtime = pipe::spec::Runtime { recompute, ..pipe::spec::Runtime::default() };
    Plan::of_model(path, &BTreeMap::new(), optimizer, batch, runtime).unwrap().0
}

/// What the inputs of the step are fed: what the model stores, else numbers that are always the same.
fn feeds(plan: &Plan, batch: usize) -> Vec<(String, Tensor)> {
    let step = &plan.phases[0].graphs.full;
    let value = |name: &str, dtype: DType, shape: &[usize]| {
        let stored = plan.network.graph.find(name).and_then(|value| plan.network.graph.constant(value));
        let size = shape.iter().product::<usize>();
        let term = |of: fn(&pipe::graph::TermGraph) -> &String| step.terms.iter().any(|term| of(term) == name);
        match (stored, dtype) {
            (Some(stored), _) => stored.clone(),
            (None, DType::F32) if term(|term| &term.inverse) => Tensor::new(shape, &[1.0 / batch as f32]),
            (None, DType::F32) if term(|term| &term.lambda) || term(|term| &term.weights) => {
                Tensor::new(shape, &vec![1.0f32; size])
            }
            (None, DType::F32) => Tensor::new(shape, &(0..size).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>()),
            (None, _) => Tensor::new(shape, &(0..size as i64).map(|i| i % 2).collect::<Vec<_>>()),
        }
    };
    let fed = |input: &ValueId| {
        let (name, ty) = (step.graph.name(*input).to_owned(), step.graph.ty(*input).unwrap());
        let fed = value(&name, ty.dtype, &ty.shape().unwrap());
        (name, fed)
    };
    step.graph.inputs.iter().map(fed).collect()
}

/// The gradients of all parameters, by name, and how many nodes run twice for them.
fn gradients(path: &Path, batch: usize, level: Level, recompute: &[&str]) -> (Vec<(String, Vec<f32>)>, usize) {
    let plan = planned(path, batch, recompute);
    let step = &plan.phases[0].graphs.full;
    let feeds = feeds(&plan, batch);
    let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    let mut session = Session::build(&step.graph, &Options { threads: 2, level, ..Options::default() }).unwrap();
    let outputs = session.call(&feeds).unwrap();
    let by_name = |name: &str| step.graph.outputs.iter().position(|output| step.graph.name(*output) == name).unwrap();
    let gradient = |(param, output): &(String, String)| (param.clone(), outputs[by_name(output)].to_vec().unwrap());
    (step.params.iter().map(gradient).collect(), step.recomputed.nodes)
}

/// Part of the whole gradient below which that of a parameter is rounding alone. Exact arithmetic makes it zero, as that of the bias of
/// attention's keys, which a softmax does not see.
const ROUNDING: f64 = 1e-6;

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// The parameter whose gradients are furthest apart between no rewriting and a level, in parts of its gradient, or of the whole one where
/// its own is rounding.
fn furthest(path: &Path, batch: usize, level: Level) -> (f64, String) {
    between(&gradients(path, batch, Level::Off, &[]).0, &gradients(path, batch, level, &[]).0)
}

fn between(plain: &[(String, Vec<f32>)], other: &[(String, Vec<f32>)]) -> (f64, String) {
    let size = |gradient: &[f32]| norm(gradient.iter().map(|value| f64::from(*value)));
    let whole = norm(plain.iter().map(|(_, gradient)| size(gradient)));
    assert!(whole > 0.0);
    let each = plain.iter().zip(other).map(|((name, a), (_, b))| {
        let difference = norm(a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let own = size(a);
        (difference / if own > ROUNDING * whole { own } else { whole }, name.clone())
    });
    each.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

fn models(scene: &Scene) -> Vec<PathBuf> {
    scene.model("mlp.onnx", &mlp());
    scene.model("cnn.onnx", &cnn());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut models = vec![scene.path("mlp.onnx"), scene.path("cnn.onnx")];
    models.extend(
        ["cnn_bn", "lenet_wd_nesterov", "mlp_adamw", "resnet_block"].map(|name| golden.join(name).join("model.onnx")),
    );
    models
}

#[test]
fn values_that_are_made_again_give_the_same_gradients() {
    let scene = Scene::new();
    for path in models(&scene) {
        for level in [Level::Off, Level::All] {
            let (plain, none) = gradients(&path, 5, level, &[]);
            let (again, nodes) = gradients(&path, 5, level, &["*"]);
            assert!(none == 0 && nodes > 0, "{}: {nodes} nodes", path.display());
            // Without rewriting the nodes are the same; with it, some are fused in one graph and not in the other.
            let (apart, name) = between(&plain, &again);
            let most = if level == Level::Off { 0.0 } else { MOST };
            assert!(apart <= most, "{level:?}: `{name}` of {} is {apart:e} apart", path.display());
        }
    }
}

#[test]
fn every_level_of_rewriting_gives_the_same_gradients() {
    let scene = Scene::new();
    for path in models(&scene) {
        for level in [Level::Basic, Level::All] {
            let (apart, name) = furthest(&path, 5, level);
            assert!(apart <= MOST, "{level:?}: `{name}` of {} is {apart:e} apart", path.display());
        }
    }
}

/// `cargo test --release --test it levels -- --ignored --nocapture`, over the models that `benches/steps.sh` makes.
#[test]
#[ignore = "takes models that are not in the repository"]
fn every_level_gives_the_same_gradients_of_real_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let mut lines = Vec::new();
    for path in world::list_dir(&folder).unwrap_or_default() {
        if path.extension().is_none_or(|end| end != "onnx") {
            continue;
        }
        for level in [Level::Basic, Level::All] {
            let (apart, name) = furthest(&path, 2, level);
            lines.push(format!("{} {level:?} {apart:.1e} {name}", path.file_stem().unwrap().display()));
        }
    }
    println!("{}", lines.join("\n"));
    let far = |line: &&String| line.split(' ').nth(2).is_some_and(|apart| apart.parse::<f64>().unwrap() > MOST);
    assert_eq!(lines.iter().find(far), None);
}

/// Eight layers, half of them with the weight as a product takes it, half of them with a transposed one.
fn deep() -> Graph {
    let mut net = Net::new(&[6]);
    for layer in 0..4 {
        let name = format!("held{layer}");
        let weight =
            Tensor::new([6, 6], &std::array::from_fn::<f32, 36, _>(|i| ((i * 5 + layer) % 9) as f32 * 0.1 - 0.4));
        let weight = net.graph.add_initializer(&format!("{name}.weight"), weight);
        let turned = net.graph.fresh(&format!("{name}.turned"));
        net.graph.nodes.push(pipe::ir::Node {
            name: format!("{name}/turn"),
            op: "Transpose".to_owned(),
            inputs: vec![Some(weight)],
            outputs: vec![Some(turned)],
            attrs: [("perm".to_owned(), Attr::Ints(vec![1, 0]))].into(),
            ..pipe::ir::Node::default()
        });
        net = net.node(&name, "MatMul", &[turned], &[]).op(&format!("{name}/tanh"), "Tanh");
        net = net.linear(&format!("fc{layer}"), 6, 6).op(&format!("relu{layer}"), "Relu");
    }
    net.linear("last", 6, 3).done()
}

/// How many links of the chain of gradients run between the one that a weight's gradient reads last and that gradient, for the weight where
/// it is most; and how many weights were found in the run.
fn furthest_behind(plan: &Plan, step: &TrainGraph, level: Level) -> (usize, usize) {
    let scene = Scene::new();
    let profile = Some(scene.path("profile"));
    let mut session =
        Session::build(&step.graph, &Options { threads: 1, level, profile, ..Options::default() }).unwrap();
    let fed = feeds(plan, step.batch);
    session.call(&fed.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect::<Vec<_>>()).unwrap();
    let ran = session.end_profile().unwrap();
    let ran: Vec<&str> = ran.nodes().iter().map(|node| node.node).collect();
    let at = |index: usize| ran.iter().position(|name| *name == step.graph.nodes[index].name);
    let producers = step.graph.producers();
    let closes: Vec<usize> = step
        .params
        .iter()
        .map(|(_, gradient)| producers[step.graph.find(gradient).unwrap().0 as usize].unwrap())
        .collect();
    let chain: Vec<usize> = (step.forward..step.graph.nodes.len()).filter(|index| !closes.contains(index)).collect();
    let (mut most, mut found) = (0, 0);
    for close in closes {
        let read = step.graph.nodes[close].inputs.iter().flatten().filter_map(|input| producers[input.0 as usize]);
        let read = read.filter(|index| *index >= step.forward).filter_map(at).max();
        if let (Some(read), Some(close)) = (read, at(close)) {
            most = most
                .max(chain.iter().filter_map(|link| at(*link)).filter(|link| (read + 1..close).contains(link)).count());
            found += 1;
        }
    }
    (most, found)
}

#[test]
fn the_gradient_of_a_weight_runs_as_soon_as_it_can() {
    let scene = Scene::new();
    scene.model("deep.onnx", &deep());
    let plan = planned(&scene.path("deep.onnx"), 5, &[]);
    let step = &plan.phases[0].graphs.full;
    for level in [Level::Off, Level::Basic, Level::All] {
        let (behind, found) = furthest_behind(&plan, step, level);
        // The next link and what stands between it and the one after.
        assert!(behind <= 3, "{level:?}: {behind} links behind");
        assert!(found >= 14, "{level:?}: {found} of {} gradients found", step.params.len());
    }
    // The same nodes, those that make the gradients of weights the other way around.
    let mut turned = step.clone();
    let gradients: Vec<Option<ValueId>> = step.params.iter().map(|(_, gradient)| step.graph.find(gradient)).collect();
    let close = |node: &pipe::ir::Node| gradients.contains(&node.output(0));
    let (closes, others): (Vec<_>, Vec<_>) = turned.graph.nodes.drain(..).partition(close);
    turned.graph.nodes = others.into_iter().chain(closes.into_iter().rev()).collect();
    let (behind, _) = furthest_behind(&plan, &turned, Level::All);
    assert!(behind > 10, "the order is what decides: {behind} links behind");
}
