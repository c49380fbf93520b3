//! Mean absolute error.
//!
//! mean |x − y| over samples and units, weighted by sample. Needs target values; with one unit, class indices serve as well.
//!
//! ```yaml
//! evaluate: {metrics: [mae]}
//! ```

use super::{Metric, Predictions, Score, mean_error};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Mean absolute error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mae {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<Mae>(config)?))
}

impl Metric for Mae {
    fn name(&self) -> String {
        "mae".to_owned()
    }

    fn of_classes(&self) -> bool {
        false
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn score(&self, predictions: &Predictions) -> Score {
        Score::Number(mean_error(predictions, f64::abs))
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
        assert_eq!(
            number(metric.as_ref(), &targets(&[1.0, 2.0, 3.0, 4.0], 2, &[0.0, 2.0, 6.0, 0.0], &[1.0, 3.0])),
            2.75
        );
        assert_eq!(number(metric.as_ref(), &classes(&[1.5, 2.0], 1, &[1, 4], &[1.0; 2])), 1.25);
        assert!(number(metric.as_ref(), &targets(&[], 2, &[], &[])).is_nan());
        assert!(number(metric.as_ref(), &classes(&[1.0, 2.0], 2, &[1], &[1.0])).is_nan());
    }
}
