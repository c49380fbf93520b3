//! Training on a GPU where there is none: ONNX Runtime's CUDA provider loads, places and runs steps on a stand-in for the libraries of CUDA
//! (`stand_in/*.c`), which takes memory, copies, and computes nothing. It tests everything but numbers: that there is a kernel for every
//! node, that a step can be recorded, how much memory is taken, and that all of it is given back.
//!
//! Left out where the provider is not installed (`pipe setup --cuda`) and elsewhere than on Linux.
#![expect(clippy::disallowed_methods, reason = "what loads the stand-in is a process of its own")]

use crate::cuda::{SPECS, scene, spec};
use crate::gradients::{Form, gradients, points_and_weights, session};
use crate::scene::{Net, Scene};
use pipe::diag::Result;
use pipe::ir::{DType, Graph};
use pipe::native::cuda::{self, DeviceBuffer, Recorded, Refusal, libraries::LIBRARIES};
use pipe::native::{Binding, Place, Session, locate_cuda};
use pipe::ops::case::Case;
use pipe::ops::cases;
use pipe::spec::Precision;
use pipe::world::{self, process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Set in processes that run on the stand-in: where it writes what it was given.
const REPORT: &str = "STAND_IN_REPORT";

/// Operators that run on the processor, of all that can be trained: ONNX Runtime has no kernel, or none for what they were asked to do.
const ON_PROCESSOR: [&str; 14] = [
    "Celu",
    "Cosh",
    "GRU",
    "GlobalLpPool",
    "Hardmax",
    "LSTM",
    "LpPool",
    "RNN",
    "Sinh",
    "Tan",
    "pipe::GridSampleGrad",
    "pipe::GruGrad",
    "pipe::LstmGrad",
    "pipe::RnnGrad",
];

/// Operators with a gradient that cannot be recorded: ONNX Runtime copies sizes up for a Concat of unequal parts, and places for a product
/// whose first operand has fewer batches than the second. Memory to work in comes with an own operator, which a product alone does not have
/// beside it.
const NOT_RECORDED: [(&str, Refusal); 9] = [
    ("Einsum", Refusal::Memory),
    ("FusedGemm", Refusal::Memory),
    ("FusedMatMul", Refusal::Memory),
    ("Gemm", Refusal::Memory),
    ("MatMul", Refusal::HostCopy),
    ("MatMul", Refusal::Memory),
    ("Resize", Refusal::HostCopy),
    ("Split", Refusal::HostCopy),
    ("TransposeMatMul", Refusal::Memory),
];

/// What pipe keeps of the device until the process ends: cuBLAS works in 32 MiB, kernels in a few.
const KEPT: u64 = 34 << 20;
/// What the plan says for what a real driver takes, and for cuBLAS.
const CONTEXT: f64 = 832.0 * 1024.0 * 1024.0;

/// Sources by the name under which a library is loaded; the other libraries of CUDA are empty.
const SOURCES: [(&str, &str); 6] = [
    ("libcuda.so.1", "gpu.c"),
    ("libcudart.so.13", "cudart.c"),
    ("libcublas.so.13", "cublas.c"),
    ("libcublasLt.so.13", "cublas_lt.c"),
    ("libcudnn.so.9", "cudnn.c"),
    ("libnvrtc.so.13", "nvrtc.c"),
];

/// Where the stand-in and the library with the provider lie.
struct StandIn {
    folder: PathBuf,
    runtime: PathBuf,
}

/// The stand-in, compiled once for the process; none where it cannot be used, which is told.
#[expect(clippy::print_stderr, reason = "what is left out is told")]
fn stand_in() -> Option<&'static StandIn> {
    static MADE: OnceLock<Option<StandIn>> = OnceLock::new();
    let make = || {
        let found = locate_cuda().ok().filter(|_| cfg!(all(target_os = "linux", target_arch = "x86_64")));
        let Some(found) = found else {
            eprintln!("no CUDA provider of ONNX Runtime for the stand-in (`pipe setup --cuda`): left out");
            return None;
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand_in");
        compile(&folder);
        Some(StandIn { folder, runtime: found.path })
    };
    MADE.get_or_init(make).as_ref()
}

fn compile(folder: &Path) {
    world::create_dir_all(folder).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stand_in");
    let driver = folder.join("libcuda.so.1").display().to_string();
    let others = LIBRARIES.iter().map(|library| (library.name, "empty.c"));
    let others = others.filter(|(name, _)| SOURCES.iter().all(|(known, _)| known != name));
    for (name, source) in SOURCES.into_iter().chain(others) {
        let [target, source] = [folder.join(name), sources.join(source)].map(|path| path.display().to_string());
        let soname = format!("-Wl,-soname,{name}");
        // The provider asks for names with the version of their library.
        let mut arguments =
            vec!["-shared", "-fPIC", "-O1", "-w", "-Wl,--default-symver", &soname, "-o", &target, &source];
        if target != driver {
            arguments.push(&driver);
        }
        let finished = process::run("cc", &arguments).unwrap().unwrap();
        assert!(finished.success, "{name}: {}", finished.stderr);
    }
}

/// How a process on the stand-in ended.
struct Ended {
    status: Option<i32>,
    text: String,
    said: String,
    /// What the stand-in was given.
    report: Value,
}

impl StandIn {
    fn run(&self, program: &Path, folder: &Path, args: &[&str], more: &[(&str, &str)]) -> Ended {
        let report = world::scratch_folder().unwrap();
        let report = report.path().join("report.json");
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).env("LD_LIBRARY_PATH", &self.folder).env("PIPE_ORT", &self.runtime);
        command.env(REPORT, &report).envs(more.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [text, said] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let report = world::read_to_string(&report).unwrap_or_default();
        // The last process to end is the command; others that it started wrote before it.
        let report = report.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
        Ended { status: status.code(), text, said, report }
    }

    /// The command in a folder.
    fn pipe(&self, scene: &Scene, args: &[&str], more: &[(&str, &str)]) -> Ended {
        self.run(Path::new(env!("CARGO_BIN_EXE_pipe")), &scene.path(""), args, more)
    }

    /// Tests of this program.
    fn tests(&self, names: &[&str]) -> Ended {
        let program = world::env::executable().unwrap();
        let args = [&["--include-ignored", "--exact", "--test-threads", "1", "--nocapture"], names].concat();
        self.run(&program, Path::new(env!("CARGO_MANIFEST_DIR")), &args, &[])
    }
}

/// Tests that do without numbers, as they are on a real GPU.
#[test]
fn tests_without_numbers_pass_on_the_stand_in() {
    let Some(stand_in) = stand_in() else { return };
    let names = [
        "cuda::a_plan_says_which_nodes_the_gpu_does_not_run",
        "cuda::memory_that_ran_out_is_told_with_what_is_needed_and_what_there_is",
        "cuda::numbers_that_need_a_gpu_are_refused_on_the_processor_and_stand_for_a_run",
        "cuda::operators_are_timed",
        "cuda::two_runs_and_a_resumed_one_give_the_same_bytes",
        "cuda::what_is_made_again_changes_nothing",
        "stand_in::forms",
    ];
    let ended = stand_in.tests(&names);
    assert_eq!(ended.status, Some(0), "{}{}", ended.text, ended.said);
    assert!(ended.text.contains(&format!("{} passed", names.len())), "{}", ended.text);
    assert!(!ended.said.contains("left out"), "{}", ended.said);
}

/// On the stand-in: the provider runs every form of every operator's gradients, and what it gives has the right size.
#[test]
#[ignore = "run by the one above in a process that loads the stand-in"]
fn forms() {
    let mut failures = Vec::new();
    let (mut on_processor, mut not_recorded) = (BTreeSet::new(), BTreeSet::new());
    let mut count = 0;
    for case in cases() {
        let Some((points, weights)) = points_and_weights(&case) else { continue };
        if gradients(&case, DType::F32, &points, &weights, Form::Plain).is_err() {
            continue;
        }
        count += 1;
        for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
            let title = format!("{} ({}) in {}", case.op, case.name, precision.word());
            let made = session(&case, DType::F32, &weights, Form::Cuda(precision)).and_then(|mut session| {
                let nodes = cuda::fallbacks(&session).unwrap();
                let whole = recorded(&case, &mut session).map_err(|problem| format!("{problem:?}"))?;
                if let (Err(why), true) = (whole, nodes.is_empty()) {
                    not_recorded.insert((case.op, why));
                }
                on_processor.extend(nodes.into_iter().map(|node| node.op));
                Ok(())
            });
            failures.extend(made.err().map(|why| format!("{title}: {}", why.lines().take(6).collect::<String>())));
        }
    }
    assert!(failures.is_empty(), "{} of {count} failed\n{}", failures.len(), failures.join("\n"));
    assert!(count > 300, "{count} cases");
    assert_eq!(not_recorded.into_iter().collect::<Vec<_>>(), NOT_RECORDED);
    assert_eq!(on_processor.iter().map(String::as_str).collect::<Vec<_>>(), ON_PROCESSOR);
}

/// Runs what computes the gradients of a case, and sees whether that can be recorded.
fn recorded(case: &Case, session: &mut Session) -> Result<std::result::Result<(), Refusal>> {
    let mut kept = Vec::new();
    let mut place = |name: String, shape: &[usize]| {
        kept.push(DeviceBuffer::zeros(4 * shape.iter().product::<usize>().max(1))?);
        let address = kept.last().map_or(0, DeviceBuffer::address);
        Ok((name, Place { address, dtype: DType::F32, shape: shape.to_vec() }))
    };
    let size = |dims: &[i64]| dims.iter().map(|size| *size as usize).collect::<Vec<_>>();
    let inputs = session.inputs().into_iter().map(|(name, ty)| place(name, &size(&ty.unwrap().1)));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let outputs = session.outputs().into_iter().zip(case.inputs).map(|((name, _), input)| place(name, input.shape));
    let mut binding = Binding::new(session, &inputs, &outputs.collect::<Result<Vec<_>>>()?)?;
    // The first run takes memory and chooses algorithms.
    binding.run(session)?;
    Ok(Recorded::of(|| binding.run(session))?.map(|_| ()))
}

/// Steps of every kind are recorded, which takes no memory, and at the end all memory is given back but what the process keeps to work in.
#[test]
fn steps_are_recorded_and_memory_is_given_back() {
    let Some(stand_in) = stand_in() else { return };
    let scene = scene();
    for (name, rest) in SPECS {
        for precision in ["f32", "tf32", "f16", "bf16"] {
            scene.write("spec.yaml", spec(rest, &format!("{{device: cuda, precision: {precision}, strict: true}}")));
            let out = format!("{name}-{precision}");
            let ended = stand_in.pipe(&scene, &["run", "spec.yaml", "--fresh", "--quiet", "--out", &out], &[]);
            assert_eq!(ended.status, Some(0), "{name} in {precision}: {}", ended.said);
            let number = |key: &str| ended.report[key].as_u64().unwrap();
            assert!(number("recordings") >= 2, "{name} in {precision}: {}", ended.report);
            assert!(number("replays") >= number("recordings"), "{name} in {precision}: {}", ended.report);
            assert_eq!(number("taken_while_recording"), 0, "{name} in {precision}: {}", ended.report);
            assert!(number("left") <= KEPT, "{name} in {precision}: {}", ended.report);
        }
    }
}

/// What the plan says that a step takes, beside what ONNX Runtime and pipe take of the device.
#[test]
fn memory_is_what_the_plan_says() {
    let Some(stand_in) = stand_in() else { return };
    let scene = Scene::new();
    scene.model("model.onnx", &large());
    for precision in ["f32", "bf16"] {
        let args =
            ["bench", "model.onnx", "--batch", "256", "--steps", "4", "--device", "cuda", "--json", "--precision"];
        let ended = stand_in.pipe(&scene, &[&args[..], &[precision]].concat(), &[]);
        assert_eq!(ended.status, Some(0), "{precision}: {}", ended.said);
        let found: Value = serde_json::from_str(&ended.text).unwrap();
        assert_eq!(found["recorded"], true, "{precision}: {found}");
        let number = |key: &str| found[key].as_f64().unwrap();
        // The stand-in has no context, and what pipe works in is not the step's.
        let (taken, estimated) = (number("gpu_bytes") - KEPT as f64, number("gpu_estimated_bytes") - CONTEXT);
        assert!(taken > 150e6 && (0.9..1.2).contains(&(estimated / taken)), "{precision}: {estimated} for {taken}");
    }
}

/// What is made again for backward is not kept, in all numbers.
#[test]
fn what_is_made_again_takes_less_memory() {
    let Some(stand_in) = stand_in() else { return };
    let scene = Scene::new();
    scene.model("model.onnx", &deep());
    for precision in ["f32", "f16", "bf16"] {
        let taken = |more: &[&str]| {
            let args =
                ["bench", "model.onnx", "--batch", "64", "--steps", "4", "--device", "cuda", "--json", "--precision"];
            let ended = stand_in.pipe(&scene, &[&args[..], &[precision], more].concat(), &[]);
            assert_eq!(ended.status, Some(0), "{precision}: {}", ended.said);
            let found: Value = serde_json::from_str(&ended.text).unwrap();
            assert_eq!(found["recorded"], true, "{precision}: {found}");
            ["gpu_bytes", "gpu_estimated_bytes"].map(|key| found[key].as_f64().unwrap())
        };
        let ([kept, estimated], [again, estimated_again]) = (taken(&[]), taken(&["--recompute", "*"]));
        let [less, estimated_less] =
            [(again - KEPT as f64) / (kept - KEPT as f64), (estimated_again - CONTEXT) / (estimated - CONTEXT)];
        assert!(
            less < 0.85 && (less - estimated_less).abs() < 0.15,
            "{precision}: {less} of the memory, {estimated_less} estimated"
        );
    }
}

/// A node that the GPU does not run is a warning, an error where `strict` asks for it, and a step with one is not recorded.
#[test]
fn a_node_on_the_processor_is_told() {
    let Some(stand_in) = stand_in() else { return };
    let scene = Scene::new();
    scene.model("model.onnx", &Net::new(&[4]).linear("fc1", 4, 8).op("tan", "Tan").linear("fc", 8, 3).done());
    scene.samples("train.npz", 45, &[4], 3);
    let rest = "optimizer: {sgd: {lr: 0.05}}\nschedule: {epochs: 6, batch: 8}\n";
    scene.write("spec.yaml", spec(rest, "{device: cuda}"));
    let ended = stand_in.pipe(&scene, &["plan", "spec.yaml"], &[]);
    assert!(ended.status == Some(0) && ended.text.contains("Tan"), "{}{}", ended.text, ended.said);
    let ended = stand_in.pipe(&scene, &["run", "spec.yaml", "--out", "run"], &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.said);
    assert!(ended.said.contains("Tan (1)"), "{}", ended.said);
    assert_eq!(ended.report["recordings"], 0, "{}", ended.report);
    let ended = stand_in.pipe(&scene, &["run", "spec.yaml", "--fresh", "--set", "runtime.strict=true"], &[]);
    assert!(ended.status == Some(1) && ended.said.contains("Tan (1)"), "{:?} {}", ended.status, ended.said);
}

/// A device that is too small says what the run needs and what there is.
#[test]
fn a_device_that_is_too_small_says_what_is_needed() {
    let Some(stand_in) = stand_in() else { return };
    let scene = Scene::new();
    scene.model("model.onnx", &large());
    let args = ["bench", "model.onnx", "--batch", "256", "--steps", "4", "--device", "cuda"];
    let ended = stand_in.pipe(&scene, &args, &[("STAND_IN_MEMORY", "150")]);
    assert_eq!(ended.status, Some(1), "{}", ended.text);
    for words in ["P0606", "on the GPU the run needs about", "the GPU has 150", "schedule.batch"] {
        assert!(ended.said.contains(words), "{words}: {}", ended.said);
    }
}

/// A network with many layers of one size.
fn deep() -> Graph {
    let mut net = Net::new(&[16, 32, 32]);
    for layer in 1..13 {
        net = net
            .conv(&format!("conv{layer}"), 16, 16)
            .batch_norm(&format!("bn{layer}"), 16)
            .op(&format!("relu{layer}"), "Relu");
    }
    net.op("pool", "GlobalAveragePool").op("flat", "Flatten").linear("fc", 16, 10).done()
}

/// A network whose step takes some hundred MiB.
fn large() -> Graph {
    let net = Net::new(&[3, 32, 32]).conv("conv1", 3, 32).batch_norm("bn1", 32).op("relu1", "Relu");
    let net = net.conv("conv2", 32, 32).batch_norm("bn2", 32).op("relu2", "Relu");
    net.op("pool", "GlobalAveragePool").op("flat", "Flatten").linear("fc", 32, 10).done()
}
