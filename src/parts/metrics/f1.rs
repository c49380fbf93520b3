//! Harmonic mean of precision and recall, as scikit-learn's `f1_score`.
//!
//! 2·hits / (2·hits + missed + false alarms), averaged over classes as `average` says; 0/0 is 0. Weighted by sample.
//!
//! ```yaml
//! evaluate: {metrics: [f1: {average: binary}]}
//! ```

use super::Metric;
use super::average::Averaged;
use crate::diag::Result;
use serde_json::Value;

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Averaged::build(config, "f1", |tally| 2.0 * tally.hits / (2.0 * tally.hits + tally.missed + tally.false_alarms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::average::tests::averages;

    #[test]
    fn it_is_scikit_learns() {
        averages(build, [0.611111111111111, 0.625, 0.6458333333333333, 0.6666666666666666]);
    }
}
