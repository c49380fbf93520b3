//! Half a cosine from 1 down to a minimum: min + (1 − min)·(1 + cos πp)/2.
//!
//! Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

use super::{Schedule, warmup};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "Half a cosine over the phase: lr·(min + (1 − min)·(1 + cos πp)/2), p from 0 to 1 after the warmup.\n\n\
Source: Loshchilov, Hutter, ICLR 2017.\n\n    schedule: {lr: {cosine: {warmup: 5%}}}";

pub(super) const ROW: Row<dyn Schedule> = Row {
    kind: Kind::of::<Cosine>("cosine", None, DOC),
    build: |value| {
        let config: Cosine = decode(value)?;
        warmup::check(config.warmup)?;
        Ok(Box::new(config))
    },
};

/// Configuration of `cosine`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cosine {
    /// Share of the rate that is left at the end.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    min: f64,
    /// Linear warmup: a share of the phase below 1 (`5%`), or a number of steps.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

impl Schedule for Cosine {
    fn factor(&self, step: u64, total: u64, _: u64) -> f64 {
        let warm = warmup::steps(self.warmup, total);
        warmup::factor(step, warm).unwrap_or_else(|| {
            let p = warmup::progress(step, total, warm);
            self.min + (1.0 - self.min) * 0.5 * (1.0 + (std::f64::consts::PI * p).cos())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_one_passes_half_and_ends_at_min() {
        let curve = Cosine { min: 0.2, warmup: 0.0 };
        for (step, expected) in [(0, 1.0), (5, 0.6), (10, 0.2)] {
            assert!((curve.factor(step, 10, 10) - expected).abs() < 1e-12);
        }
    }
}
