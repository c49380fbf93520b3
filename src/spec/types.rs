//! The typed spec: what the text says after short forms, variables and merge keys are gone.
//!
//! These structs are decoded from a tree that the walker has already found clean, so they stay plain.

use crate::parts::Chosen;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::parts::{
    initializers::Initializers, layers::Layers, losses::Losses, metrics::Metrics, optimizers::Optimizers,
    regularizers::Regularizers, schedules::Schedules, sources::Sources, transforms::Transforms,
};

/// A whole spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Language version, 1.
    pub version: u32,
    /// Run name: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// Seed of every random stream.
    #[serde(default)]
    pub seed: u64,
    /// Where the network comes from.
    pub model: Model,
    /// What is frozen.
    #[serde(default)]
    pub freeze: Option<Freeze>,
    /// New branches by name.
    #[serde(default)]
    pub layers: BTreeMap<String, Branch>,
    /// Datasets and transforms.
    pub data: Data,
    /// Named terms; a bare loss is a term called after its kind.
    pub loss: BTreeMap<String, Term>,
    /// λ·R(θ, φ).
    #[serde(default)]
    pub regularizer: Vec<Penalty>,
    /// How parameters move.
    pub optimizer: Optimizer,
    /// How long and in which steps.
    pub schedule: Schedule,
    /// What is measured.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// What is written at the end.
    #[serde(default)]
    pub export: Export,
    /// Other values that the spec is run with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// Where it runs; not part of a run's identity except `deterministic`.
    #[serde(default)]
    pub runtime: Runtime,
}

impl Spec {
    /// Every `freeze:`, the common one first, with its JSON pointer.
    pub fn freezes(&self) -> Vec<(String, &Freeze)> {
        let phases = self.schedule.phases.iter().enumerate();
        let own = phases
            .filter_map(|(index, phase)| Some((format!("/schedule/phases/{index}/freeze"), phase.freeze.as_ref()?)));
        self.freeze.iter().map(|freeze| ("/freeze".to_owned(), freeze)).chain(own).collect()
    }
}

/// `model:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Path of an ONNX file relative to the spec, or `run://name`. Exactly one of `source` and `input` is set.
    #[serde(default)]
    pub source: Option<String>,
    /// Hex digest that the file must have.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Inputs of a network built from `layers` alone: role → shape without the batch dimension.
    #[serde(default)]
    pub input: BTreeMap<String, Vec<usize>>,
    /// Role → input name of the source model.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Values for symbolic dimensions other than the batch, by name.
    #[serde(default)]
    pub shape: BTreeMap<String, usize>,
    /// Shared initializers of rank ≥ 2.
    #[serde(default)]
    pub tied: Tied,
    /// Dropout of the source model.
    #[serde(default)]
    pub dropout: SourceDropout,
    /// Patterns of parameters that start anew.
    #[serde(default)]
    pub reinitialize: Vec<String>,
}

/// `model.tied`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tied {
    /// One parameter for all consumers.
    #[default]
    Keep,
    /// A parameter for each consumer.
    Split,
}

/// `model.dropout`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceDropout {
    /// As in the source, in trainable parts; off in the frozen prefix.
    #[default]
    Keep,
    /// Removed.
    Off,
    /// With this probability everywhere in trainable parts.
    P(f64),
}

/// `freeze:`; `all` is the one pattern `*`, `none` no pattern, `{all_but: [a]}` is `["*", "!a"]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    /// gitignore-style patterns over the source model's parameters; what matches is frozen.
    #[serde(default)]
    pub params: Vec<String>,
    /// Everything that this node or value depends on is frozen.
    #[serde(default)]
    pub before: Option<String>,
    /// Mode of BatchNorm; without it `eval` where frozen, `train` elsewhere.
    #[serde(default)]
    pub batch_norm: Option<BatchNormMode>,
}

/// `freeze.batch_norm`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormMode {
    /// Running statistics, not updated.
    Eval,
    /// Batch statistics; running ones updated.
    Train,
    /// Scale and bias frozen, statistics of the new data.
    Adapt,
}

/// One entry of `layers:`. Exactly one of `replaces`, `from`, `insert_after` is set, or none in a network without a source
/// (then it starts at the model's input).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Node or value whose input now feeds this stack; what hung below is dropped.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Nodes, values or branches that feed the stack; more than one need a joining first layer.
    #[serde(default)]
    pub from: Vec<String>,
    /// Node after which the stack is spliced in.
    #[serde(default)]
    pub insert_after: Option<String>,
    /// The layers in order.
    #[serde(default)]
    pub stack: Vec<StackItem>,
}

/// A layer of a stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StackItem {
    /// The layer.
    pub layer: Chosen<Layers>,
    /// Initialiser of its weight; without one, torch's default for the layer.
    #[serde(default)]
    pub init: Option<Chosen<Initializers>>,
}

/// `data:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// Named datasets.
    pub sets: BTreeMap<String, Dataset>,
    /// A part of a training set kept for validation, becomes the dataset `validation`.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// Transforms of training and evaluation; a bare list is both.
    #[serde(default)]
    pub transforms: Transforming,
    /// What happens to samples that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

/// One entry of `data.sets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Where samples come from.
    pub source: Chosen<Sources>,
    /// Labels readable only by the final evaluation.
    #[serde(default)]
    pub sealed: bool,
    /// At most this many samples, the first ones.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Transforms of this set instead of the common ones.
    #[serde(default)]
    pub transforms: Option<Transforming>,
}

/// `data.validation`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The set to take from.
    pub from: String,
    /// Share in (0, 1).
    pub fraction: f64,
    /// Keeps the share of every class.
    #[serde(default)]
    pub stratify: bool,
}

/// `transforms:` of the data section or of a set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transforming {
    /// Applied to samples that are trained on.
    pub train: Vec<Chosen<Transforms>>,
    /// Applied to samples that are evaluated, and carried by the export.
    pub eval: Vec<Chosen<Transforms>>,
}

/// `data.on_error`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run stops with one diagnostic that names them.
    #[default]
    Stop,
    /// They keep their index with weight 0, and a warning names them.
    Skip,
}

/// A term of the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The loss.
    pub loss: Chosen<Losses>,
    /// The branch it looks at; without it, the only branch or the model's only output.
    #[serde(default)]
    pub of: Option<String>,
    /// The labels it looks at; without it, the only ones.
    #[serde(default)]
    pub labels: Option<String>,
    /// The stream it is computed on, `train` unless given.
    #[serde(default)]
    pub stream: Option<String>,
    /// Its weight in the objective, a number or a ramp over training.
    #[serde(default)]
    pub weight: Weight,
}

/// A number, or a curve over the progress p = step / total.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The same at every step.
    Constant(f64),
    /// to·(2/(1+e^(−gamma·p))−1)
    Ramp {
        /// Value at the end.
        to: f64,
        /// Steepness.
        gamma: f64,
    },
}

impl Default for Weight {
    fn default() -> Self {
        Self::Constant(1.0)
    }
}

/// An entry of `regularizer:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    /// The function R with its λ.
    pub penalty: Chosen<Regularizers>,
    /// Patterns of parameters; without them, trainable tensors of rank ≥ 2.
    #[serde(default)]
    pub params: Option<Vec<String>>,
}

/// `optimizer:`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// The rule.
    pub rule: Chosen<Optimizers>,
    /// Parameters that get another rate or decay; the last group that matches wins.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Global norm that gradients are clipped to.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Decay of the exponential moving average of weights and running statistics, which is what is evaluated and exported. What moves on
    /// into the next phase keeps its average; a phase whose optimizer has none averages nothing.
    #[serde(default)]
    pub ema: Option<f64>,
}

/// An entry of `optimizer.groups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Patterns of parameters.
    pub params: Vec<String>,
    /// Learning rate instead of the optimizer's.
    #[serde(default)]
    pub lr: Option<f64>,
    /// Decoupled decay instead of the optimizer's.
    #[serde(default)]
    pub weight_decay: Option<f64>,
}

/// `schedule:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Passes over the training stream. Exactly one of `epochs`, `steps`, `phases` is set.
    #[serde(default)]
    pub epochs: Option<u64>,
    /// Optimizer steps.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Samples a micro-batch.
    pub batch: usize,
    /// Micro-batches a step, 1 unless given.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// The last, partial batch of an epoch.
    #[serde(default)]
    pub last: Last,
    /// Whether every epoch visits the samples in an order of its own, drawn from the seed; `true` unless given.
    #[serde(default = "yes")]
    pub shuffle: bool,
    /// Learning rate over a phase; constant without it.
    #[serde(default)]
    pub lr: Option<Chosen<Schedules>>,
    /// Phases, run one after the other.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// Early stopping.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// Which checkpoints stay.
    #[serde(default)]
    pub keep: Keep,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// `schedule.last`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// Trained on, with rows that fill it up weighing nothing.
    #[default]
    Pad,
    /// Left out.
    Drop,
}

/// An entry of `schedule.phases`; what is not given is as outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Passes over the training stream.
    #[serde(default)]
    pub epochs: Option<u64>,
    /// Optimizer steps.
    #[serde(default)]
    pub steps: Option<u64>,
    /// What is frozen.
    #[serde(default)]
    pub freeze: Option<Freeze>,
    /// How parameters move.
    #[serde(default)]
    pub optimizer: Option<Optimizer>,
    /// Learning rate over this phase.
    #[serde(default)]
    pub lr: Option<Chosen<Schedules>>,
}

/// `schedule.stop`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// `dataset.metric`, such as `validation.loss`.
    pub watch: String,
    /// Evaluations without improvement before the phase ends.
    pub patience: u64,
}

/// `schedule.keep`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// `dataset.metric` whose best epoch is exported.
    #[serde(default)]
    pub best: Option<String>,
    /// Number of last checkpoints that stay, 1 unless given.
    #[serde(default)]
    pub last: Option<usize>,
}

/// `evaluate:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// What is computed on each evaluation set; the loss always is.
    #[serde(default)]
    pub metrics: Vec<Chosen<Metrics>>,
    /// The evaluation sets; without them, all sets but `train`.
    #[serde(default)]
    pub datasets: Option<Vec<String>>,
}

/// `export:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// Branches that become outputs; without them, those with a supervised term.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Whether a model that carries the preprocessing is written; without it, wherever ONNX reproduces the transforms.
    #[serde(default)]
    pub preprocess: Option<bool>,
}

/// `sweep:`. Exactly one of `grid` and `random` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Path of keys → values; every combination is a trial.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grid: BTreeMap<String, Vec<serde_json::Value>>,
    /// Values that are drawn.
    #[serde(default)]
    pub random: Option<Random>,
    /// `dataset.metric` that trials are ranked by.
    pub metric: String,
    /// The worse trials end early.
    #[serde(default)]
    pub halving: Option<Halving>,
}

/// `sweep.random`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Random {
    /// How many trials.
    pub trials: usize,
    /// Path of keys → what is drawn.
    pub over: BTreeMap<String, Draw>,
}

/// An entry of `sweep.random.over`. Exactly one is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// One of these values.
    #[serde(default)]
    pub choice: Option<Vec<serde_json::Value>>,
    /// A number between two.
    #[serde(default)]
    pub uniform: Option<(f64, f64)>,
    /// A number between two, uniform in its logarithm.
    #[serde(default)]
    pub log_uniform: Option<(f64, f64)>,
    /// A whole number from the first to the second.
    #[serde(default)]
    pub integer: Option<(i64, i64)>,
}

/// `sweep.halving`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halving {
    /// Epochs of a trial before the first are stopped.
    pub epochs: u64,
    /// One of so many trials goes on, for so many times as many epochs.
    #[serde(default = "three")]
    pub factor: usize,
}

fn three() -> usize {
    3
}

/// `runtime:`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// Where the steps run.
    #[serde(default)]
    pub device: Device,
    /// In which numbers a GPU computes.
    #[serde(default)]
    pub precision: Precision,
    /// Only kernels that give the same bits every time.
    #[serde(default)]
    pub deterministic: bool,
    /// Whether an operator that the device cannot run is an error.
    #[serde(default)]
    pub strict: bool,
    /// Worker threads of ONNX Runtime, of the loader and of the optimizer; without it, the machine's cores.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Patterns of nodes whose values are not kept between forward and backward but made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recompute: Vec<String>,
    /// The cache of features and steps.
    #[serde(default)]
    pub cache: Cache,
}

/// `runtime.device`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The best that works.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU through CUDA.
    Cuda,
}

/// `runtime.precision`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single.
    #[default]
    F32,
    /// Single, products of matrices and convolutions from 10 bits of mantissa.
    Tf32,
    /// Products in half precision, with a factor on the loss; everything else single.
    F16,
    /// Products in bfloat16; everything else single.
    Bf16,
}

impl Precision {
    /// As the spec writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// `runtime.cache`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// Bytes that the cache may hold, 10 GiB unless given; 0 turns it off.
    #[serde(default)]
    pub limit: Option<u64>,
}
