//! λ·Σ|w|, gradient λ·sign(w) with sign(0) = 0.

use super::Regularizer;
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "λ·Σ|w|, gradient λ·sign(w), 0 at 0.\n\nBy default over trainable tensors of rank 2 and more.\n\n\
Source: Tibshirani, \"Regression shrinkage and selection via the lasso\", 1996.\n\n    regularizer: {l1: 1e-5}";

pub(super) const ROW: Row<dyn Regularizer> =
    Row { kind: Kind::of::<L1>("l1", Some("lambda"), DOC), build: |value| Ok(Box::new(decode::<L1>(value)?)) };

/// Configuration of `l1`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct L1 {
    /// λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
}

/// sign(w), 0 at 0.
pub(super) fn sign(w: f32) -> f32 {
    f32::from(w > 0.0) - f32::from(w < 0.0)
}

impl Regularizer for L1 {
    fn value(&self, param: &[f32], _: &[f32]) -> f64 {
        self.lambda * param.iter().map(|w| f64::from(w.abs())).sum::<f64>()
    }

    fn add_gradient(&self, factor: f64, param: &[f32], _: &[f32], grad: &mut [f32]) {
        let scale = (factor * self.lambda) as f32;
        for (g, w) in grad.iter_mut().zip(param) {
            *g += scale * sign(*w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form() {
        let rule = L1 { lambda: 0.5 };
        assert!((rule.value(&[1.0, -2.0, 0.0], &[]) - 1.5).abs() < 1e-12);
        let mut g = [0.0; 3];
        rule.add_gradient(1.0, &[1.0, -2.0, 0.0], &[], &mut g);
        assert_eq!(g, [0.5, -0.5, 0.0]);
    }
}
