//! The pages of diagnostic codes: each says enough, its examples bring about what they are said to, and nothing else, and what a wrong
//! example is told stands behind it as it is. `PIPE_BLESS=1` rewrites what it is told.
#![expect(
    clippy::disallowed_methods,
    reason = "the command is run as a user would run it; pages are rewritten where a variable asks for it"
)]

use crate::scene::{Net, Scene, mlp};
use pipe::diag::{ALL, Code, CodeInfo, Diagnostic, render};
use pipe::ir::{Attr, Builder, DType, Dim, Graph, Tensor, onnx};
use pipe::plan::Plan;
use pipe::spec;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Fewest words that say what happened, show it, and say what to write instead.
const WORDS: usize = 60;

/// Widest line, so that a page fits a terminal.
const WIDTH: usize = 104;

/// The first block of YAML behind a heading such as `Wrong:`, before the next heading.
fn example(page: &str, heading: &str) -> Option<String> {
    let after = page.split_once(&format!("\n{heading}")).map(|(_, after)| after)?;
    let part = if heading == "Wrong:" { after.split("\nInstead:").next()? } else { after };
    let block = part.split_once("```yaml\n")?.1;
    Some(block.split_once("```").map_or(block, |(block, _)| block).to_owned())
}

/// A whole spec: the sections of an example and the usual ones around it.
pub(crate) fn whole(example: &str) -> String {
    let mut text = String::new();
    for (key, usual) in [
        ("version:", "version: 1\n"),
        ("name:", "name: example\n"),
        ("model:", "model: {source: model.onnx}\n"),
        ("data:", "data: {sets: {train: {npz: train.npz}, test: {npz: test.npz}}}\n"),
        ("loss:", "loss: cross_entropy\n"),
        ("optimizer:", "optimizer: {sgd: 0.1}\n"),
        ("schedule:", "schedule: {epochs: 1, batch: 4}\n"),
    ] {
        if !example.lines().any(|line| line.starts_with(key)) {
            text.push_str(usual);
        }
    }
    text + example
}

/// A page with what its wrong example is told, behind that example.
fn told(page: &str, said: &str) -> String {
    let at = page.find("\nWrong:\n\n```yaml\n").unwrap();
    let end = at + page[at..].find("\n```\n").unwrap() + "\n```\n".len();
    let (before, after) = page.split_at(end);
    let old = after.strip_prefix("\n```text\n").and_then(|rest| rest.split_once("```\n"));
    format!("{before}\n```text\n{}\n```\n{}", said.trim_end(), old.map_or(after, |(_, after)| after))
}

/// Compares a page with what its wrong example is told, or rewrites it.
fn is_told(info: &CodeInfo, said: &[Diagnostic], folder: Option<&Path>) {
    let mut said = render(said, false);
    if let Some(folder) = folder {
        said = said.replace(&format!("{}/", folder.display()), "");
    }
    let page = told(info.page, &said);
    if std::env::var_os("PIPE_BLESS").is_some() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diag/pages");
        fs::write(pages.join(format!("{}.md", info.id)), page).unwrap();
    } else {
        assert!(page == info.page, "the page of {} is old: run the tests with PIPE_BLESS=1\n{said}", info.id);
    }
}

fn codes(diagnostics: &[Diagnostic]) -> BTreeSet<&'static str> {
    diagnostics.iter().map(|diagnostic| diagnostic.code().id()).collect()
}

/// Codes of specs that are checked without a model.
fn of_the_text(info: &CodeInfo) -> bool {
    info.id.starts_with("P01") || info.id.starts_with("P02")
}

#[test]
fn every_code_has_a_page_that_says_enough() {
    let mut wrong = Vec::new();
    for CodeInfo { id, page, .. } in ALL {
        let words = page.split_whitespace().count();
        if words < WORDS {
            wrong.push(format!("{id} has {words} words"));
        }
        let shown = page.contains("\nWrong:\n") || page.contains("\nExample:\n");
        if !shown || !page.contains("\nInstead:") {
            wrong.push(format!("{id} does not say `Wrong:` or `Example:`, then `Instead:`"));
        }
        if page.matches("```").count() < 2 || page.matches("```").count() % 2 == 1 {
            wrong.push(format!("{id} has no example, or one that does not end"));
        }
        // An example may have to be long.
        let prose = page.split("```").step_by(2).flat_map(str::lines);
        wrong.extend(prose.filter(|line| line.chars().count() > WIDTH).map(|line| format!("{id} is wide: {line}")));
        if page.contains('—') || page.contains("TODO") {
            wrong.push(format!("{id} holds what does not belong there"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_command_prints_the_page() {
    let info = Code::NoGradient.info();
    for topic in [info.id.to_owned(), info.id.to_lowercase()] {
        let ran = Command::new(env!("CARGO_BIN_EXE_pipe")).args(["explain", &topic]).output().unwrap();
        let expected = format!("{}: {}\n\n{}", info.id, info.title, info.page);
        assert_eq!((ran.status.code(), String::from_utf8(ran.stdout).unwrap()), (Some(0), expected));
    }
}

#[test]
fn wrong_examples_of_the_language_get_their_code_and_right_ones_nothing() {
    let checked = |text: &str| spec::parse(text, "spec.yaml", &[]).diagnostics;
    for info in ALL.iter().filter(|info| of_the_text(info)) {
        let (Some(wrong), Some(right)) = (example(info.page, "Wrong:"), example(info.page, "Instead:")) else {
            panic!("{} has no two examples", info.id);
        };
        let said = checked(&whole(&wrong));
        assert_eq!(codes(&said), BTreeSet::from([info.id]), "{}\n{wrong}", info.id);
        assert_eq!(codes(&checked(&whole(&right))), BTreeSet::new(), "{}\n{right}", info.id);
        is_told(info, &said, None);
    }
}

/// The small network with something done to it.
fn changed(change: impl FnOnce(&mut Graph)) -> Graph {
    let mut graph = mlp();
    change(&mut graph);
    graph
}

/// The small network with a determinant in it.
fn determinant() -> Graph {
    let mut net = Net::new(&[6]);
    let weight = net.graph.add_initializer("turn.weight", Tensor::new([6, 4], &[0.5f32; 24]));
    let shape = net.graph.add_initializer("shape", Tensor::vector(&[-1i64, 2, 2]));
    let column = net.graph.add_initializer("column", Tensor::vector(&[-1i64, 1]));
    net.node("turn", "MatMul", &[weight], &[])
        .node("square", "Reshape", &[shape], &[])
        .op("volume", "Det")
        .node("flat", "Reshape", &[column], &[])
        .linear("fc", 1, 3)
        .done()
}

/// The model that the examples of a code are about.
fn model(code: Code) -> Vec<u8> {
    let graph = match code {
        Code::ModelInvalid => {
            // The value of that name is made, and read under another one.
            let mut bytes = onnx::encode(&mlp());
            let at = bytes.windows(5).position(|part| part == b"relu1").unwrap();
            bytes[at] = b'q';
            return bytes;
        }
        Code::OpsetRange => {
            // The file ends in the number of its opset, field 2.
            let mut bytes = onnx::encode(&mlp());
            let at = bytes.windows(2).rposition(|part| part == [0x10, 18]).unwrap();
            bytes[at + 1] = 6;
            return bytes;
        }
        Code::NodeAmbiguous => changed(|graph| {
            graph.nodes[4].name = "twin".to_owned();
            let foreign = graph.nodes[0].output(0).unwrap();
            graph.rename(foreign, "twin");
        }),
        Code::BatchBaked => {
            let net = Net::new(&[6]).linear("fc1", 6, 3);
            let mut graph = net.done();
            let input = graph.inputs[0];
            graph.set_batch(input, Dim::Known(4));
            let offsets = graph.add_initializer("offsets", Tensor::new([4, 3], &[0.5f32; 12]));
            let end = graph.outputs[0];
            let sum = Builder::new(&mut graph, "offset").add(end, offsets);
            graph.outputs = vec![sum];
            graph
        }
        Code::WeightNotFinite => changed(|graph| {
            let value = graph.find("fc2.weight").unwrap();
            graph.initializers.insert(value, Tensor::new([5, 8], &[f32::NAN; 40]));
        }),
        Code::FoldedBatchNorm => {
            let mut net = Net::new(&[2, 6, 6]);
            for i in 0..4 {
                let weight =
                    net.graph.add_initializer(&format!("c{i}.weight"), Tensor::new([2, 2, 1, 1], &[0.5f32; 4]));
                let bias = net.graph.add_initializer(&format!("c{i}.bias"), Tensor::vector(&[0.1f32; 2]));
                let kernel = [("kernel_shape", Attr::Ints(vec![1, 1]))];
                net = net.node(&format!("c{i}"), "Conv", &[weight, bias], &kernel).op(&format!("r{i}"), "Relu");
            }
            net.op("pool", "GlobalAveragePool").op("flat", "Flatten").linear("fc", 2, 3).done()
        }
        Code::NoGradient => determinant(),
        Code::NotFloat => {
            let mut net = Net::new(&[6]);
            // 0x3800 is a half in half precision.
            let half = Tensor::from_bytes(DType::F16, vec![6, 6], [0x00, 0x38].repeat(36)).unwrap();
            let weight = net.graph.add_initializer("half.weight", half);
            let wide = Builder::new(&mut net.graph, "wide").cast(weight, DType::F32);
            net.node("half", "MatMul", &[wide], &[]).linear("fc3", 6, 3).done()
        }
        Code::ProbeFailed => Net::new(&[6]).op("twist", "Twist").linear("fc3", 6, 3).done(),
        _ => mlp(),
    };
    onnx::encode(&graph)
}

/// Codes whose situation this test cannot make from a spec and a model: they are tested elsewhere, with files of their own.
const ELSEWHERE: &[Code] = &[Code::ExternalData, Code::DataCorrupt];

#[test]
fn wrong_examples_of_models_and_data_get_their_code_from_the_plan() {
    let mut odd = Vec::new();
    for info in ALL.iter().filter(|info| ["P03", "P04", "P05"].iter().any(|room| info.id.starts_with(room))) {
        if ELSEWHERE.contains(&info.code) {
            continue;
        }
        let scene = Scene::new();
        scene.write("model.onnx", model(info.code));
        let sample: &[usize] = if info.code == Code::FoldedBatchNorm { &[2, 6, 6] } else { &[6] };
        scene.samples("train.npz", 9, sample, 3);
        scene.samples("test.npz", 5, sample, 3);
        // Where the model alone is wrong, any spec meets it.
        let wrong = example(info.page, "Wrong:").unwrap_or_default();
        let said = match scene.plan(&whole(&wrong)) {
            Ok(Plan { warnings, .. }) => warnings,
            Err(problems) => problems,
        };
        let found = codes(&said);
        if !wrong.is_empty() {
            is_told(info, &said, scene.path("model.onnx").parent());
        }
        if found != BTreeSet::from([info.id]) {
            odd.push(format!("{} gets {found:?}\n{wrong}", info.id));
        }
        let said = match scene.plan(&whole(&example(info.page, "Instead:").unwrap_or(wrong.clone()))) {
            _ if example(info.page, "Instead:").is_none() => Vec::new(),
            Ok(plan) => plan.warnings,
            Err(problems) => problems,
        };
        if !said.is_empty() {
            odd.push(format!("{}, done right, gets {said:?}", info.id));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[test]
fn other_specs_in_pages_are_specs() {
    for info in ALL.iter().filter(|info| !of_the_text(info)) {
        for (at, _) in info.page.match_indices("```yaml\n") {
            let block = &info.page[at + 8..];
            let text = whole(block.split_once("```").map_or(block, |(block, _)| block));
            let found = spec::parse(&text, "spec.yaml", &[]).diagnostics;
            assert!(found.is_empty(), "{}\n{text}{found:?}", info.id);
        }
    }
}
