//! Root of the mean squared error.
//!
//! √mean (x − y)² over samples and units, weighted by sample. Needs target values; with one unit, class indices serve as well.
//!
//! ```yaml
//! evaluate: {metrics: [rmse]}
//! ```

use super::{Metric, Predictions, Score, mean_error};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Root of the mean squared error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rmse {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<Rmse>(config)?))
}

impl Metric for Rmse {
    fn name(&self) -> String {
        "rmse".to_owned()
    }

    fn of_classes(&self) -> bool {
        false
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn score(&self, predictions: &Predictions) -> Score {
        Score::Number(mean_error(predictions, |error| error * error).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, number, targets};
    use serde_json::json;

    #[test]
    fn it_weighs_samples_and_averages_units() {
        let metric = build(&json!({})).unwrap();
        assert_eq!(number(metric.as_ref(), &targets(&[3.0, 4.0], 2, &[0.0, 0.0], &[1.0])), 12.5_f64.sqrt());
        assert_eq!(number(metric.as_ref(), &classes(&[3.0, 2.0], 1, &[1, 2], &[1.0, 3.0])), 1.0);
        assert!(number(metric.as_ref(), &targets(&[], 2, &[], &[])).is_nan());
        assert!(number(metric.as_ref(), &classes(&[1.0, 2.0], 2, &[1], &[1.0])).is_nan());
    }
}
