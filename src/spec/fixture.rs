//! Families of kinds for tests of the walker, so that they do not move when a part does.
#![allow(dead_code, reason = "the configurations are read through their schemas only")]

use super::language::{Families, Language};
use super::shape::Kinds;
use crate::diag::{Code, Diagnostic};
use crate::parts::{Family, Kind, Row};
use schemars::JsonSchema;
use std::collections::BTreeMap;

macro_rules! family {
    ($name:ident, $noun:literal, [$($kind:literal $short:expr, $config:ty;)*]) => {
        struct $name;
        impl Family for $name {
            type Item = ();
            const NAME: &'static str = $noun;
            fn rows() -> &'static [Row<()>] {
                const ROWS: &[Row<()>] = &[$(Row {
                    kind: Kind::of::<$config>($kind, $short, "A kind.\n\nFormula."),
                    build: |_| Err(Diagnostic::error(Code::Internal, "not built")),
                },)*];
                ROWS
            }
        }
    };
}

#[derive(JsonSchema)]
struct Empty {}

#[derive(JsonSchema)]
struct Size {
    /// Length of the shorter side in pixels.
    #[schemars(range(min = 1))]
    size: u32,
    /// How pixels in between are found.
    #[serde(default)]
    filter: Filter,
}

#[derive(JsonSchema, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Filter {
    /// Straight lines.
    #[default]
    Bilinear,
    /// The nearest pixel.
    Nearest,
}

#[derive(JsonSchema)]
struct Normalize {
    /// Subtracted.
    mean: Vec<f64>,
    /// Divided by.
    #[schemars(length(min = 1))]
    std: Vec<f64>,
}

#[derive(JsonSchema)]
struct Linear {
    /// Outputs.
    #[schemars(range(min = 1))]
    units: u32,
    /// Whether it has a bias.
    #[serde(default = "yes")]
    bias: bool,
}

fn yes() -> bool {
    true
}

#[derive(JsonSchema)]
struct Sgd {
    /// Learning rate.
    lr: f64,
    /// Share of the last update.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    momentum: f64,
    /// Looks ahead.
    #[serde(default)]
    nesterov: bool,
    /// Decoupled decay.
    #[serde(default)]
    weight_decay: f64,
}

#[derive(JsonSchema)]
struct CrossEntropy {
    /// Share given to all classes.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    label_smoothing: f64,
    /// Weight of each class.
    #[serde(default)]
    class_weights: Option<Vec<f64>>,
}

#[derive(JsonSchema)]
struct Lambda {
    /// Strength.
    lambda: f64,
}

#[derive(JsonSchema)]
struct Cosine {
    /// Part of the run in which the rate rises: steps, or a share.
    #[serde(default)]
    warmup: Option<Warmup>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
enum Warmup {
    /// Steps.
    Steps(u64),
    /// A share.
    Share(f64),
}

#[derive(JsonSchema)]
struct Folder {
    /// A folder with a folder for each class.
    path: String,
    /// Part of the data.
    #[serde(default)]
    split: Option<Split>,
    /// Columns of labels by name.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Split {
    /// For training.
    Train,
    /// For testing.
    Test,
}

family!(Layers, "layer", [
    "concat" None, Empty;
    "dropout" Some("p"), Dropout;
    "linear" Some("units"), Linear;
    "relu" None, Empty;
]);

#[derive(JsonSchema)]
struct Dropout {
    /// Probability.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    p: f64,
}

family!(Losses, "loss", ["cross_entropy" None, CrossEntropy; "mse" None, Empty;]);
family!(Regularizers, "regularizer", ["l2" Some("lambda"), Lambda;]);
family!(Optimizers, "optimizer", ["adamw" Some("lr"), Sgd; "sgd" Some("lr"), Sgd;]);
family!(Schedules, "schedule", ["constant" None, Empty; "cosine" None, Cosine;]);
family!(Metrics, "metric", ["accuracy" None, Empty; "balanced_accuracy" None, Empty;]);
family!(Sources, "source", ["cifar10" Some("path"), Folder; "csv" Some("path"), Folder; "image_folder" Some("path"), Folder; "npz" Some("path"), Folder;]);
family!(Transforms, "transform", [
    "center_crop" Some("size"), Size;
    "normalize" None, Normalize;
    "resize" Some("size"), Size;
    "to_tensor" None, Empty;
]);
family!(Initializers, "initialiser", ["kaiming_uniform" None, Empty; "constant" Some("lambda"), Lambda;]);

/// The language with these kinds.
pub(crate) fn language() -> Language {
    Language::of(Families {
        initializers: Kinds::of::<Initializers>(&[]),
        layers: Kinds::of::<Layers>(&["gradient_reversal", "mean_pool"]),
        losses: Kinds::of::<Losses>(&["distillation", "domain_adversarial"]),
        metrics: Kinds::of::<Metrics>(&[]),
        optimizers: Kinds::of::<Optimizers>(&["lion"]),
        regularizers: Kinds::of::<Regularizers>(&["l1"]),
        schedules: Kinds::of::<Schedules>(&["plateau"]),
        sources: Kinds::of::<Sources>(&["parquet"]),
        transforms: Kinds::of::<Transforms>(&["tokenize"]),
    })
}
