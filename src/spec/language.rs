//! The sections of the language, version 1: their keys, shapes and defaults.
//!
//! A key or kind that the language has and this version does not run is named here as well, so that it is called
//! unsupported instead of unknown.

use super::shape::{Bounds, Choice, Field, Kinds, Record, Shape, Word};
use crate::parts::{
    initializers::Initializers, layers::Layers, losses::Losses, metrics::Metrics, optimizers::Optimizers,
    regularizers::Regularizers, schedules::Schedules, sources::Sources, transforms::Transforms,
};
use std::sync::{Arc, OnceLock};

/// Every family with its kinds.
#[derive(Debug)]
pub(crate) struct Families {
    pub(crate) initializers: Arc<Kinds>,
    pub(crate) layers: Arc<Kinds>,
    pub(crate) losses: Arc<Kinds>,
    pub(crate) metrics: Arc<Kinds>,
    pub(crate) optimizers: Arc<Kinds>,
    pub(crate) regularizers: Arc<Kinds>,
    pub(crate) schedules: Arc<Kinds>,
    pub(crate) sources: Arc<Kinds>,
    pub(crate) transforms: Arc<Kinds>,
}

impl Families {
    /// The kinds that this pipe has.
    pub(crate) fn installed() -> Self {
        Self {
            initializers: Kinds::of::<Initializers>(&[]),
            layers: Kinds::of::<Layers>(&["add", "concat", "gradient_reversal", "mean", "mean_pool", "multilinear"]),
            losses: Kinds::of::<Losses>(&[
                "distillation",
                "pseudo_label",
                "consistency",
                "domain_adversarial",
                "mmd",
                "coral",
                "contrastive",
                "focal",
                "dice",
                "triplet",
            ]),
            metrics: Kinds::of::<Metrics>(&[]),
            optimizers: Kinds::of::<Optimizers>(&["lamb", "lars", "adafactor", "lion"]),
            regularizers: Kinds::of::<Regularizers>(&["l1", "elastic_net", "l2_sp", "delta", "bss", "lwf"]),
            schedules: Kinds::of::<Schedules>(&["step", "linear", "polynomial", "one_cycle", "plateau"]),
            sources: Kinds::of::<Sources>(&["parquet", "idx", "text", "audio_folder", "jsonl", "npz"]),
            transforms: Kinds::of::<Transforms>(&["tokenize", "mixup", "cutmix", "rand_augment", "color_jitter"]),
        }
    }

    /// All of them, in the order in which `pipe explain` looks a kind up.
    pub(crate) fn all(&self) -> [&Arc<Kinds>; 9] {
        [
            &self.layers,
            &self.losses,
            &self.regularizers,
            &self.optimizers,
            &self.schedules,
            &self.metrics,
            &self.sources,
            &self.transforms,
            &self.initializers,
        ]
    }
}

/// The whole language with the installed kinds.
pub(crate) struct Language {
    pub(crate) families: Families,
    pub(crate) spec: Record,
    /// Whether the kinds are the installed ones, which can be built.
    pub(crate) builds: bool,
}

impl Language {
    /// Built once.
    pub(crate) fn installed() -> &'static Self {
        static LANGUAGE: OnceLock<Language> = OnceLock::new();
        LANGUAGE.get_or_init(|| Self { builds: true, ..Self::of(Families::installed()) })
    }

    pub(crate) fn of(families: Families) -> Self {
        let spec = spec(&families);
        Self { families, spec, builds: false }
    }
}

fn texts() -> Shape {
    Shape::List(Box::new(Shape::Text), 0, None)
}

fn patterns() -> Shape {
    Shape::List(Box::new(Shape::Text), 1, None)
}

fn count(least: u32) -> Shape {
    Shape::Integer(Bounds::least(f64::from(least)))
}

fn words(words: &[(&str, &str)], later: &[&str]) -> Shape {
    let word = |text: &str, doc: &str, later| Word { text: text.to_owned(), doc: doc.to_owned(), later };
    let now = words.iter().map(|(text, doc)| word(text, doc, false));
    Shape::Word(now.chain(later.iter().map(|text| word(text, "", true))).collect())
}

fn spec(families: &Families) -> Record {
    Record::new(vec![
        Field::new("version", Shape::Integer(Bounds::least(1.0)), "Language version, 1.").required(),
        Field::new("name", Shape::Text, "Run name: letters, digits, `-`, `_`, `.`.").required(),
        Field::new("description", Shape::Text, "Free text."),
        Field::new("seed", count(0), "Seed of every random stream.").default(0),
        Field::new("extends", Shape::Path, "Spec that this one is laid over; its paths start from its own folder."),
        Field::new("vars", Shape::Map(Box::new(Shape::Any)), "Values for `${name}`."),
        Field::new("model", Shape::Record(model()), "Where the network comes from.").required(),
        Field::new("freeze", freeze(), "What is frozen: `all`, `none`, patterns, or a map."),
        Field::new("layers", Shape::Map(Box::new(Shape::Record(branch(families)))), "New branches by name."),
        Field::new("data", Shape::Record(data(families)), "Datasets and transforms.").required(),
        Field::new("loss", Shape::Terms(term(families)), "A loss, or named terms.").required(),
        Field::new("regularizer", Shape::Penalties(penalty(families)), "λ·R(θ, φ): `{kind: λ}`, or a list of them."),
        Field::new("optimizer", optimizer(families), "How parameters move.").required(),
        Field::new("schedule", Shape::Record(schedule(families)), "How long and in which steps.").required(),
        Field::new("evaluate", Shape::Record(evaluate(families)), "What is measured."),
        Field::new("export", Shape::Record(export()), "What is written at the end."),
        Field::new("sweep", Shape::Record(sweep()), "Runs the spec many times with other values, and ranks the runs."),
        Field::new("runtime", Shape::Record(runtime()), "Where it runs; not what is computed."),
    ])
    .later(&["teachers", "adapters", "explain"])
}

fn model() -> Record {
    let shape = Shape::List(Box::new(count(1)), 0, None);
    let tied = words(&[("keep", "One parameter for all consumers."), ("split", "A parameter for each consumer.")], &[]);
    Record::new(vec![
        Field::new("source", Shape::Path, "Path of an ONNX file relative to the spec, or `run://name`."),
        Field::new("sha256", Shape::Text, "Hex digest that the file must have."),
        Field::new(
            "input",
            Shape::Map(Box::new(shape)),
            "Role → shape without the batch, for a network built from `layers` alone.",
        ),
        Field::new("inputs", Shape::Map(Box::new(Shape::Text)), "Role → input name of the source model."),
        Field::new("shape", Shape::Map(Box::new(count(1))), "Values for symbolic dimensions other than the batch."),
        Field::new("tied", tied, "Shared initializers of rank ≥ 2.").default("keep"),
        Field::new("dropout", Shape::Dropout, "Dropout of the source model: `keep`, `off` or a probability.")
            .default("keep"),
        Field::new("reinitialize", patterns(), "Patterns of parameters that start anew."),
    ])
    .later(&["architecture", "weights"])
    .either(&[&["source", "input"]])
}

fn freeze() -> Shape {
    let modes = words(
        &[
            ("eval", "Running statistics, not updated."),
            ("train", "Batch statistics; running ones updated."),
            ("adapt", "Scale and bias frozen, statistics of the new data."),
        ],
        &[],
    );
    Shape::Freeze(
        Record::new(vec![
            Field::new("params", patterns(), "Patterns of the source model's parameters that are frozen."),
            Field::new("all_but", patterns(), "Patterns of the parameters that are not frozen."),
            Field::new("before", Shape::Text, "Everything that this node or value depends on is frozen."),
            Field::new("batch_norm", modes, "Mode of BatchNorm; without it `eval` where frozen, `train` elsewhere."),
        ])
        .either(&[&["params", "all_but"]]),
    )
}

fn branch(families: &Families) -> Record {
    let init = Field::new(
        "init",
        Shape::Choice(Choice::new(&families.initializers)),
        "Initialiser of the layer's weight; without it, the layer's default, which is torch's.",
    );
    let layer = Choice::new(&families.layers).slot("layer").beside(Record::new(vec![init]));
    let stack = Shape::List(Box::new(Shape::Choice(layer)), 1, None);
    Record::new(vec![
        Field::new(
            "replaces",
            Shape::Text,
            "Node or value whose input now feeds this stack; what hung below is dropped.",
        ),
        Field::new("from", Shape::OneOrMany(Box::new(Shape::Text)), "Nodes, values or branches that feed the stack."),
        Field::new("insert_after", Shape::Text, "Node after which the stack is spliced in."),
        Field::new("stack", stack, "The layers in order.").required(),
    ])
    .later(&["use"])
    .either(&[&["replaces", "from", "insert_after"]])
}

fn transforming(families: &Families) -> Shape {
    let choice = Choice::new(&families.transforms);
    let list = Shape::List(Box::new(Shape::Choice(choice.clone())), 0, None);
    let record = Record::new(vec![
        Field::new("train", list.clone(), "Applied to samples that are trained on.").required(),
        Field::new("eval", list, "Applied to samples that are evaluated, and carried by the export.").required(),
    ])
    .later(&["views"]);
    Shape::Transforming(choice, record)
}

fn data(families: &Families) -> Record {
    let dataset = Choice::new(&families.sources).slot("source").beside(Record::new(vec![
        Field::new("sealed", Shape::Bool, "Labels readable only by the final evaluation.").default(false),
        Field::new("limit", count(1), "At most this many samples, the first ones.").unit("samples"),
        Field::new("transforms", transforming(families), "Transforms of this set instead of the common ones."),
    ]));
    let validation = Record::new(vec![
        Field::new("from", Shape::Text, "The set to take from.").required(),
        Field::new("fraction", Shape::Number(Bounds::between(0.0, 1.0)), "Share, above 0 and below 1.").required(),
        Field::new("stratify", Shape::Bool, "Keeps the share of every class.").default(false),
    ]);
    let on_error = words(&[("stop", "The run stops."), ("skip", "They keep their index with weight 0.")], &[]);
    Record::new(vec![
        Field::new("sets", Shape::Map(Box::new(Shape::Choice(dataset))), "Datasets by name; one is called `train`.")
            .required(),
        Field::new(
            "validation",
            Shape::Record(validation),
            "A part that is taken from a training set and becomes the dataset `validation`.",
        ),
        Field::new("transforms", transforming(families), "Transforms of training and evaluation; a bare list is both."),
        Field::new("on_error", on_error, "What happens to samples that cannot be read.").default("stop"),
    ])
}

fn term(families: &Families) -> Choice {
    let ramp = Record::new(vec![
        Field::new("to", Shape::Number(Bounds::default()), "Weight at the end of the run.").required(),
        Field::new(
            "gamma",
            Shape::Number(Bounds::above(0.0)),
            "Steepness; with 10, nine tenths of `to` are reached after three tenths of the run.",
        )
        .required(),
    ]);
    let weight = Record::new(vec![
        Field::new("ramp", Shape::Record(ramp), "to·(2/(1+e^(−gamma·p))−1), p = step / total.").required(),
    ])
    .later(&["linear", "cosine", "after"]);
    let beside = Record::new(vec![
        Field::new("stream", Shape::Text, "The stream it is computed on.").default("train"),
        Field::new("weight", Shape::Weight(weight), "Its weight in the objective, a number or a ramp.").default(1),
    ])
    .later(&["between", "among"]);
    Choice::new(&families.losses).slot("loss").beside(beside).inside(vec![
        Field::new("of", Shape::Text, "The branch it looks at; without it, the only one."),
        Field::new("labels", Shape::Text, "The labels it looks at; without it, the only ones."),
    ])
}

fn penalty(families: &Families) -> Choice {
    let params =
        Field::new("params", patterns(), "Patterns of parameters; without them, trainable tensors of rank ≥ 2.");
    Choice::new(&families.regularizers).slot("penalty").beside(Record::new(vec![params]))
}

fn optimizer(families: &Families) -> Shape {
    let group = Record::new(vec![
        Field::new("params", patterns(), "Patterns of parameters.").required(),
        Field::new("lr", Shape::Number(Bounds::above(0.0)), "Learning rate instead of the optimizer's."),
        Field::new("weight_decay", Shape::Number(Bounds::least(0.0)), "Decoupled decay instead of the optimizer's."),
    ]);
    let beside = Record::new(vec![
        Field::new("groups", Shape::List(Box::new(Shape::Record(group)), 0, None), "The last group that matches wins."),
        Field::new("clip_norm", Shape::Number(Bounds::above(0.0)), "Global norm that gradients are clipped to."),
        Field::new(
            "ema",
            Shape::Number(Bounds::between(0.0, 1.0)),
            "Decay of a moving average of weights and running statistics, which is what is evaluated and exported. What moves on into the \
             next phase keeps its average.",
        ),
    ])
    .later(&["layer_decay"]);
    Shape::Choice(Choice::new(&families.optimizers).slot("rule").beside(beside))
}

fn schedule(families: &Families) -> Record {
    let lr = Shape::Choice(Choice::new(&families.schedules));
    let phase = Record::new(vec![
        Field::new("epochs", count(1), "Passes over the training stream.").unit("epochs"),
        Field::new("steps", count(1), "Updates of the weights, instead of `epochs`.").unit("steps"),
        Field::new("freeze", freeze(), "What is frozen in this phase, instead of the section `freeze`."),
        Field::new(
            "optimizer",
            optimizer(families),
            "How parameters move in this phase, instead of the section `optimizer`.",
        ),
        Field::new("lr", lr.clone(), "Learning rate over this phase, instead of `schedule.lr`."),
    ])
    .later(&["loss", "regularizer", "batch", "stop", "alternate"]);
    let stop = Record::new(vec![
        Field::new("watch", Shape::Text, "Score that must become better: `dataset.metric`, such as `validation.loss`.")
            .required(),
        Field::new("patience", count(1), "Evaluations without improvement before the phase ends.")
            .required()
            .unit("evaluations"),
    ]);
    let keep = Record::new(vec![
        Field::new("best", Shape::Text, "`dataset.metric` whose best epoch is exported."),
        Field::new("last", count(1), "How many of the last checkpoints stay.").default(1).unit("checkpoints"),
    ]);
    let batch = Shape::NoMap(Box::new(count(1)), "a batch size per stream");
    let last = words(&[("pad", "Trained on, with rows that fill it up weighing nothing."), ("drop", "Left out.")], &[]);
    Record::new(vec![
        Field::new("epochs", count(0), "Passes over the training stream; 0 measures and exports the network as it is.")
            .unit("epochs"),
        Field::new("steps", count(1), "Updates of the weights, instead of `epochs`.").unit("steps"),
        Field::new("batch", batch, "Samples that are fed at once.").required().unit("samples"),
        Field::new("accumulate", count(1), "Batches whose gradients make one update of the weights.")
            .default(1)
            .unit("batches"),
        Field::new("last", last, "The last, partial batch of an epoch.").default("pad"),
        Field::new("shuffle", Shape::Bool, "Whether every epoch has an order of its own.").default(true),
        Field::new("lr", lr, "Learning rate over a phase; constant without it."),
        Field::new("phases", Shape::List(Box::new(Shape::Record(phase)), 1, None), "Phases, run one after the other."),
        Field::new("stop", Shape::Record(stop), "Ends a phase early when a score does not become better."),
        Field::new("keep", Shape::Record(keep), "Which weights are exported, and which checkpoints stay."),
    ])
    .later(&["alternate", "epoch_of"])
    .either(&[&["epochs", "steps", "phases"]])
}

fn evaluate(families: &Families) -> Record {
    let metric = Choice::new(&families.metrics).beside(Record::default().later(&["of", "labels"]));
    Record::new(vec![
        Field::new(
            "metrics",
            Shape::List(Box::new(Shape::Choice(metric)), 0, None),
            "What is computed beside the loss.",
        ),
        Field::new("datasets", texts(), "The evaluation sets; without them, all sets but `train`."),
    ])
}

fn export() -> Record {
    Record::new(vec![
        Field::new("outputs", texts(), "Branches that become outputs; without them, those with a supervised term."),
        Field::new("preprocess", Shape::Bool, "Whether a model that carries the preprocessing is written."),
    ])
    .later(&["opset", "quantize", "prune"])
}

fn sweep() -> Record {
    let pair = |bounds: Bounds| Shape::Tuple(vec![Shape::Number(bounds.clone()), Shape::Number(bounds)]);
    let whole = Shape::Tuple(vec![Shape::Integer(Bounds::default()), Shape::Integer(Bounds::default())]);
    let values = Shape::List(Box::new(Shape::Any), 1, None);
    let draw = Record::new(vec![
        Field::new("choice", values.clone(), "One of these values."),
        Field::new("uniform", pair(Bounds::default()), "A number between two."),
        Field::new("log_uniform", pair(Bounds::above(0.0)), "A number between two, uniform in its logarithm."),
        Field::new("integer", whole, "A whole number from the first to the second."),
    ])
    .either(&[&["choice", "uniform", "log_uniform", "integer"]]);
    let random = Record::new(vec![
        Field::new("trials", count(1), "How many trials are run.").required().unit("trials"),
        Field::new("over", Shape::Map(Box::new(Shape::Record(draw))), "Path of keys → what is drawn.").required(),
    ]);
    let factor = Shape::Integer(Bounds::least(2.0));
    let halving = Record::new(vec![
        Field::new("epochs", count(1), "Epochs of a trial before the first are stopped.").required().unit("epochs"),
        Field::new("factor", factor, "One of so many trials goes on, for so many times as many epochs.").default(3),
    ]);
    Record::new(vec![
        Field::new("grid", Shape::Map(Box::new(values)), "Path of keys → values; every combination is a trial."),
        Field::new("random", Shape::Record(random), "Values that are drawn, counted from the spec's seed."),
        Field::new("metric", Shape::Text, "Score that trials are ranked by, such as `validation.accuracy`.").required(),
        Field::new("halving", Shape::Record(halving), "Successive halving: the worse trials end early."),
    ])
    .either(&[&["grid", "random"]])
}

fn runtime() -> Record {
    let device = words(
        &[
            ("auto", "A GPU if one can be used, else the processor."),
            ("cpu", "The processor."),
            ("cuda", "An NVIDIA GPU."),
        ],
        &[],
    );
    let precision = words(
        &[
            ("f32", "Single precision."),
            ("tf32", "Single; products of matrices and convolutions take 10 bits of mantissa. On a GPU."),
            ("f16", "Products in half precision, with a factor on the loss that adapts; all else single. On a GPU."),
            ("bf16", "Products in bfloat16, all else single. On a GPU."),
        ],
        &[],
    );
    let cache = Record::new(vec![Field::new(
        "limit",
        Shape::Bytes,
        "Bytes that the cache may hold, features of one dataset included; 0 turns it off.",
    )]);
    Record::new(vec![
        Field::new("device", device, "Where the steps run.").default("auto"),
        Field::new("precision", precision, "In which numbers a GPU computes; weights are always single.")
            .default("f32"),
        Field::new("deterministic", Shape::Bool, "On a GPU, only kernels that give the same bits every time.")
            .default(false),
        Field::new("strict", Shape::Bool, "An operator that the GPU cannot run is an error, not a warning.")
            .default(false),
        Field::new("threads", count(1), "Worker threads; without it, as many as the machine has cores."),
        Field::new(
            "recompute",
            patterns(),
            "Patterns of nodes whose values are not kept for backward but made again: less memory, more time.",
        ),
        Field::new("cache", Shape::Record(cache), "The cache of features and steps."),
    ])
}
