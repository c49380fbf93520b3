//! λ/2·Σ(w − w⁰)², the distance to the pretrained weights.
//!
//! Source: Li, Grandvalet, Davoine, "Explicit inductive bias for transfer learning with convolutional networks", ICML 2018.

use super::Regularizer;
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "λ/2·Σ(w − w⁰)²: the distance to the weights before training, gradient λ·(w − w⁰).\n\n\
A new layer has nothing to stay close to but its own start; give it `l2` with `params` instead. By default over trainable tensors of \
rank 2 and more.\n\nSource: Li, Grandvalet, Davoine, ICML 2018.\n\n\
    regularizer: [{l2_sp: 1e-2, params: [\"*\", \"!head.*\"]}, {l2: 1e-3, params: [\"head.*\"]}]";

pub(super) const ROW: Row<dyn Regularizer> =
    Row { kind: Kind::of::<L2Sp>("l2_sp", Some("lambda"), DOC), build: |value| Ok(Box::new(decode::<L2Sp>(value)?)) };

/// Configuration of `l2_sp`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct L2Sp {
    /// λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
}

impl Regularizer for L2Sp {
    fn needs_start(&self) -> bool {
        true
    }

    fn value(&self, param: &[f32], start: &[f32]) -> f64 {
        let square: f64 = param.iter().zip(start).map(|(w, s)| (f64::from(*w) - f64::from(*s)).powi(2)).sum();
        0.5 * self.lambda * square
    }

    fn add_gradient(&self, factor: f64, param: &[f32], start: &[f32], grad: &mut [f32]) {
        let scale = (factor * self.lambda) as f32;
        for ((g, w), s) in grad.iter_mut().zip(param).zip(start) {
            *g += scale * (w - s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form() {
        let rule = L2Sp { lambda: 0.5 };
        assert!((rule.value(&[1.0, 3.0], &[0.0, 1.0]) - 1.25).abs() < 1e-12);
        let mut g = [0.0, 0.0];
        rule.add_gradient(1.0, &[1.0, 3.0], &[0.0, 1.0], &mut g);
        assert_eq!(g, [0.5, 1.0]);
    }
}
