//! Share of the answers for a class that are right, as scikit-learn's `precision_score`.
//!
//! hits / (hits + false alarms), averaged over classes as `average` says; 0/0 is 0. Weighted by sample.
//!
//! ```yaml
//! evaluate: {metrics: [precision: {average: binary}]}
//! ```

use super::Metric;
use super::average::Averaged;
use crate::diag::Result;
use serde_json::Value;

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Averaged::build(config, "precision", |tally| tally.hits / (tally.hits + tally.false_alarms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::average::tests::averages;

    #[test]
    fn it_is_scikit_learns() {
        averages(build, [0.6666666666666666, 0.625, 0.7916666666666666, 0.6666666666666666]);
    }
}
