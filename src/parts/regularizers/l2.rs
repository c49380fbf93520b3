//! λ/2·Σw², gradient λw.

use super::Regularizer;
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str =
    "λ/2·Σw², gradient λ·w.\n\nBy default over trainable tensors of rank 2 and more.\n\n    regularizer: {l2: 1e-4}";

pub(super) const ROW: Row<dyn Regularizer> =
    Row { kind: Kind::of::<L2>("l2", Some("lambda"), DOC), build: |value| Ok(Box::new(decode::<L2>(value)?)) };

/// Configuration of `l2`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct L2 {
    /// λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
}

impl Regularizer for L2 {
    fn value(&self, param: &[f32], _: &[f32]) -> f64 {
        0.5 * self.lambda * param.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>()
    }

    fn add_gradient(&self, factor: f64, param: &[f32], _: &[f32], grad: &mut [f32]) {
        let scale = (factor * self.lambda) as f32;
        for (g, w) in grad.iter_mut().zip(param) {
            *g += scale * w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form() {
        let rule = L2 { lambda: 0.1 };
        assert!((rule.value(&[1.0, -2.0], &[]) - 0.25).abs() < 1e-12);
        let mut g = [1.0, 1.0];
        rule.add_gradient(2.0, &[1.0, -2.0], &[], &mut g);
        assert!((g[0] - 1.2).abs() < 1e-6 && (g[1] - 0.6).abs() < 1e-6);
    }
}
