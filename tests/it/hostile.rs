//! Input that was made to do harm: specs, models, data and checkpoints, each with the diagnostic that it gets. One table, read in a
//! process whose memory is limited, against the clock. What only shows when a model is loaded is in `bad_input/hostile.rs`.
#![expect(clippy::disallowed_methods, reason = "hostile files are written and links are made, and time is measured")]

mod data;
mod model;
mod text;

use crate::fuzzing::confined;
use pipe::diag::{Diagnostic, render};
use pipe::ir::onnx;
use pipe::parts::Chosen;
use pipe::parts::sources::{Sources, decode};
use pipe::{runtime, spec};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// Longest that a case may take, in seconds; far more than any needs, since other tests take their share of the machine.
const SECONDS: f64 = 30.0;

/// How an input is read.
enum Reader {
    /// As a spec, with overrides of the command line.
    Spec(Vec<String>),
    /// As an ONNX file with the files beside it.
    Model,
    /// By a source with a configuration.
    Source(&'static str, Value),
    /// As an image.
    Image,
    /// As a checkpoint.
    Checkpoint,
}

/// A hostile input and what is said about it.
struct Case {
    name: &'static str,
    reader: Reader,
    /// Files by name; the first is the one that is read.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Links by name, with where they lead.
    links: Vec<(&'static str, &'static str)>,
    /// The code, and words of the diagnostic.
    expect: (&'static str, &'static str),
}

impl Case {
    fn new(
        name: &'static str,
        reader: Reader,
        bytes: impl Into<Vec<u8>>,
        code: &'static str,
        text: &'static str,
    ) -> Self {
        Self { name, reader, files: vec![("input", bytes.into())], links: Vec::new(), expect: (code, text) }
    }

    fn file(mut self, name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name, bytes.into()));
        self
    }

    fn link(mut self, name: &'static str, to: &'static str) -> Self {
        self.links.push((name, to));
        self
    }

    /// What is said, with the folder's own path left out.
    fn said(&self) -> String {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("inner");
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::write(scratch.path().join("secret"), [0; 64]).unwrap();
        #[cfg(unix)]
        for (name, to) in &self.links {
            std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        }
        let problems = self.read(&folder);
        render(&problems, false).replace(&*scratch.path().to_string_lossy(), "FOLDER")
    }

    fn read(&self, folder: &Path) -> Vec<Diagnostic> {
        let bytes = &self.files[0].1;
        let one = |problem: Option<Diagnostic>| problem.into_iter().collect();
        match &self.reader {
            Reader::Spec(sets) => spec::parse(std::str::from_utf8(bytes).unwrap(), "input", sets).diagnostics,
            Reader::Model => one(onnx::load(&folder.join("input")).err()),
            Reader::Image => one(decode(bytes, Path::new("input")).err()),
            Reader::Checkpoint => one(runtime::read_checkpoint(bytes).err()),
            Reader::Source(kind, config) => {
                let opened =
                    Chosen::<Sources>::new(kind, config.clone()).build().and_then(|source| source.open(folder));
                one(opened.and_then(|samples| samples.load(samples.len() - 1)).err())
            }
        }
    }
}

fn cases() -> Vec<Case> {
    [text::cases(), model::cases(), data::cases()].into_iter().flatten().collect()
}

#[test]
#[ignore = "run by the other in a process of its own with a limit of memory"]
fn child() {
    let mut wrong = Vec::new();
    for case in cases() {
        let began = Instant::now();
        let said = case.said();
        let seconds = began.elapsed().as_secs_f64();
        let (code, text) = case.expect;
        if seconds > 1.0 {
            eprintln!("{} {seconds}", case.name);
        }
        let short: String = said.chars().take(2000).collect();
        if !(said.contains(code) && said.contains(text)) {
            wrong.push(format!("{}: not `{code}` with `{text}`\n{short}", case.name));
        }
        if seconds > SECONDS {
            wrong.push(format!("{}: {seconds} s\n{short}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_input_is_told_and_does_no_harm() {
    let (passed, text) = confined("hostile::child", &[]);
    assert!(passed, "{text}");
}

#[test]
fn the_corpus_is_large_and_no_case_stands_twice() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    let content = |case: &Case| {
        let reader = match &case.reader {
            Reader::Spec(sets) => format!("spec {}", sets.concat()),
            Reader::Source(kind, config) => format!("{kind} {config}"),
            Reader::Model => "model".to_owned(),
            Reader::Image => "image".to_owned(),
            Reader::Checkpoint => "checkpoint".to_owned(),
        };
        let links = case.links.iter().flat_map(|(name, to)| [name.as_bytes(), to.as_bytes()].concat());
        let files = case.files.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes].concat());
        reader.into_bytes().into_iter().chain(links).chain(files).collect()
    };
    let contents: BTreeSet<Vec<u8>> = cases.iter().map(content).collect();
    assert_eq!((names.len(), contents.len()), (cases.len(), cases.len()));
    assert!(cases.len() >= 60, "{}", cases.len());
}
