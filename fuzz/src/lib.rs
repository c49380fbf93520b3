//! What is done with untrusted bytes: one function for each reader. It may refuse the bytes with a diagnostic; it may not panic, hang, or
//! allocate by their word.
//!
//! `cargo fuzz run TARGET` drives these functions from `fuzz_targets`; `tests/it/fuzzing.rs`, which includes this file, drives them from
//! the corpus and from mutations of it on a stable compiler.
#![expect(
    clippy::disallowed_methods,
    reason = "what reads files is given files, without the care that outlives a crash"
)]
#![allow(unreachable_pub, reason = "a crate of its own for the fuzzer, a module for the tests")]
#![expect(clippy::unwrap_used, reason = "a property that does not hold is found by its panic")]

use pipe::diag::{Code, Diagnostic, render};
use pipe::ir::onnx;
use pipe::parts::Chosen;
use pipe::parts::sources::{Sources, decode};
use pipe::spec;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A reader and its name, which is that of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every reader of untrusted bytes.
pub const TARGETS: [Target; 9] = [
    ("checkpoint", checkpoint),
    ("cifar10", cifar10),
    ("csv", csv),
    ("feeds", feeds),
    ("idx", idx),
    ("image", image),
    ("npz", npz),
    ("onnx", model),
    ("spec", text),
];

/// Renders what was said, as the command does.
fn said(problems: &[Diagnostic]) {
    assert!(!render(problems, false).is_empty() || problems.is_empty());
}

/// YAML → spec → YAML. Lines that begin with `#set ` are overrides of the command line.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sets: Vec<String> = text.lines().filter_map(|line| line.strip_prefix("#set ")).map(str::to_owned).collect();
    let parsed = spec::parse(text, "spec.yaml", &sets);
    said(&parsed.diagnostics);
    formatted(text);
    let Some(read) = parsed.spec else { return assert!(!parsed.diagnostics.is_empty(), "nothing is said") };
    let identity = spec::identity(&read);
    assert_eq!(spec::changes(&identity, &read), Some(Vec::new()));
    let written = spec::to_yaml(&read).unwrap();
    let again = spec::parse(&written, "again.yaml", &[]);
    let again = again.spec.unwrap_or_else(|| panic!("{}\n{written}", render(&again.diagnostics, false)));
    assert_eq!(spec::identity(&again), identity, "{written}");
}

/// Formatting is refused for what is wrong with the text only, says the same, and changes nothing the second time.
fn formatted(text: &str) {
    match spec::format(text, "spec.yaml") {
        Ok(once) => assert_eq!(spec::format(&once, "spec.yaml").unwrap(), once, "{text:?}"),
        Err(problems) => assert!(problems.iter().all(|problem| problem.code() != Code::Internal), "{text:?}"),
    }
}

/// ONNX file → graph, normalised and verified → ONNX file.
pub fn model(bytes: &[u8]) {
    /// Models beyond this are not written again: it would only take time.
    const LARGE: usize = 16 << 20;
    match onnx::decode(bytes, None) {
        Err(problem) => said(&[problem]),
        Ok(read) => {
            said(&read.warnings);
            read.graph.verify("fuzz").unwrap();
            let size: usize = read.graph.initializers.values().map(|tensor| tensor.bytes().len()).sum();
            if size < LARGE {
                onnx::decode(&onnx::encode(&read.graph), None).unwrap();
            }
        }
    }
}

/// A checkpoint file.
pub fn checkpoint(bytes: &[u8]) {
    if let Err(problem) = pipe::runtime::read_checkpoint(bytes) {
        said(&[problem]);
    }
}

/// A batch for `pipe bench --feeds`.
pub fn feeds(bytes: &[u8]) {
    if let Err(problem) = pipe::runtime::read_feeds(bytes) {
        said(&[problem]);
    }
}

/// A JPEG or PNG file.
pub fn image(bytes: &[u8]) {
    match decode(bytes, Path::new("image")) {
        Err(problem) => said(&[problem]),
        Ok(image) => assert_eq!(image.data.len(), image.height * image.width * image.channels),
    }
}

/// A place for the files of this process.
fn scratch() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Opens a source in the scratch folder and reads its first samples.
fn open(kind: &str, config: Value) {
    let opened = Chosen::<Sources>::new(kind, config).build().and_then(|source| source.open(scratch()));
    let samples = match opened {
        Ok(samples) => samples,
        Err(problem) => return said(&[problem]),
    };
    assert!(!samples.is_empty());
    let (_, _) = (samples.labels(), samples.shape());
    for sample in 0..samples.len().min(3) {
        let (item, content) = (samples.load(sample), samples.content(sample));
        assert_eq!(item.is_ok(), content.is_ok(), "{}", samples.name(sample));
    }
}

/// A table with a header and one without, gzipped or not.
pub fn csv(bytes: &[u8]) {
    put("table.csv", bytes);
    open("csv", json!({"path": "table.csv", "features": "rest", "labels": "label"}));
    open("csv", json!({"path": "table.csv", "header": false, "features": [0], "delimiter": "whitespace"}));
}

/// An IDX file, as images and as labels, gzipped or not.
pub fn idx(bytes: &[u8]) {
    put("array.idx", bytes);
    open("idx", json!({"images": "array.idx"}));
    open("idx", json!({"images": "array.idx", "labels": "array.idx"}));
}

/// A file of the binary version of CIFAR-10.
pub fn cifar10(bytes: &[u8]) {
    put("test_batch.bin", bytes);
    open("cifar10", json!({"path": "", "split": "test"}));
}

/// An archive of NumPy arrays; what is no archive is put into one, as the array `x`, so that its own header is reached.
pub fn npz(bytes: &[u8]) {
    if bytes.starts_with(b"PK") {
        put("arrays.npz", bytes);
    } else {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file("x.npy", stored).unwrap();
        archive.write_all(bytes).unwrap();
        put("arrays.npz", archive.finish().unwrap().get_ref());
    }
    open("npz", json!({"path": "arrays.npz"}));
    open("npz", json!({"path": "arrays.npz", "inputs": "x", "labels": "x"}));
}
