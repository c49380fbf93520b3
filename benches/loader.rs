//! The loader against torchvision's: JPEG files, `resize: 256`, `center_crop: 224`, `to_tensor`, `normalize`, batches of 32.
//!
//! `cargo bench --bench loader -- FOLDER [THREADS] [PYTHON]`: FOLDER holds a folder of images per class; with PYTHON, an interpreter
//! with torch and torchvision, the peer runs afterwards and the ratio is printed.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, runs its peer, prints its figures and may stop at any failure"
)]

use pipe::data::{BatchSpec, Dataset, Pipeline, stream};
use pipe::parts::Chosen;
use pipe::parts::sources::Sources;
use pipe::parts::transforms::Transforms;
use pipe::spec::OnError;
use pipe::world::rng::Key;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const BATCH: usize = 32;
const PASSES: u64 = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let Some(folder) = arguments.first() else {
        println!("usage: cargo bench --bench loader -- FOLDER [THREADS] [PYTHON]");
        return;
    };
    let threads = arguments.get(1).map_or(2, |word| word.parse().unwrap());
    let ours = images_per_second(folder, threads);
    println!("pipe         {ours:8.1} images/s  ({threads} threads, best of {PASSES} passes)");
    let Some(python) = arguments.get(2) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/loader.py");
    let output = std::process::Command::new(python).arg(script).arg(folder).arg(threads.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    println!("torchvision  {theirs:8.1} images/s  ({threads} workers)");
    println!("ratio        {:8.2}", ours / theirs);
}

fn images_per_second(folder: &str, threads: usize) -> f64 {
    let source = Chosen::<Sources>::new("image_folder", json!({ "path": folder })).build().unwrap();
    let base = std::env::current_dir().unwrap();
    let dataset = Arc::new(Dataset::new("train", source.open(&base).unwrap(), None, OnError::Stop));
    let chain = [
        ("resize", json!({"size": 256})),
        ("center_crop", json!({"size": 224})),
        ("to_tensor", json!({})),
        ("normalize", json!({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]})),
    ];
    let chosen: Vec<_> = chain.into_iter().map(|(kind, config)| Chosen::<Transforms>::new(kind, config)).collect();
    let pipeline = Arc::new(Pipeline::build(&chosen, Key::new(0)).unwrap());
    let mut best = 0f64;
    for pass in 0..PASSES {
        let positions: Vec<Option<usize>> = (0..dataset.len()).map(Some).collect();
        let batches = positions.chunks(BATCH).map(|rows| BatchSpec { rows: rows.to_vec(), pass }).collect();
        let start = Instant::now();
        for batch in stream(Arc::clone(&dataset), Arc::clone(&pipeline), batches, threads) {
            drop(batch.unwrap());
        }
        best = best.max(dataset.len() as f64 / start.elapsed().as_secs_f64());
    }
    best
}
