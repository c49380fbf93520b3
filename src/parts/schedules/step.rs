//! The rate falls by a factor every few epochs.

use super::{Schedule, warmup};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "lr·gamma^⌊epoch / every⌋: the rate falls by `gamma` every `every` epochs.\n\n    schedule: {lr: {step: {every: 7, gamma: 0.1}}}";

pub(super) const ROW: Row<dyn Schedule> = Row {
    kind: Kind::of::<Step>("step", Some("every"), DOC),
    build: |value| {
        let config: Step = decode(value)?;
        warmup::check(config.warmup)?;
        Ok(Box::new(config))
    },
};

/// Configuration of `step`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Epochs between two falls.
    #[schemars(range(min = 1))]
    every: u64,
    /// Factor of each fall.
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0))]
    gamma: f64,
    /// Linear warmup: a share of the phase below 1 (`5%`), or a number of steps.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

fn tenth() -> f64 {
    0.1
}

impl Schedule for Step {
    fn factor(&self, step: u64, total: u64, per_epoch: u64) -> f64 {
        warmup::factor(step, warmup::steps(self.warmup, total)).unwrap_or_else(|| {
            let falls = step / per_epoch.max(1) / self.every.max(1);
            self.gamma.powi(i32::try_from(falls).unwrap_or(i32::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_every_few_epochs() {
        let curve = Step { every: 2, gamma: 0.5, warmup: 0.0 };
        assert_eq!([0, 7, 8, 15, 16].map(|step| curve.factor(step, 40, 4)), [1.0, 1.0, 0.5, 0.5, 0.25]);
    }
}
