//! `pipe bench`

use super::{Failure, Outcome, complain, say};
use crate::diag::{Code, Diagnostic};
use crate::graph::Chosen as Size;
use crate::ir::Tensor;
use crate::parts::Chosen;
use crate::plan::Plan;
use crate::runtime::{BenchOptions, BenchReport, Feeds, Gradients, bench};
use crate::spec::{Optimizer, Runtime};
use crate::world::{self, clock};
use crate::{native, report};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rows of a batch of a model without a spec.
const BATCH: usize = 16;

/// Times a training step on random data: of a spec the last phase, of an ONNX model everything.
///
/// A model that gives [N, classes] is trained with cross entropy, any other with the mean square of its first float output against zeros.
/// GFLOP count convolutions and matrix products as 2·m·n·k, backward once more for each operand that takes a gradient; shares are of the
/// f32 matrix product of this machine, measured in the same process on the same threads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A spec, or a model whose name ends in `.onnx`.
    #[arg(value_name = "SPEC_OR_MODEL")]
    target: PathBuf,
    /// Rows of a batch: without it the spec's, or 16.
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    batch: Option<usize>,
    /// Steps that are timed, after two that are not.
    #[arg(long, default_value_t = 10, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    steps: usize,
    /// Threads: without it the spec's, or one for each core.
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    threads: Option<usize>,
    /// Where the step runs: without it where the spec says, or on the processor.
    #[arg(long, value_name = "DEVICE", value_parser = super::run::DEVICES)]
    device: Option<String>,
    /// In which numbers a GPU computes: without it those of the spec, or f32.
    #[arg(long, value_name = "NUMBERS", value_parser = ["f32", "tf32", "f16", "bf16"])]
    precision: Option<String>,
    /// On a GPU, only kernels that give the same bits every time.
    #[arg(long)]
    deterministic: bool,
    /// Size of a free dimension of a model; may stand several times. Without it images are 3 × 224 × 224 and sequences 64 long.
    #[arg(long = "dim", value_name = "NAME=N", value_parser = dim)]
    dims: Vec<(String, usize)>,
    /// How the parameters of a model move; a spec says it itself.
    #[arg(long, value_name = "KIND", default_value = "sgd")]
    optimizer: Rule,
    /// Pattern of nodes of a model whose values are not kept for backward but made again; may stand several times. A spec says it itself.
    #[arg(long, value_name = "PATTERN")]
    recompute: Vec<String>,
    /// Overrides a value of the spec, such as `freeze=all`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Times every operator as well and writes a Chrome trace. A GPU is waited for after each kernel then, so that steps take longer.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "trace.json")]
    pub(super) profile: Option<PathBuf>,
    /// Runs one step of a model on the tensors of FEEDS, times nothing, and writes the gradient of every parameter as safetensors, under the
    /// names of the initializers; the loss is in the metadata.
    #[arg(long, value_name = "FILE", requires = "feeds", conflicts_with_all = ["steps", "profile", "optimizer"])]
    gradients: Option<PathBuf>,
    /// Safetensors under the names of the model's inputs, and `labels`: classes, or the values that the mean square is taken against.
    #[arg(long, value_name = "FEEDS", requires = "gradients")]
    feeds: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Rule {
    /// With momentum 0.9.
    Sgd,
    /// With its defaults.
    Adam,
    /// With its defaults.
    Adamw,
}

impl Rule {
    /// Small rates: random data should not drive a model to infinity while it is timed.
    fn optimizer(self) -> Optimizer {
        let rule = match self {
            Self::Sgd => Chosen::new("sgd", json!({"lr": 1e-5, "momentum": 0.9})),
            Self::Adam => Chosen::new("adam", json!({"lr": 1e-5})),
            Self::Adamw => Chosen::new("adamw", json!({"lr": 1e-5})),
        };
        Optimizer { rule, groups: Vec::new(), clip_norm: None, ema: None }
    }
}

/// `NAME=N`
fn dim(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.split_once('=').ok_or("write it as NAME=N")?;
    match size.parse() {
        Ok(size) if size > 0 && !name.is_empty() => Ok((name.to_owned(), size)),
        _ => Err("write it as NAME=N with N of at least 1".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let started = clock::now();
    let is_model = args.target.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    if let (Some(out), Some(feeds)) = (&args.gradients, &args.feeds) {
        if is_model {
            return gradients(args, out, feeds);
        }
        let problem = Diagnostic::error(Code::Usage, "`--gradients` is for a model, not for a spec");
        return Err(Failure::spec(vec![problem.help("give the ONNX model that the spec trains")]));
    }
    let (plan, sizes) = if is_model { model(args, args.batch.unwrap_or(BATCH))? } else { spec(args)? };
    let options = BenchOptions {
        batch: args.batch.unwrap_or(plan.spec.schedule.batch),
        steps: args.steps,
        threads: args.threads.or(plan.spec.runtime.threads).unwrap_or_else(world::env::cores),
        profile: args.profile.clone(),
        started,
    };
    let found = bench(&plan, &options).map_err(|diagnostics| Failure { diagnostics, status: 1 })?;
    let name = args.target.display().to_string();
    if args.json {
        say(&format!("{:#}\n", as_json(&name, &sizes, &found)?));
    } else {
        say(&text(&name, &sizes, &found));
        if let (Some(table), Some(path)) = (&found.profile, &args.profile) {
            say(&format!("\n{}\ntrace in {}\n", report::profile(table), path.display()));
        }
    }
    if !found.finite {
        complain(&[Diagnostic::warning(Code::NotFinite, "a loss or a gradient was NaN or infinite")
            .note("the optimizer leaves such a step out, so that steps look a little shorter than they are")]);
    }
    Ok(ExitCode::SUCCESS)
}

fn gradients(args: &Args, out: &Path, feeds: &Path) -> Outcome {
    let feeds = Feeds::read(feeds).map_err(|problem| Failure::spec(vec![problem]))?;
    let batch = args.batch.unwrap_or_else(|| feeds.rows());
    let (plan, _) = model(args, batch)?;
    let threads = args.threads.unwrap_or_else(world::env::cores);
    let found = Gradients::of(&plan, &feeds, threads).map_err(Failure::spec)?;
    found.write(out)?;
    complain(&found.warning().into_iter().collect::<Vec<_>>());
    let trained: usize = found.tensors.values().map(Tensor::len).sum();
    let (name, tensors, norm) = (args.target.display(), found.tensors.len(), found.norm());
    if args.json {
        let value = json!({
            "target": name.to_string(), "batch": batch, "loss": found.loss, "tensors": tensors, "trained": trained, "norm": norm,
        });
        say(&format!("{value:#}\n"));
    } else {
        say(&format!("{name}: {trained} parameters in {tensors} tensors, {batch} rows\n"));
        say(&format!("loss {:.6}, gradient {norm:.6e}, written to {}\n", found.loss, out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn model(args: &Args, batch: usize) -> Result<(Plan, Vec<Size>), Failure> {
    if !args.sets.is_empty() {
        let problem = Diagnostic::error(Code::Usage, "`--set` overrides a spec, and a model has none");
        return Err(Failure::spec(vec![problem]));
    }
    let dims: BTreeMap<String, usize> = args.dims.iter().cloned().collect();
    let mut runtime = json!({"device": args.device.as_deref().unwrap_or("cpu"), "deterministic": args.deterministic});
    runtime["recompute"] = json!(args.recompute);
    if let Some(precision) = &args.precision {
        runtime["precision"] = json!(precision);
    }
    let runtime: Runtime = serde_json::from_value(runtime)
        .map_err(|error| Diagnostic::error(Code::Internal, "cannot read options").note(error.to_string()))?;
    let made = Plan::of_model(&args.target, &dims, args.optimizer.optimizer(), batch, runtime);
    let (plan, sizes) = made.map_err(Failure::spec)?;
    complain(&plan.warnings);
    Ok((plan, sizes))
}

fn spec(args: &Args) -> Result<(Plan, Vec<Size>), Failure> {
    if !args.dims.is_empty() {
        let problem = Diagnostic::error(Code::Usage, "`--dim` sets a dimension of a model, not of a spec")
            .help("a spec gives free dimensions under `model: {shape: {NAME: N}}`");
        return Err(Failure::spec(vec![problem]));
    }
    if !args.recompute.is_empty() {
        let problem = Diagnostic::error(Code::Usage, "`--recompute` is for a model, not for a spec")
            .help("a spec says it under `runtime: {recompute: [PATTERN]}`");
        return Err(Failure::spec(vec![problem]));
    }
    let mut sets = super::run::overrides(&args.sets, args.device.as_deref());
    sets.extend(args.precision.as_ref().map(|word| format!("runtime.precision={word}")));
    sets.extend(args.deterministic.then(|| "runtime.deterministic=true".to_owned()));
    Ok((super::run::plan(super::run::load(&args.target, &sets)?)?.plan, Vec::new()))
}

fn as_json(name: &str, sizes: &[Size], found: &BenchReport) -> crate::diag::Result<Value> {
    let mut value = json!({
        "target": name,
        "pipe": env!("CARGO_PKG_VERSION"),
        "runtime": native::build_info()?,
        "dims": sizes.iter().map(|size| (size.name.clone(), json!(size.size))).collect::<serde_json::Map<_, _>>(),
    });
    let found = serde_json::to_value(found)
        .map_err(|error| Diagnostic::error(Code::Internal, "cannot encode a report").note(error.to_string()))?;
    if let (Value::Object(all), Value::Object(found)) = (&mut value, found) {
        all.extend(found);
    }
    Ok(value)
}

fn text(name: &str, sizes: &[Size], found: &BenchReport) -> String {
    let mut out = String::new();
    let mut line = |key: &str, text: String| {
        let _ = writeln!(out, "{key:<10} {text}");
    };
    let list = |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    line("bench", format!("{name}, {} parameters trained, {} threads", found.trained, found.threads));
    for (input, dtype, shape) in &found.inputs {
        line("input", format!("{input} {dtype}[{}], random", list(shape)));
    }
    for size in sizes {
        line("dimension", format!("{} = {}{}", size.name, size.size, if size.given { "" } else { ", by default" }));
    }
    for (loss, output) in &found.loss {
        let against = if loss == "mse" && !sizes.is_empty() { " against zeros" } else { "" };
        line("loss", format!("{loss} of `{output}`{against}: {:.4} to {:.4}", found.loss_first, found.loss_last));
    }
    line(
        "load",
        format!(
            "{:.2} s to the graph, {:.2} s session, {:.2} s first step; first step done after {:.2} s",
            found.prepare_seconds, found.session_seconds, found.first_step_seconds, found.time_to_first_step_seconds
        ),
    );
    line(
        "",
        format!("{:>9} {:>9} {:>9} {:>10} {:>10} {:>9}", "median s", "min", "max", "GFLOP", "GFLOP/s", "of sgemm"),
    );
    let mut row = |key: &str, seconds: [f64; 3], gflop: f64, rate: f64, share: f64| {
        let [median, min, max] = seconds;
        let share = 100.0 * share;
        line(key, format!("{median:>9.4} {min:>9.4} {max:>9.4} {gflop:>10.2} {rate:>10.1} {share:>7.1} %"));
    };
    row(
        "forward",
        [found.forward_seconds_median, found.forward_seconds_min, found.forward_seconds_max],
        found.forward_gflop,
        found.forward_gflop_per_second,
        found.forward_share_of_sgemm,
    );
    row(
        "step",
        [found.step_seconds_median, found.step_seconds_min, found.step_seconds_max],
        found.step_gflop,
        found.step_gflop_per_second,
        found.step_share_of_sgemm,
    );
    line("sgemm", format!("{:.1} GFLOP/s on {} threads", found.sgemm_gflop_per_second, found.threads));
    if let Some(gpu) = &found.on_gpu {
        let [taken, estimated] = [gpu.gpu_bytes, gpu.gpu_estimated_bytes].map(|bytes| bytes >> 20);
        line("gpu", format!("{taken} MiB taken after the steps, {estimated} estimated"));
        let because = gpu.not_recorded_because.map(|why| format!("a step is not recorded, since {why}"));
        line(
            "",
            because.unwrap_or_else(|| {
                if gpu.recorded { "steps recorded and given as a whole" } else { "steps not recorded" }.to_owned()
            }),
        );
    }
    if let Some(bytes) = found.peak_rss_bytes {
        line("memory", format!("{} MiB at the peak, {} estimated", bytes >> 20, found.estimated_bytes >> 20));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_a_name_and_a_size() {
        assert_eq!(dim("height=96"), Ok(("height".to_owned(), 96)));
        for bad in ["height", "height=0", "height=-1", "=3", "height=x"] {
            assert!(dim(bad).is_err(), "{bad}");
        }
    }
}
