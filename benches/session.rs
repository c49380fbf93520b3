//! A training step under the order of its backward nodes and under each level of ONNX Runtime's rewriting: seconds and peak memory.
//! `cargo bench --bench session [MODEL:BATCH …]`, over the models that `benches/steps.sh` makes; every row is a process of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, starts processes and may stop at any failure"
)]

use pipe::graph::TrainGraph;
use pipe::ir::{DType, Graph, Tensor};
use pipe::native::{Buffer, Level, Options, Session};
use pipe::parts::Chosen;
use pipe::plan::Plan;
use pipe::spec::{Optimizer, Runtime};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What a process measures: the order and the level.
const ROWS: &[(&str, &str)] = &[("planned", "all"), ("of the rules", "all"), ("planned", "basic"), ("planned", "off")];
const MODELS: &[&str] = &["resnet50:16", "lite0:16", "vgg16:8", "vit:8", "minilm:32"];
const ROUNDS: usize = 3;
const STEPS: usize = 3;
/// Name of the variable that tells a process to measure one row.
const ROW: &str = "PIPE_BENCH_SESSION_ROW";

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Ok(row) = std::env::var(ROW) {
        let (order, level) = row.split_once('/').unwrap();
        return measure(&named[0], order, level, threads);
    }
    let models = if named.is_empty() { MODELS.iter().map(|model| (*model).to_owned()).collect() } else { named };
    let mut out = std::io::stdout().lock();
    writeln!(out, "| model | order of backward | level | s | ÷ first row | peak MiB | ÷ first row |\n|---|---|---|---|---|---|---|")
        .unwrap();
    for model in models {
        let mut found: Vec<[Vec<f64>; 2]> = vec![Default::default(); ROWS.len()];
        for _ in 0..ROUNDS {
            for ((order, level), found) in ROWS.iter().zip(&mut found) {
                let mut process = Command::new(std::env::current_exe().unwrap());
                let done = process.arg(&model).env(ROW, format!("{order}/{level}")).output().unwrap();
                let text = String::from_utf8(done.stdout).unwrap();
                for (all, word) in found.iter_mut().zip(text.split_whitespace()) {
                    all.push(word.parse().unwrap());
                }
            }
        }
        let middle = |all: &mut Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let found: Vec<[f64; 2]> = found.iter_mut().map(|row| row.each_mut().map(middle)).collect();
        for ((order, level), [seconds, peak]) in ROWS.iter().zip(&found) {
            let (time, memory) = (seconds / found[0][0], peak / found[0][1]);
            writeln!(out, "| {model} | {order} | {level} | {seconds:.3} | {time:.2} | {peak:.0} | {memory:.2} |")
                .unwrap();
        }
    }
}

/// Prints the median seconds of a step, without the optimizer, and the peak memory in MiB.
fn measure(model: &str, order: &str, level: &str, threads: usize) {
    let (name, batch) = model.split_once(':').unwrap();
    let batch: usize = batch.parse().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench/{name}.onnx"));
    let rule = Chosen::new("sgd", serde_json::json!({"lr": 0.1}));
    let optimizer = Optimizer { rule, groups: Vec::new(), clip_norm: None, ema: None };
    let (plan, _) = Plan::of_model(&path, &BTreeMap::new(), optimizer, batch, Runtime::default()).unwrap();
    let mut step = plan.phases[0].graphs.full.clone();
    if order != "planned" {
        as_emitted(&mut step);
    }
    let level = match level {
        "all" => Level::All,
        "basic" => Level::Basic,
        _ => Level::Off,
    };
    let fed: Vec<(String, Buffer)> = step
        .graph
        .inputs
        .iter()
        .map(|input| {
            let (name, ty) = (step.graph.name(*input).to_owned(), step.graph.ty(*input).unwrap());
            let tensor = feed(&plan.network.graph, &name, ty.dtype, &ty.shape().unwrap());
            (name, Buffer::from_tensor(&tensor).unwrap())
        })
        .collect();
    let feeds: Vec<(&str, &Buffer)> = fed.iter().map(|(name, buffer)| (name.as_str(), buffer)).collect();
    let mut session = Session::build(&step.graph, &Options { threads, level, ..Options::default() }).unwrap();
    let mut seconds: Vec<f64> = (0..=STEPS)
        .map(|_| {
            let began = Instant::now();
            drop(session.run(&feeds).unwrap());
            began.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    seconds.sort_by(f64::total_cmp);
    let peak = pipe::world::env::peak_memory().unwrap_or_default() as f64 / f64::from(1 << 20);
    let mut out = std::io::stdout();
    writeln!(out, "{} {peak}", seconds[seconds.len() / 2]).unwrap();
}

/// What an input of the step is fed: the stored weight, else numbers that are always the same.
fn feed(network: &Graph, name: &str, dtype: DType, shape: &[usize]) -> Tensor {
    let size = shape.iter().product::<usize>();
    match (network.find(name).and_then(|value| network.constant(value)), dtype) {
        (Some(stored), _) => stored.clone(),
        (None, DType::F32) if shape.is_empty() => Tensor::scalar(1.0f32),
        (None, DType::F32) => Tensor::new(shape, &(0..size).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>()),
        (None, _) => Tensor::new(shape, &(0..size as i64).map(|i| i % 2).collect::<Vec<_>>()),
    }
}

/// Puts the backward nodes into the order in which the rules emit them: of those whose inputs are there, the one whose value is oldest.
fn as_emitted(step: &mut TrainGraph) {
    let graph = &mut step.graph;
    let backward = graph.nodes.split_off(step.forward);
    let age = |index: usize| backward[index].outputs.iter().flatten().map(|output| output.0).min().unwrap_or(0);
    let mut maker = BTreeMap::new();
    for (index, node) in backward.iter().enumerate() {
        maker.extend(node.outputs.iter().flatten().map(|output| (*output, index)));
    }
    let mut waits = vec![0; backward.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); backward.len()];
    for (index, node) in backward.iter().enumerate() {
        for origin in node.inputs.iter().flatten().filter_map(|input| maker.get(input)) {
            waits[index] += 1;
            readers[*origin].push(index);
        }
    }
    let mut ready: BinaryHeap<Reverse<(u32, usize)>> =
        (0..backward.len()).filter(|index| waits[*index] == 0).map(|index| Reverse((age(index), index))).collect();
    while let Some(Reverse((_, index))) = ready.pop() {
        graph.nodes.push(backward[index].clone());
        for reader in &readers[index] {
            waits[*reader] -= 1;
            if waits[*reader] == 0 {
                ready.push(Reverse((age(*reader), *reader)));
            }
        }
    }
    graph.verify("bench").unwrap();
}
