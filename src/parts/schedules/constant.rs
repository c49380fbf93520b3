//! The same learning rate at every step, after an optional warmup.
//!
//! factor = 1.
//!
//! ```yaml
//! schedule: {epochs: 10, batch: 32, lr: constant}
//! ```

use super::{Position, Schedule};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The same rate at every step.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Constant {
    /// Steps over which the rate first rises linearly from zero: a number of steps, or, below 1, a share of all
    /// steps, such as `5%`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Schedule>> {
    Ok(Box::new(decode::<Constant>(config)?))
}

impl Schedule for Constant {
    fn factor(&self, step: u64, total: u64, _per_epoch: u64) -> f64 {
        match Position::of(self.warmup, step, total) {
            Position::Warming(factor) => factor,
            Position::At(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::schedules::tests::close;
    use serde_json::json;

    #[test]
    fn it_rises_to_one_and_stays() {
        let lr = build(&json!({"warmup": 4})).unwrap();
        close(lr.as_ref(), 10, 1, &[0.25, 0.5, 0.75, 1.0, 1.0]);
        close(build(&json!({})).unwrap().as_ref(), 10, 1, &[1.0, 1.0]);
    }

    #[test]
    fn a_share_is_of_all_steps() {
        let lr = build(&json!({"warmup": 0.2})).unwrap();
        close(lr.as_ref(), 10, 1, &[0.5, 1.0, 1.0]);
        // A warmup longer than the phase never ends, and nothing divides by zero.
        close(build(&json!({"warmup": 100})).unwrap().as_ref(), 2, 1, &[0.01, 0.02]);
        close(lr.as_ref(), 0, 0, &[1.0]);
    }
}
