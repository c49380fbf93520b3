//! Half a cosine from the base rate down to a share of it.
//!
//! factor = min + (1 − min)·(1 + cos(π·p))/2, p = share of the steps after the warmup that are done.
//! Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017; no restarts.
//!
//! ```yaml
//! schedule: {epochs: 10, batch: 32, lr: {cosine: {warmup: 5%}}}
//! ```

use super::{Position, Schedule};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Half a cosine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cosine {
    /// Share of the base rate that is left at the end.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    min: f64,
    /// Steps over which the rate first rises linearly from zero: a number of steps, or, below 1, a share of all
    /// steps, such as `5%`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Schedule>> {
    Ok(Box::new(decode::<Cosine>(config)?))
}

impl Schedule for Cosine {
    fn factor(&self, step: u64, total: u64, _per_epoch: u64) -> f64 {
        match Position::of(self.warmup, step, total) {
            Position::Warming(factor) => factor,
            Position::At(p) => self.min + (1.0 - self.min) * (1.0 + (std::f64::consts::PI * p).cos()) / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::schedules::tests::close;
    use serde_json::json;

    #[test]
    fn it_goes_through_the_middle() {
        let lr = build(&json!({"min": 0.1})).unwrap();
        let quarter = 0.1 + 0.9 * (1.0 + 0.5_f64.sqrt()) / 2.0;
        close(lr.as_ref(), 4, 1, &[1.0, quarter, 0.55, 1.1 - quarter, 0.1]);
    }

    #[test]
    fn it_begins_after_the_warmup() {
        let lr = build(&json!({"warmup": 2})).unwrap();
        close(lr.as_ref(), 6, 1, &[0.5, 1.0, 1.0, f64::midpoint(1.0, 0.5_f64.sqrt()), 0.5]);
    }
}
