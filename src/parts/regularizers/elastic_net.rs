//! λ·(α·Σ|w| + (1−α)/2·Σw²).
//!
//! Source: Zou, Hastie, "Regularization and variable selection via the elastic net", 2005.

use super::Regularizer;
use super::l1::sign;
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "λ·(α·Σ|w| + (1 − α)/2·Σw²) with α = `l1_ratio`.\n\nBy default over trainable tensors of rank 2 and more.\n\n\
Source: Zou, Hastie, 2005.\n\n    regularizer: {elastic_net: {lambda: 1e-4, l1_ratio: 0.3}}";

pub(super) const ROW: Row<dyn Regularizer> = Row {
    kind: Kind::of::<ElasticNet>("elastic_net", Some("lambda"), DOC),
    build: |value| Ok(Box::new(decode::<ElasticNet>(value)?)),
};

/// Configuration of `elastic_net`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ElasticNet {
    /// λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
    /// α, the share of the L1 part.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    l1_ratio: f64,
}

fn half() -> f64 {
    0.5
}

impl Regularizer for ElasticNet {
    fn value(&self, param: &[f32], _: &[f32]) -> f64 {
        let (mut absolute, mut square) = (0.0, 0.0);
        for w in param {
            let w = f64::from(*w);
            absolute += w.abs();
            square += w * w;
        }
        self.lambda * (self.l1_ratio * absolute + (1.0 - self.l1_ratio) * 0.5 * square)
    }

    fn add_gradient(&self, factor: f64, param: &[f32], _: &[f32], grad: &mut [f32]) {
        let l1 = (factor * self.lambda * self.l1_ratio) as f32;
        let l2 = (factor * self.lambda * (1.0 - self.l1_ratio)) as f32;
        for (g, w) in grad.iter_mut().zip(param) {
            *g += l1 * sign(*w) + l2 * w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form() {
        let rule = ElasticNet { lambda: 2.0, l1_ratio: 0.25 };
        assert!((rule.value(&[1.0, -2.0], &[]) - 2.0 * (0.25 * 3.0 + 0.75 * 2.5)).abs() < 1e-12);
        let mut g = [0.0];
        rule.add_gradient(1.0, &[-2.0], &[], &mut g);
        assert!((g[0] + 3.5).abs() < 1e-6);
    }
}
