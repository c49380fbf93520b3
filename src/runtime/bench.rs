//! Times the training step of a plan's last phase on random data: the session and the optimizer pass that a run has, without a loader.

use super::device::{self, Bad, DeviceSteps, LossScale, Micros, Start};
use super::execute::label_kinds;
use super::pass::updater;
use super::profile::ProfileTable;
use super::random::random;
use super::step::{Micro, Step};
use super::update::Updater;
use super::weights::Weights;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{Flops, Param, StepForm, TrainGraph, train_graph};
use crate::ir::ValueId;
use crate::kernels::{Device, sgemm};
use crate::native;
use crate::native::Options;
use crate::native::cuda::Refusal;
use crate::plan::Plan;
use crate::spec::Weight;
use crate::world::{self, clock};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Steps that are run before any is timed: the first allocates, the second fills the memory pattern.
const WARM_UP: usize = 2;
/// Products that the ceiling is taken from; the fastest counts.
const PRODUCTS: usize = 8;

/// How a step is timed.
pub struct BenchOptions {
    /// Rows of a batch.
    pub batch: usize,
    /// Steps that are timed, at least 1.
    pub steps: usize,
    /// Threads of ONNX Runtime and of the optimizer.
    pub threads: usize,
    /// Times every operator and writes the trace here. The times of steps are then a little longer.
    pub profile: Option<PathBuf>,
    /// When the process began to load.
    pub started: clock::Instant,
}

/// Seconds of several repetitions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spread {
    /// Middle one, or the mean of the two middle ones.
    pub median: f64,
    /// Shortest.
    pub min: f64,
    /// Longest.
    pub max: f64,
}

impl Spread {
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (seconds.first(), seconds.last()) else { return Self::default() };
        let half = seconds.len() / 2;
        let median = f64::midpoint(seconds[half], seconds[(seconds.len() - 1) / 2]);
        Self { median, min: *min, max: *max }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Rows of a batch.
    pub batch: usize,
    /// Steps that were timed.
    pub steps: usize,
    /// Threads.
    pub threads: usize,
    /// Data inputs of the step: name, element type and shape.
    pub inputs: Vec<(String, String, Vec<usize>)>,
    /// Terms of the loss with the output that each looks at.
    pub loss: Vec<(String, String)>,
    /// Elements that are trained.
    pub trained: usize,
    /// Forward pass in training form.
    pub forward_seconds_median: f64,
    /// Shortest.
    pub forward_seconds_min: f64,
    /// Longest.
    pub forward_seconds_max: f64,
    /// Whole step: copying the batch in, forward, backward, optimizer.
    pub step_seconds_median: f64,
    /// Shortest.
    pub step_seconds_min: f64,
    /// Longest.
    pub step_seconds_max: f64,
    /// 10⁹ floating-point operations of a forward pass, see [`Flops`].
    pub forward_gflop: f64,
    /// Of a whole step.
    pub step_gflop: f64,
    /// Rate of the forward pass.
    pub forward_gflop_per_second: f64,
    /// Rate of the whole step.
    pub step_gflop_per_second: f64,
    /// Rate of f32 matrix products of the `gemm` crate, one on each thread.
    pub sgemm_gflop_per_second: f64,
    /// Part of that rate that the forward pass reaches.
    pub forward_share_of_sgemm: f64,
    /// Part of that rate that the step reaches.
    pub step_share_of_sgemm: f64,
    /// Most memory of the process after the steps.
    pub peak_rss_bytes: Option<u64>,
    /// What there is to say of a GPU.
    #[serde(flatten)]
    pub on_gpu: Option<OnGpu>,
    /// What [`Plan::step_memory`] says that it is.
    pub estimated_bytes: u64,
    /// From the start until the training graph was made.
    pub prepare_seconds: f64,
    /// ONNX Runtime's loading of that graph.
    pub session_seconds: f64,
    /// First step.
    pub first_step_seconds: f64,
    /// From the start until the first step was done.
    pub time_to_first_step_seconds: f64,
    /// Objective at the first step and at the last.
    pub loss_first: f64,
    /// At the last step.
    pub loss_last: f64,
    /// Whether every loss and gradient was finite; the optimizer leaves a step out that is not.
    pub finite: bool,
    /// Time by operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileTable>,
}

/// What was measured on a GPU alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnGpu {
    /// Memory of the GPU that is taken after the steps, whoever took it.
    pub gpu_bytes: u64,
    /// What [`Plan::device_step_memory`] says that it is.
    pub gpu_estimated_bytes: u64,
    /// Whether the steps were recorded and given to the GPU as a whole.
    pub recorded: bool,
    /// Why not, where that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_recorded_because: Option<&'static str>,
}

/// Times the training step of the last phase.
///
/// # Errors
/// What stands in the way of training: an operator without a gradient, a parameter that the loss does not reach, a graph that ONNX
/// Runtime refuses.
pub fn bench(plan: &Plan, options: &BenchOptions) -> std::result::Result<BenchReport, Vec<Diagnostic>> {
    let one = |error: Diagnostic| vec![error];
    let Some(phase) = plan.phases.last() else {
        return Err(one(Diagnostic::error(Code::Internal, "a plan without phases")));
    };
    if let Some(problem) = device::not_timed(plan.target).filter(|_| options.profile.is_some()) {
        return Err(one(problem));
    }
    let cut = phase.cut.as_ref().ok();
    let train = if phase.graphs.full.batch == options.batch {
        phase.graphs.full.clone()
    } else {
        let form = StepForm::of(&plan.spec, plan.target);
        train_graph(&plan.network, &phase.trainable, cut, &plan.objective, form, options.batch)?
    };
    let prepare_seconds = options.started.seconds();
    let estimated_bytes = plan.step_memory(phase, &train).map_err(one)?.total();
    let params: Vec<&Param> = phase.trainable.params.iter().map(|index| &plan.network.params[*index]).collect();
    let rule = phase.optimizer.rule.build().map_err(one)?;
    let (updater, starts) = updater(plan, phase, rule, &params)?;
    let on_gpu = plan.target.device == Device::Cuda;
    let on_device = on_gpu.then(|| plan.device_step_memory(phase, &[&train])).transpose().map_err(one)?;
    let timed = Timed::new(plan, &train, updater, &starts, options.threads).map_err(one)?;
    let made = timed.measure(train, options, prepare_seconds);
    let made = made.map_err(|problem| device::explain_with(plan, one(problem), &|| on_device.clone()))?;
    let gpu_estimated_bytes = on_device.map_or(0, |memory| memory.total());
    let on_gpu = made.on_gpu.clone().map(|gpu| OnGpu { gpu_estimated_bytes, ..gpu });
    let trained = params.iter().map(|param| param.shape.iter().product::<usize>()).sum();
    Ok(BenchReport { trained, on_gpu, estimated_bytes, ..made })
}

/// A step that was loaded.
enum Loaded {
    Host(Box<Step>),
    Device(Box<DeviceSteps>),
}

impl Loaded {
    /// What there is to say of the GPU that it is loaded on.
    fn on_gpu(&self) -> Option<OnGpu> {
        let Self::Device(steps) = self else { return None };
        let (free, all) = native::cuda::gpu().ok()?.memory()?;
        let recorded = steps.recorded();
        Some(OnGpu {
            gpu_bytes: all.saturating_sub(free) as u64,
            gpu_estimated_bytes: 0,
            recorded: recorded.is_some_and(|made| made.is_ok()),
            not_recorded_because: recorded.and_then(std::result::Result::err).map(Refusal::words),
        })
    }

    /// Ends timing and writes the trace, if that is wanted.
    fn end_profile(&mut self, path: Option<&Path>) -> Result<Option<ProfileTable>> {
        let Some(path) = path else { return Ok(None) };
        match self {
            Self::Host(step) => step.end_profile(path, "pipe bench"),
            Self::Device(steps) => steps.end_profile(path, "pipe bench"),
        }
    }
}

/// A step with everything that it is run with.
struct Timed<'p> {
    plan: &'p Plan,
    weights: Weights,
    micro: Micro,
    updater: Updater,
    starts: Vec<&'p [f32]>,
    names: Vec<String>,
    pool: rayon::ThreadPool,
    finite: bool,
}

impl<'p> Timed<'p> {
    fn new(
        plan: &'p Plan,
        train: &TrainGraph,
        updater: Updater,
        starts: &'p [Vec<f32>],
        threads: usize,
    ) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
            Diagnostic::error(Code::Internal, "cannot start the worker threads").note(error.to_string())
        })?;
        let mut weights = Weights::default();
        let states = train.states.iter().map(|state| &state.name);
        for name in train.params.iter().map(|(input, _)| input).chain(states) {
            weights.adopt(&plan.network.graph, name)?;
        }
        Ok(Self {
            plan,
            weights,
            micro: random(plan, train)?,
            updater,
            starts: starts.iter().map(Vec::as_slice).collect(),
            names: train.params.iter().map(|(input, _)| input.clone()).collect(),
            pool,
            finite: true,
        })
    }

    fn measure(mut self, train: TrainGraph, options: &BenchOptions, prepare_seconds: f64) -> Result<BenchReport> {
        let plan = self.plan;
        let flops = Flops::of(&train);
        let inputs = inputs(&train);
        let forward = forward(&train);
        let kinds = label_kinds(plan);
        let target = plan.target;
        let session = Options { threads: options.threads, cuda: target.cuda(), ..Options::default() };
        let before = self.ceiling(options.threads)?;
        let load = if options.profile.is_some() { Step::profiled } else { Step::new };
        let began = clock::now();
        let load = |graph, profiled: bool, this: &Self| match target.device {
            Device::Cpu if profiled => load(graph, &kinds, &session).map(|step| Loaded::Host(Box::new(step))),
            Device::Cpu => Step::new(graph, &kinds, &session).map(|step| Loaded::Host(Box::new(step))),
            Device::Cuda => {
                let profile = profiled && options.profile.is_some();
                this.on_device(graph, &session, profile).map(|steps| Loaded::Device(Box::new(steps)))
            }
        };
        let mut step = load(train, true, &self)?;
        let session_seconds = began.seconds();
        let began = clock::now();
        let loss_first = self.step(&mut step)?;
        let first_step_seconds = began.seconds();
        let time_to_first_step_seconds = options.started.seconds();
        let mut loss_last = loss_first;
        let mut seconds = Vec::with_capacity(options.steps);
        // On a GPU the first steps of either batch in turn come before their recording.
        let warm_up = if target.device == Device::Cuda { 8 } else { WARM_UP };
        for count in 1..warm_up + options.steps.max(1) {
            let began = clock::now();
            loss_last = self.step(&mut step)?;
            if count >= warm_up {
                seconds.push(began.seconds());
            }
        }
        let whole = Spread::of(seconds);
        let peak_rss_bytes = world::env::peak_memory();
        let on_gpu = step.on_gpu();
        let profile = step.end_profile(options.profile.as_deref())?;
        drop(step);
        let mut step = load(forward, false, &self)?;
        let forward = self.forward(&mut step, options.steps)?;
        // On the processor before and after, since other processes may take time from either.
        let after = if target.device == Device::Cpu { self.ceiling(options.threads)? } else { before };
        let sgemm_gflop_per_second = after.max(before) / 1e9;
        let rate = |flop: f64, spread: Spread| flop / 1e9 / spread.median.max(f64::MIN_POSITIVE);
        let share = |rate: f64| rate / sgemm_gflop_per_second.max(f64::MIN_POSITIVE);
        let terms = plan.objective.terms.iter();
        Ok(BenchReport {
            batch: options.batch,
            steps: options.steps.max(1),
            threads: options.threads,
            inputs,
            loss: terms.map(|term| (term.name.clone(), term.branch.clone())).collect(),
            trained: 0,
            forward_seconds_median: forward.median,
            forward_seconds_min: forward.min,
            forward_seconds_max: forward.max,
            step_seconds_median: whole.median,
            step_seconds_min: whole.min,
            step_seconds_max: whole.max,
            forward_gflop: flops.forward / 1e9,
            step_gflop: flops.step / 1e9,
            forward_gflop_per_second: rate(flops.forward, forward),
            step_gflop_per_second: rate(flops.step, whole),
            sgemm_gflop_per_second,
            forward_share_of_sgemm: share(rate(flops.forward, forward)),
            step_share_of_sgemm: share(rate(flops.step, whole)),
            peak_rss_bytes,
            on_gpu,
            estimated_bytes: 0,
            prepare_seconds,
            session_seconds,
            first_step_seconds,
            time_to_first_step_seconds,
            loss_first,
            loss_last,
            finite: self.finite,
            profile,
        })
    }

    /// Sessions want the weight of a term and one over its total weight.
    fn feeds(&self) -> (Vec<f64>, Vec<f64>) {
        let terms = &self.plan.objective.terms;
        let lambda = terms.iter().map(|term| match term.weight {
            Weight::Constant(value) => value,
            Weight::Ramp { to, .. } => to,
        });
        (vec![1.0 / self.micro.weights.len() as f64; terms.len()], lambda.collect())
    }

    /// One optimizer step; its objective without the regularizer.
    fn step(&mut self, step: &mut Loaded) -> Result<f64> {
        let (inverse, lambda) = self.feeds();
        let step = match step {
            Loaded::Host(step) => step,
            Loaded::Device(steps) => {
                steps.give(&self.micros(&inverse, &lambda))?;
                let found = steps.drain()?.pop();
                let found = found.ok_or_else(|| Diagnostic::error(Code::Internal, "a step that found nothing"))?;
                let loss = found.terms.iter().zip(&lambda).map(|(term, lambda)| term * lambda).sum();
                self.finite &= matches!(found.bad, Bad::Nothing | Bad::Skipped);
                return Ok(loss);
            }
        };
        let made = step.run(&self.weights, &self.micro, (&inverse, &lambda), &mut [])?;
        let loss: f64 = made.terms()?.iter().zip(&lambda).map(|(term, lambda)| term * lambda).sum();
        let gradients = made.gradients()?;
        made.advance(&mut self.weights)?;
        let mut params = self.weights.slices(&self.names);
        let (updater, starts) = (&mut self.updater, &self.starts);
        let stepped = self.pool.install(|| updater.step(1.0, &mut params, starts, &gradients));
        self.finite &= loss.is_finite() && stepped.is_ok();
        Ok(loss)
    }

    /// Operations a second of a large product of matrices where the step runs.
    fn ceiling(&self, threads: usize) -> Result<f64> {
        match self.plan.target.device {
            Device::Cpu => Ok(self.pool.install(|| ceiling(threads))),
            Device::Cuda => device::ceiling(self.plan.target),
        }
    }

    fn micros<'a>(&'a self, inverse: &'a [f64], lambda: &'a [f64]) -> Micros<'a> {
        Micros { batches: vec![(&self.micro, self.micro.weights.len())], inverse, lambda, factor: 1.0 }
    }

    fn on_device(&self, graph: TrainGraph, options: &Options, profile: bool) -> Result<DeviceSteps> {
        let starts: Vec<Vec<f32>> = self.starts.iter().map(|start| start.to_vec()).collect();
        DeviceSteps::new(Start {
            graphs: vec![graph],
            updater: &self.updater,
            statistics: None,
            starts: &starts,
            weights: &self.weights,
            several: false,
            loss_scale: self.plan.target.loss_scale().map(LossScale::new),
            profile,
            options,
        })
    }

    fn forward(&self, step: &mut Loaded, steps: usize) -> Result<Spread> {
        let (inverse, lambda) = self.feeds();
        let mut seconds = Vec::with_capacity(steps);
        for count in 0..WARM_UP + steps.max(1) {
            let began = clock::now();
            match step {
                Loaded::Host(step) => {
                    drop(step.run(&self.weights, &self.micro, (&inverse, &lambda), &mut [])?.terms()?);
                }
                Loaded::Device(steps) => {
                    steps.run(&self.micros(&inverse, &lambda))?;
                    DeviceSteps::wait()?;
                }
            }
            if count >= WARM_UP {
                seconds.push(began.seconds());
            }
        }
        Ok(Spread::of(seconds))
    }
}

/// The forward part of a step: the same inputs, the terms and the next running statistics.
fn forward(train: &TrainGraph) -> TrainGraph {
    let mut forward = train.clone();
    let kept = forward.terms.iter().map(|term| &term.value).chain(forward.states.iter().map(|state| &state.next));
    let kept: Vec<ValueId> = kept.filter_map(|name| forward.graph.find(name)).collect();
    forward.graph.outputs = kept;
    // The weight of a term is read behind its value only; every other input is read in front of it.
    forward.graph.prune(true);
    forward
}

fn inputs(train: &TrainGraph) -> Vec<(String, String, Vec<usize>)> {
    let typed = |name: &String| {
        let ty = train.graph.find(name).and_then(|value| train.graph.ty(value))?;
        Some((name.clone(), ty.dtype.to_string(), ty.shape()?))
    };
    train.data.iter().filter_map(typed).collect()
}

/// Floating-point operations a second of the best of some rounds of matrix products, in the pool that this is called in.
fn ceiling(threads: usize) -> f64 {
    let mut operands: Vec<sgemm::Operands> = (0..threads.max(1)).map(|_| sgemm::Operands::default()).collect();
    let mut best = 0.0f64;
    for _ in 0..PRODUCTS {
        let began = clock::now();
        let flop = sgemm::square_products(&mut operands);
        best = best.max(flop / began.seconds().max(f64::MIN_POSITIVE));
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
