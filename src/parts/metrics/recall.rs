//! Share of the samples of a class that are found, as scikit-learn's `recall_score`.
//!
//! hits / (hits + missed), averaged over classes as `average` says; 0/0 is 0. Weighted by sample.
//!
//! ```yaml
//! evaluate: {metrics: [recall: {average: binary}]}
//! ```

use super::average::Average;
use super::{Metric, Predictions, Score, tallies};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Share of the samples of a class that are found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    /// How classes become one number.
    #[serde(default)]
    average: Average,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<Recall>(config)?))
}

impl Metric for Recall {
    fn name(&self) -> String {
        self.average.name("recall")
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        Score::Number(self.average.of(&tallies(predictions), |tally| tally.hits / tally.truth()))
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
        for (average, wanted) in
            [("macro", 0.7222222222222222), ("micro", 0.625), ("weighted", 0.625), ("binary", 0.6666666666666666)]
        {
            let seen = number(build(&json!({"average": average})).unwrap().as_ref(), &predictions);
            assert!((seen - wanted).abs() < 1e-12, "{average}: {seen} is not {wanted}");
        }
        assert!(number(build(&json!({})).unwrap().as_ref(), &classes(&[], 3, &[], &[])).is_nan());
        assert!(build(&json!({"average": "mean"})).is_err());
    }
}
