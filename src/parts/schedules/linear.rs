//! A straight line from the base rate to a share of it.
//!
//! factor = 1 + (to − 1)·p, p = share of the steps after the warmup that are done.
//!
//! ```yaml
//! schedule: {epochs: 3, batch: 32, lr: {linear: {to: 0, warmup: 6%}}}
//! ```

use super::{Position, Schedule};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A straight line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Linear {
    /// Share of the base rate at the end.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    to: f64,
    /// Steps over which the rate first rises linearly from zero: a number of steps, or, below 1, a share of all
    /// steps, such as `5%`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Schedule>> {
    Ok(Box::new(decode::<Linear>(config)?))
}

impl Schedule for Linear {
    fn factor(&self, step: u64, total: u64, _per_epoch: u64) -> f64 {
        match Position::of(self.warmup, step, total) {
            Position::Warming(factor) => factor,
            Position::At(p) => 1.0 + (self.to - 1.0) * p,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::schedules::tests::close;
    use serde_json::json;

    #[test]
    fn it_is_a_line() {
        close(build(&json!({})).unwrap().as_ref(), 4, 1, &[1.0, 0.75, 0.5, 0.25, 0.0]);
        close(build(&json!({"to": 0.5, "warmup": 1})).unwrap().as_ref(), 3, 1, &[1.0, 1.0, 0.75, 0.5]);
    }
}
