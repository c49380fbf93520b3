//! A straight line from 1 to a last share of the rate.

use super::{Schedule, warmup};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "A straight line over the phase from lr to lr·`to`, after the warmup.\n\n    schedule: {lr: {linear: {to: 0, warmup: 10%}}}";

pub(super) const ROW: Row<dyn Schedule> = Row {
    kind: Kind::of::<Linear>("linear", None, DOC),
    build: |value| {
        let config: Linear = decode(value)?;
        warmup::check(config.warmup)?;
        Ok(Box::new(config))
    },
};

/// Configuration of `linear`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Linear {
    /// Share of the rate that is left at the end.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    to: f64,
    /// Linear warmup: a share of the phase below 1 (`5%`), or a number of steps.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

impl Schedule for Linear {
    fn factor(&self, step: u64, total: u64, _: u64) -> f64 {
        let warm = warmup::steps(self.warmup, total);
        warmup::factor(step, warm).unwrap_or_else(|| 1.0 + (self.to - 1.0) * warmup::progress(step, total, warm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_in_a_straight_line() {
        let curve = Linear { to: 0.5, warmup: 0.0 };
        assert_eq!([0, 5, 10].map(|step| curve.factor(step, 10, 10)), [1.0, 0.75, 0.5]);
    }
}
