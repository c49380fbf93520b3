//! Evaluation metrics over all predictions of a dataset.

mod accuracy;
mod auroc;
mod average;
mod balanced_accuracy;
mod confusion_matrix;
mod f1;
mod mae;
mod precision;
mod recall;
mod rmse;

use super::head::head;
use super::{Family, Kind, Row};

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
    /// Whether it compares classes, and not numbers.
    fn of_classes(&self) -> bool {
        true
    }
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
        const ROWS: &[Row<dyn Metric>] = &[
            Row {
                kind: Kind::of::<accuracy::Accuracy>("accuracy", Some("top_k"), head!("accuracy.rs")),
                build: accuracy::build,
            },
            Row { kind: Kind::of::<auroc::Auroc>("auroc", None, head!("auroc.rs")), build: auroc::build },
            Row {
                kind: Kind::of::<balanced_accuracy::BalancedAccuracy>(
                    "balanced_accuracy",
                    None,
                    head!("balanced_accuracy.rs"),
                ),
                build: balanced_accuracy::build,
            },
            Row {
                kind: Kind::of::<confusion_matrix::ConfusionMatrix>(
                    "confusion_matrix",
                    None,
                    head!("confusion_matrix.rs"),
                ),
                build: confusion_matrix::build,
            },
            Row { kind: Kind::of::<average::Averaged>("f1", Some("average"), head!("f1.rs")), build: f1::build },
            Row { kind: Kind::of::<mae::Mae>("mae", None, head!("mae.rs")), build: mae::build },
            Row {
                kind: Kind::of::<average::Averaged>("precision", Some("average"), head!("precision.rs")),
                build: precision::build,
            },
            Row {
                kind: Kind::of::<average::Averaged>("recall", Some("average"), head!("recall.rs")),
                build: recall::build,
            },
            Row { kind: Kind::of::<rmse::Rmse>("rmse", None, head!("rmse.rs")), build: rmse::build },
        ];
        ROWS
    }
}

/// One question that was asked: a sample, or a unit of a sample with yes-or-no targets.
struct Answer {
    /// True class; `None` where the label is not a class.
    truth: Option<usize>,
    /// Class with the highest score; `None` where scores are NaN.
    given: Option<usize>,
    /// Weight of the sample.
    weight: f64,
}

/// Number of classes: units, or two for one yes-or-no unit and for targets.
fn categories(predictions: &Predictions) -> usize {
    if predictions.classes.is_empty() { 2 } else { predictions.units.max(2) }
}

/// Every question with its answer.
fn answers<'a>(predictions: &'a Predictions) -> impl Iterator<Item = Answer> + 'a {
    let units = predictions.units.max(1);
    // Without classes, every unit is a question of its own: yes above a score of 0, true above a target of 0.5.
    let each = if predictions.classes.is_empty() { 1 } else { units };
    predictions.scores.chunks_exact(each).enumerate().filter_map(move |(i, row)| {
        let truth = match predictions.classes.get(i) {
            Some(class) => usize::try_from(*class).ok(),
            None => Some(usize::from(*predictions.targets.get(i)? > 0.5)),
        };
        let sample = i * each / units;
        Some(Answer { truth, given: choice(row), weight: f64::from(*predictions.weights.get(sample)?) })
    })
}

/// The first unit with the highest score, or for one unit whether it is above 0.
fn choice(row: &[f32]) -> Option<usize> {
    if let [score] = row {
        return (!score.is_nan()).then_some(usize::from(*score > 0.0));
    }
    let mut best: Option<(usize, f32)> = None;
    for (unit, score) in row.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, top)| *score > top) {
            best = Some((unit, *score));
        }
    }
    best.map(|(unit, _)| unit)
}

/// Weights of the answers for one class.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Of the class and found.
    hits: f64,
    /// Of the class and not found.
    missed: f64,
    /// Of another class and taken for it.
    false_alarms: f64,
}

impl Tally {
    /// Weight of the class among the labels.
    fn truth(&self) -> f64 {
        self.hits + self.missed
    }
}

/// A tally for each class.
fn tallies(predictions: &Predictions) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); categories(predictions)];
    for answer in answers(predictions) {
        if answer.truth == answer.given {
            if let Some(tally) = answer.truth.and_then(|class| tallies.get_mut(class)) {
                tally.hits += answer.weight;
            }
            continue;
        }
        if let Some(tally) = answer.truth.and_then(|class| tallies.get_mut(class)) {
            tally.missed += answer.weight;
        }
        if let Some(tally) = answer.given.and_then(|class| tallies.get_mut(class)) {
            tally.false_alarms += answer.weight;
        }
    }
    tallies
}

/// Weighted mean over samples and units of a function of score − target; NaN where labels are classes of several units.
fn mean_error(predictions: &Predictions, f: impl Fn(f64) -> f64) -> f64 {
    let units = predictions.units.max(1);
    if predictions.targets.is_empty() && units > 1 {
        return f64::NAN;
    }
    let target = |i: usize| match predictions.targets.get(i) {
        Some(target) => Some(f64::from(*target)),
        None => predictions.classes.get(i).map(|class| *class as f64),
    };
    let (mut sum, mut total) = (0.0, 0.0);
    for (i, score) in predictions.scores.iter().enumerate() {
        let weight = predictions.weights.get(i / units).copied().map_or(0.0, f64::from);
        // Skipped samples may hold anything.
        if let (Some(target), true) = (target(i), weight > 0.0) {
            sum += weight * f(f64::from(*score) - target);
            total += weight;
        }
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::{Metric, Predictions, Score};

    /// Predictions with classes.
    pub(super) fn classes<'a>(
        scores: &'a [f32],
        units: usize,
        classes: &'a [i64],
        weights: &'a [f32],
    ) -> Predictions<'a> {
        Predictions { scores, units, classes, targets: &[], weights, names: &[] }
    }

    /// Predictions with target values.
    pub(super) fn targets<'a>(
        scores: &'a [f32],
        units: usize,
        targets: &'a [f32],
        weights: &'a [f32],
    ) -> Predictions<'a> {
        Predictions { scores, units, classes: &[], targets, weights, names: &[] }
    }

    /// The value of a metric with one number.
    pub(super) fn number(metric: &dyn Metric, predictions: &Predictions) -> f64 {
        match metric.score(predictions) {
            Score::Number(value) => value,
            Score::Matrix(_) => panic!("a matrix"),
        }
    }

    /// Eight samples of three classes; answers 0 0 1 2 1 1 2 2 to labels 0 0 0 0 1 1 1 2.
    pub(super) fn sample() -> (Vec<f32>, Vec<i64>) {
        let rows = [
            [2.0, 1.0, 0.5],
            [1.5, 0.0, 1.0],
            [0.5, 0.75, 0.25],
            [0.0, 0.5, 1.0],
            [0.0, 2.0, 1.0],
            [0.5, 1.0, 0.5],
            [0.0, 0.25, 3.0],
            [0.5, 1.0, 2.0],
        ];
        (rows.concat(), vec![0, 0, 0, 0, 1, 1, 1, 2])
    }
}
