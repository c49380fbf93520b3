//! Counts of samples by true class (row) and given class (column).
//!
//! Samples of weight 0 are left out; other weights count once.
//!
//! ```yaml
//! evaluate: {metrics: [confusion_matrix]}
//! ```

use super::{Metric, Predictions, Score, answers, categories};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Counts by true and given class.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfusionMatrix {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<ConfusionMatrix>(config)?))
}

impl Metric for ConfusionMatrix {
    fn name(&self) -> String {
        "confusion_matrix".to_owned()
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        let size = categories(predictions);
        let mut counts = vec![vec![0; size]; size];
        for answer in answers(predictions).filter(|answer| answer.weight > 0.0) {
            if let (Some(truth), Some(given)) = (answer.truth, answer.given)
                && let Some(count) = counts.get_mut(truth).and_then(|row| row.get_mut(given))
            {
                *count += 1;
            }
        }
        Score::Matrix(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, sample};
    use serde_json::json;

    #[test]
    fn rows_are_true_classes() {
        let metric = build(&json!({})).unwrap();
        let (scores, labels) = sample();
        let mut weights = [1.0; 8];
        assert_eq!(
            metric.score(&classes(&scores, 3, &labels, &weights)),
            Score::Matrix(vec![vec![2, 1, 1], vec![0, 2, 1], vec![0, 0, 1]])
        );
        weights[7] = 0.0;
        assert_eq!(
            metric.score(&classes(&scores, 3, &labels, &weights)),
            Score::Matrix(vec![vec![2, 1, 1], vec![0, 2, 1], vec![0, 0, 0]])
        );
        assert_eq!(
            metric.score(&classes(&[1.0, -1.0], 1, &[1, 5], &[1.0; 2])),
            Score::Matrix(vec![vec![0, 0], vec![0, 1]])
        );
    }
}
