//! Area under the receiver operating characteristic: the chance that a sample of a class scores higher than one of another.
//!
//! Equal scores count half (average ranks). Two units are compared by their difference; with more, it is the mean over classes of one
//! class against the rest by softmax probability, as scikit-learn's `roc_auc_score(multi_class="ovr")`, over the classes that
//! have both sides. Weighted by sample. Not defined with one class alone.
//! Source: Hanley, McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", 1982.
//!
//! ```yaml
//! evaluate: {metrics: [auroc]}
//! ```

use super::{Metric, Predictions, Score};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Area under the receiver operating characteristic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Auroc {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<Auroc>(config)?))
}

/// A sample seen from one class.
struct Ranked {
    score: f64,
    positive: bool,
    weight: f64,
}

impl Metric for Auroc {
    fn name(&self) -> String {
        "auroc".to_owned()
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        let units = predictions.units.max(1);
        // With classes, two units are one question; with targets, every unit is one.
        let questions = if predictions.classes.is_empty() { units } else { units.max(2) };
        let asked = if !predictions.classes.is_empty() && units <= 2 { 1..2 } else { 0..questions };
        let areas: Vec<f64> = asked.map(|unit| area(ranked(predictions, unit))).filter(|area| !area.is_nan()).collect();
        Score::Number(areas.iter().sum::<f64>() / areas.len() as f64)
    }
}

/// All samples as positives and negatives of one class or unit.
fn ranked(predictions: &Predictions, unit: usize) -> Vec<Ranked> {
    let units = predictions.units.max(1);
    let rows = predictions.scores.chunks_exact(units).zip(predictions.weights).enumerate();
    let seen = rows.filter_map(|(i, (row, weight))| {
        let (score, positive) = match predictions.classes.get(i) {
            Some(class) => (chance(row, unit), usize::try_from(*class).ok() == Some(unit)),
            None => (f64::from(*row.get(unit)?), *predictions.targets.get(i * units + unit)? > 0.5),
        };
        Some(Ranked { score, positive, weight: f64::from(*weight) })
    });
    seen.filter(|sample| sample.weight > 0.0).collect()
}

/// What orders samples by their probability of a class.
fn chance(row: &[f32], class: usize) -> f64 {
    match row {
        [score] => f64::from(*score),
        [no, yes] => f64::from(*yes) - f64::from(*no),
        _ => {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total: f64 = row.iter().map(|score| f64::from(score - top).exp()).sum();
            row.get(class).map_or(f64::NAN, |score| f64::from(score - top).exp() / total)
        }
    }
}

/// Weighted share of (positive, negative) pairs in the right order, ties half.
fn area(mut samples: Vec<Ranked>) -> f64 {
    if samples.iter().any(|sample| sample.score.is_nan()) {
        return f64::NAN;
    }
    samples.sort_by(|a, b| a.score.total_cmp(&b.score));
    let (mut below, mut pairs, mut positives) = (0.0, 0.0, 0.0);
    for ties in samples.chunk_by(|a, b| a.score == b.score) {
        let side = |positive| ties.iter().filter(|s| s.positive == positive).map(|s| s.weight).sum::<f64>();
        let (yes, no) = (side(true), side(false));
        pairs += yes * (below + no / 2.0);
        below += no;
        positives += yes;
    }
    pairs / (positives * below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, number, sample, targets};
    use serde_json::json;

    fn auroc(predictions: &Predictions) -> f64 {
        number(build(&json!({})).unwrap().as_ref(), predictions)
    }

    #[test]
    fn pairs_in_order_count_one_and_ties_half() {
        // Positives 0.8, 0.4; negatives 0.4, 0.1: pairs 1, 1, 0.5, 1.
        let scores = [0.1, 0.4, 0.4, 0.8];
        assert_eq!(auroc(&classes(&scores, 1, &[0, 1, 0, 1], &[1.0; 4])), 3.5 / 4.0);
        assert_eq!(auroc(&targets(&scores, 1, &[0.0, 1.0, 0.0, 1.0], &[1.0; 4])), 3.5 / 4.0);
        // A weight is a repetition.
        assert_eq!(auroc(&classes(&scores, 1, &[0, 1, 0, 1], &[1.0, 2.0, 1.0, 1.0])), 5.0 / 6.0);
        // Two units are compared by their difference; signed zeros tie.
        assert_eq!(auroc(&classes(&[0.0, 1.0, 3.0, 1.0], 2, &[1, 0], &[1.0; 2])), 1.0);
        assert_eq!(auroc(&classes(&[0.0, -0.0], 1, &[1, 0], &[1.0; 2])), 0.5);
    }

    #[test]
    fn several_classes_are_averaged_as_scikit_learn_does() {
        let (scores, labels) = sample();
        let seen = auroc(&classes(&scores, 3, &labels, &[1.0; 8]));
        assert!((seen - 0.8204365079365079).abs() < 1e-12, "{seen}");
    }

    #[test]
    fn one_class_alone_is_not_defined() {
        assert!(auroc(&classes(&[1.0, 2.0], 1, &[1, 1], &[1.0; 2])).is_nan());
        assert!(auroc(&classes(&[1.0, f32::NAN], 1, &[0, 1], &[1.0; 2])).is_nan());
        assert!(auroc(&classes(&[], 4, &[], &[])).is_nan());
    }
}
