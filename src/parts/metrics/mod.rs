//! Evaluation metrics over all predictions of a dataset.

use super::{Family, Row};

/// Predictions and labels of a whole evaluation set.
#[derive(Debug)]
pub struct Predictions<'a> {
    /// Raw outputs of the branch (logits), row-major [samples, units].
    pub scores: &'a [f32],
    /// Units a sample.
    pub units: usize,
    /// Class of each sample; empty where labels are numbers.
    pub classes: &'a [i64],
    /// Target values, row-major [samples, units]; empty where labels are classes.
    pub targets: &'a [f32],
    /// Weight of each sample, 0 for skipped ones.
    pub weights: &'a [f32],
    /// Names of the classes, may be empty.
    pub names: &'a [String],
}

/// A metric's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// One number.
    Number(f64),
    /// A square matrix of counts, rows are true classes.
    Matrix(Vec<Vec<u64>>),
}

/// A metric.
pub trait Metric: Send + Sync {
    /// Name in metrics.jsonl and in `watch`.
    fn name(&self) -> String;
    /// Whether larger is better.
    fn larger_is_better(&self) -> bool;
    /// The value; NaN where it is not defined, such as AUROC of one class.
    fn score(&self, predictions: &Predictions) -> Score;
}

/// The family of metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics;

impl Family for Metrics {
    type Item = dyn Metric;
    const NAME: &'static str = "metric";
    fn rows() -> &'static [Row<dyn Metric>] {
        &[]
    }
}
