//! Share of the samples of a class that are found, as scikit-learn's `recall_score`.
//!
//! hits / (hits + missed), averaged over classes as `average` says; 0/0 is 0. Weighted by sample.
//!
//! ```yaml
//! evaluate: {metrics: [recall: {average: binary}]}
//! ```

use super::Metric;
use super::average::Averaged;
use crate::diag::Result;
use serde_json::Value;

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Averaged::build(config, "recall", |tally| tally.hits / tally.truth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::average::tests::averages;

    #[test]
    fn it_is_scikit_learns() {
        averages(build, [0.7222222222222222, 0.625, 0.625, 0.6666666666666666]);
    }
}
