//! The same rate at every step, after a warmup if there is one.

use super::{Schedule, warmup};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "The same learning rate at every step.\n\n    schedule: {lr: {constant: {warmup: 100}}}";

pub(super) const ROW: Row<dyn Schedule> = Row {
    kind: Kind::of::<Constant>("constant", None, DOC),
    build: |value| {
        let config: Constant = decode(value)?;
        warmup::check(config.warmup)?;
        Ok(Box::new(config))
    },
};

/// Configuration of `constant`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Constant {
    /// Linear warmup: a share of the phase below 1 (`5%`), or a number of steps.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

impl Schedule for Constant {
    fn factor(&self, step: u64, total: u64, _: u64) -> f64 {
        warmup::factor(step, warmup::steps(self.warmup, total)).unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_and_stays() {
        let curve = Constant { warmup: 3.0 };
        let factors: Vec<f64> = (0..5).map(|step| curve.factor(step, 10, 10)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0]);
    }
}
