//! Share of the answers for a class that are right, as scikit-learn's `precision_score`.
//!
//! hits / (hits + false alarms), averaged over classes as `average` says; 0/0 is 0. Weighted by sample.
//!
//! ```yaml
//! evaluate: {metrics: [precision: {average: binary}]}
//! ```

use super::average::Average;
use super::{Metric, Predictions, Score, tallies};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Share of the answers for a class that are right.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Precision {
    /// How classes become one number.
    #[serde(default)]
    average: Average,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<Precision>(config)?))
}

impl Metric for Precision {
    fn name(&self) -> String {
        self.average.name("precision")
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        Score::Number(self.average.of(&tallies(predictions), |tally| tally.hits / (tally.hits + tally.false_alarms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, number, sample};
    use serde_json::json;

    #[test]
    fn it_is_scikit_learns() {
        let (scores, labels) = sample();
        let predictions = classes(&scores, 3, &labels, &[1.0; 8]);
        for (average, wanted) in [
            ("macro", 0.6666666666666666),
            ("micro", 0.625),
            ("weighted", 0.7916666666666666),
            ("binary", 0.6666666666666666),
        ] {
            let seen = number(build(&json!({"average": average})).unwrap().as_ref(), &predictions);
            assert!((seen - wanted).abs() < 1e-12, "{average}: {seen} is not {wanted}");
        }
        assert!(number(build(&json!({})).unwrap().as_ref(), &classes(&[], 3, &[], &[])).is_nan());
        assert!(build(&json!({"average": "mean"})).is_err());
    }
}
