//! A folder with models, data and a spec, and what a run in it leaves behind.
#![expect(clippy::disallowed_methods, reason = "the command is run as a process of its own")]

use pipe::diag::{Diagnostic, Result};
use pipe::ir::{Attr, Builder, DType, Dim, Graph, OPSET, Tensor, TensorType, ValueId, onnx};
use pipe::plan::{Plan, Reuse};
use pipe::report::Reporter;
use pipe::runtime::{Event, Resumption, RunFolder, RunOptions, Sink, Summary, execute};
use pipe::spec;
use pipe::world;
use pipe::world::rng::Key;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder of its own for one test.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
}

/// What a finished run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) summary: Summary,
    pub(crate) events: Vec<Event>,
    pub(crate) metrics: String,
    pub(crate) model: Vec<u8>,
    pub(crate) folder: PathBuf,
}

/// Writes the files of a run, keeps its events, and sets a flag when `until` says so.
struct Watch<'u> {
    files: Reporter,
    events: Vec<Event>,
    until: &'u dyn Fn(&Event) -> bool,
    stop: Arc<AtomicBool>,
}

impl Sink for Watch<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        self.files.event(event)?;
        self.events.push(event.clone());
        if (self.until)(event) {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<u64> {
        self.files.flush()
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { folder: world::scratch_folder().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        world::create_dir_all(path.parent().unwrap()).unwrap();
        world::write_atomic(&path, |out| out.write_all(bytes.as_ref())).unwrap();
    }

    pub(crate) fn model(&self, name: &str, graph: &Graph) {
        self.write(name, onnx::encode(graph));
    }

    /// Samples of normal numbers; their class is the largest of the first `classes` numbers, so that it can be learnt.
    pub(crate) fn samples(&self, name: &str, count: usize, shape: &[usize], classes: usize) {
        let width: usize = shape.iter().product();
        let mut rng = Key::new(7).named(name).rng();
        let x: Vec<f32> = (0..count * width).map(|_| rng.normal() as f32).collect();
        let largest = |row: &[f32]| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as i64;
        let y: Vec<i64> = x.chunks(width).map(largest).collect();
        self.npz(name, count, shape, &x, &y);
    }

    pub(crate) fn npz(&self, name: &str, count: usize, shape: &[usize], x: &[f32], y: &[i64]) {
        let dims: Vec<usize> = std::iter::once(count).chain(shape.iter().copied()).collect();
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let arrays = [
            ("x.npy", npy("<f4", &dims, x.iter().flat_map(|x| x.to_le_bytes()).collect())),
            ("y.npy", npy("<i8", &dims[..1], y.iter().flat_map(|y| y.to_le_bytes()).collect())),
        ];
        for (entry, bytes) in arrays {
            archive.start_file(entry, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(&bytes).unwrap();
        }
        let bytes = archive.finish().unwrap();
        self.write(name, bytes.into_inner());
    }

    /// A PNG with smooth content and a class: how bright it is.
    pub(crate) fn png(&self, name: &str, width: u32, height: u32, level: u8) {
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([level.wrapping_add(x as u8 * 3), level.wrapping_add(y as u8 * 2), level])
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        self.write(name, bytes.into_inner());
    }

    /// Reads, checks and plans a spec.
    pub(crate) fn plan(&self, text: &str) -> std::result::Result<Plan, Vec<Diagnostic>> {
        plan(self.folder.path(), text)
    }

    /// A whole run in `runs/<out>`.
    pub(crate) fn run(&self, text: &str, out: &str) -> Ran {
        self.attempt(text, out, false, &|_| false).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// A whole run in `runs/<out>` that takes from the cache what it can.
    pub(crate) fn reuse(&self, text: &str, out: &str) -> Ran {
        let out = self.path("runs").join(out);
        let made = attempt_with(self.folder.path(), text, &out, false, Reuse::All, &|_| false);
        made.unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// A run that may fail, go on from a checkpoint, and be stopped by what happens.
    pub(crate) fn attempt(
        &self,
        text: &str,
        out: &str,
        resume: bool,
        until: &dyn Fn(&Event) -> bool,
    ) -> std::result::Result<Ran, Vec<Diagnostic>> {
        attempt(self.folder.path(), text, &self.path("runs").join(out), resume, until)
    }

    /// The command with this folder as its working folder: status and standard error, with the folder's own path left out.
    #[allow(dead_code, reason = "for tests of the command line")]
    pub(crate) fn command(&self, args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        command.args(args).envs(environment.iter().copied()).current_dir(self.folder.path());
        self.outcome(&mut command)
    }

    /// The command with this folder as its working folder: status, standard output and standard error.
    pub(crate) fn outputs(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        let Output { status, stdout, stderr } = command.args(args).current_dir(self.folder.path()).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    #[allow(dead_code, reason = "for tests of the command line")]
    pub(crate) fn outcome(&self, command: &mut Command) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = command.current_dir(self.folder.path()).output().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        (status.code(), text.replace(&*self.folder.path().to_string_lossy(), "FOLDER"))
    }
}

/// A spec over `model.onnx` and `train.npz`; sections of `rest` stand instead of the usual ones.
pub(crate) fn whole(name: &str, rest: &str) -> String {
    let mut text = format!("version: 1\nname: {name}\n");
    for (key, usual) in [
        ("model:", "model: {source: model.onnx}\n"),
        ("data:", "data: {sets: {train: {npz: train.npz}}}\n"),
        ("loss:", "loss: cross_entropy\n"),
        ("optimizer:", "optimizer: {sgd: 0.1}\n"),
        ("schedule:", "schedule: {epochs: 1, batch: 4}\n"),
    ] {
        if !rest.lines().any(|line| line.starts_with(key)) {
            text.push_str(usual);
        }
    }
    text + rest
}

/// Compares status and words of the command with what stands in `<folder>/<case>.txt`; `PIPE_BLESS=1` rewrites that.
pub(crate) fn assert_expected(folder: &str, case: &str, (status, said): (Option<i32>, String)) {
    let found = format!("exit status {}\n{said}", status.map_or("none".to_owned(), |status| status.to_string()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(folder).join(format!("{case}.txt"));
    if world::env::var("PIPE_BLESS").is_some() {
        world::write_atomic(&path, |out| out.write_all(found.as_bytes())).unwrap();
    }
    let expected = world::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{case}\n--- found\n{found}\n--- expected\n{expected}");
}

/// An array in NumPy's format, version 1.
fn npy(dtype: &str, dims: &[usize], data: Vec<u8>) -> Vec<u8> {
    let shape: String = dims.iter().map(|d| format!("{d},")).collect();
    let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn plan(base: &Path, text: &str) -> std::result::Result<Plan, Vec<Diagnostic>> {
    let parsed = spec::parse(text, "spec.yaml", &[]);
    let Some(spec) = &parsed.spec else { return Err(parsed.diagnostics) };
    let mut plan = Plan::build(spec, base).map_err(|problems| parsed.locate_all(problems))?;
    plan.warnings = parsed.locate_all(plan.warnings);
    Ok(plan)
}

pub(crate) fn attempt(
    base: &Path,
    text: &str,
    out: &Path,
    resume: bool,
    until: &dyn Fn(&Event) -> bool,
) -> std::result::Result<Ran, Vec<Diagnostic>> {
    attempt_with(base, text, out, resume, Reuse::Features, until)
}

fn attempt_with(
    base: &Path,
    text: &str,
    out: &Path,
    resume: bool,
    reuse: Reuse,
    until: &dyn Fn(&Event) -> bool,
) -> std::result::Result<Ran, Vec<Diagnostic>> {
    let one = |problem: Diagnostic| vec![problem];
    let plan = plan(base, text)?;
    let folder = RunFolder::at(out, resume).map_err(one)?;
    let found = if resume { Some(Resumption::read(&folder, &plan, None).map_err(one)?) } else { None };
    let vouched = found.map(|found| found.metrics_bytes);
    let stop = Arc::new(AtomicBool::new(false));
    let files = Reporter::new(&folder, vouched, true).map_err(one)?;
    let mut watch = Watch { files, events: Vec::new(), until, stop: Arc::clone(&stop) };
    let threads = plan.spec.runtime.threads.unwrap_or(1);
    let cache = out.parent().unwrap().join("cache");
    let options =
        RunOptions { folder: folder.clone(), cache, reuse, threads, resume, profile: false, until: None, stop };
    let summary = execute(&plan, &options, &mut watch)?;
    Ok(Ran {
        summary,
        events: watch.events,
        metrics: world::read_to_string(&folder.file("metrics.jsonl")).unwrap(),
        model: world::read(&folder.file("model.onnx")).unwrap(),
        folder: folder.path().to_path_buf(),
    })
}

impl Ran {
    /// Loss of every step.
    pub(crate) fn losses(&self) -> Vec<f64> {
        let loss = |event: &Event| match event {
            Event::Step { loss, .. } => Some(*loss),
            _ => None,
        };
        self.events.iter().filter_map(loss).collect()
    }

    /// A number of the last evaluation of a dataset.
    pub(crate) fn score(&self, dataset: &str, metric: &str) -> f64 {
        self.summary.scores[dataset].numbers[metric]
    }

    pub(crate) fn exported(&self) -> Graph {
        onnx::decode(&self.model, None).unwrap().graph
    }

    /// An initializer of the exported model.
    pub(crate) fn weight(&self, name: &str) -> Vec<f32> {
        weight(&self.exported(), name)
    }

    pub(crate) fn checkpoints(&self) -> Vec<(String, Vec<u8>)> {
        let files = world::list_dir(&self.folder.join("checkpoints")).unwrap();
        files
            .into_iter()
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), world::read(&path).unwrap()))
            .collect()
    }
}

pub(crate) fn weight(graph: &Graph, name: &str) -> Vec<f32> {
    let value = graph.find(name).unwrap_or_else(|| panic!("no `{name}`"));
    graph.constant(value).unwrap().to_vec().unwrap()
}

/// Asserts that two vectors agree up to `tolerance` of the larger one's largest number.
pub(crate) fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let scale = a.iter().chain(b).fold(f32::MIN_POSITIVE, |scale, x| scale.max(x.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance * scale, "{i}: {x} and {y}, scale {scale}");
    }
}

/// A graph under construction whose weights are drawn from a seed.
pub(crate) struct Net {
    pub(crate) graph: Graph,
    pub(crate) at: ValueId,
}

impl Net {
    /// A network that begins with `x` of shape [N, …].
    pub(crate) fn new(sample: &[usize]) -> Self {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let mut dims = vec![Dim::Symbol("batch".to_owned())];
        dims.extend(sample.iter().map(|d| Dim::Known(*d)));
        let at = graph.add_input("x", TensorType { dtype: DType::F32, dims });
        Self { graph, at }
    }

    fn drawn(&mut self, name: &str, shape: &[usize], mean: f32, scale: f32) -> ValueId {
        let mut rng = Key::new(3).named(name).rng();
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| mean + scale * rng.normal() as f32).collect();
        self.graph.add_initializer(name, Tensor::new(shape, &data))
    }

    /// A node of that name over the last value, the parameters after it.
    pub(crate) fn node(mut self, name: &str, op: &str, params: &[ValueId], attrs: &[(&str, Attr)]) -> Self {
        let mut inputs = vec![self.at];
        inputs.extend(params);
        self.at = Builder::new(&mut self.graph, name).op_with(op, &inputs, attrs);
        name.clone_into(&mut self.graph.nodes.last_mut().unwrap().name);
        self
    }

    pub(crate) fn linear(mut self, name: &str, from: usize, to: usize) -> Self {
        let scale = 1.0 / (from as f32).sqrt();
        let params = [
            self.drawn(&format!("{name}.weight"), &[to, from], 0.0, scale),
            self.drawn(&format!("{name}.bias"), &[to], 0.0, 0.1),
        ];
        self.node(name, "Gemm", &params, &[("transB", Attr::Int(1))])
    }

    /// A 3×3 convolution with padding 1.
    pub(crate) fn conv(mut self, name: &str, from: usize, to: usize) -> Self {
        let weight = self.drawn(&format!("{name}.weight"), &[to, from, 3, 3], 0.0, 1.0 / (9.0 * from as f32).sqrt());
        let attrs = [("pads", Attr::Ints(vec![1; 4])), ("kernel_shape", Attr::Ints(vec![3, 3]))];
        self.node(name, "Conv", &[weight], &attrs)
    }

    pub(crate) fn batch_norm(mut self, name: &str, channels: usize) -> Self {
        let params = [
            self.drawn(&format!("{name}.weight"), &[channels], 1.0, 0.1),
            self.drawn(&format!("{name}.bias"), &[channels], 0.0, 0.1),
            self.drawn(&format!("{name}.running_mean"), &[channels], 0.0, 0.2),
            self.drawn(&format!("{name}.running_var"), &[channels], 1.0, 0.05),
        ];
        self.node(name, "BatchNormalization", &params, &[("epsilon", Attr::Float(1e-5))])
    }

    pub(crate) fn op(self, name: &str, op: &str) -> Self {
        self.node(name, op, &[], &[])
    }

    /// The graph with its last value as the output `logits`.
    pub(crate) fn done(mut self) -> Graph {
        self.graph.rename(self.at, "logits");
        let at = self.at;
        self.graph.outputs = vec![at];
        self.graph
    }
}

/// x [N, 6] → fc1 → relu1 → fc2 → relu2 → fc3 → logits [N, 3]
pub(crate) fn mlp() -> Graph {
    Net::new(&[6])
        .linear("fc1", 6, 8)
        .op("relu1", "Relu")
        .linear("fc2", 8, 5)
        .op("relu2", "Relu")
        .linear("fc3", 5, 3)
        .done()
}

/// x [N, 2, 6, 6] → two blocks of convolution, BatchNorm and ReLU → mean over places → fc → logits [N, 3]
pub(crate) fn cnn() -> Graph {
    Net::new(&[2, 6, 6])
        .conv("conv1", 2, 4)
        .batch_norm("bn1", 4)
        .op("relu1", "Relu")
        .conv("conv2", 4, 6)
        .batch_norm("bn2", 6)
        .op("relu2", "Relu")
        .op("pool", "GlobalAveragePool")
        .op("flat", "Flatten")
        .linear("fc", 6, 3)
        .done()
}
