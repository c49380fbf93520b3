//! Mean recall over the classes that occur, as scikit-learn's `balanced_accuracy_score`.
//!
//! Guessing gives 1/K however uneven the classes are. Weighted by sample.
//! Source: Brodersen et al., "The balanced accuracy and its posterior distribution", 2010.
//!
//! ```yaml
//! evaluate: {metrics: [balanced_accuracy]}
//! ```

use super::{Metric, Predictions, Score, tallies};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Mean recall over the classes that occur.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BalancedAccuracy {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<BalancedAccuracy>(config)?))
}

impl Metric for BalancedAccuracy {
    fn name(&self) -> String {
        "balanced_accuracy".to_owned()
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        let recalls: Vec<f64> = tallies(predictions)
            .iter()
            .filter(|tally| tally.truth() > 0.0)
            .map(|tally| tally.hits / tally.truth())
            .collect();
        Score::Number(recalls.iter().sum::<f64>() / recalls.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, number, sample};
    use serde_json::json;

    #[test]
    fn it_is_scikit_learns() {
        let metric = build(&json!({})).unwrap();
        let (scores, labels) = sample();
        let seen = number(metric.as_ref(), &classes(&scores, 3, &labels, &[1.0; 8]));
        // Recalls 2/4, 2/3 and 1/1.
        assert!((seen - (0.5 + 2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12, "{seen}");
        // A class that never occurs does not count.
        assert_eq!(number(metric.as_ref(), &classes(&[1.0, 0.0, 0.0, 0.0, 0.0, 1.0], 3, &[0, 0], &[1.0; 2])), 0.5);
        assert!(number(metric.as_ref(), &classes(&[], 3, &[], &[])).is_nan());
    }
}
