//! AdamW: Adam with decoupled weight decay, in torch's order of operations.
//!
//! w ← w·(1 − lr·wd); m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; w ← w − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε).
//! Source: Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.

use super::adam::{Moments, advance};
use super::{Optimizer, Step};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "Adam with decoupled weight decay.\n\n\
w ← w·(1 − lr·weight_decay), then w ← w − lr·m̂ / (√v̂ + eps) with the bias-corrected moments of the gradient.\n\n\
Source: Loshchilov, Hutter, ICLR 2019.\n\n\
    optimizer: {adamw: {lr: 1e-3, weight_decay: 0.01}}";

pub(super) const ROW: Row<dyn Optimizer> =
    Row { kind: Kind::of::<AdamW>("adamw", Some("lr"), DOC), build: |value| Ok(Box::new(decode::<AdamW>(value)?)) };

/// Configuration of `adamw`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdamW {
    /// Learning rate.
    #[schemars(range(min = 0.0))]
    lr: f64,
    /// Decay of the first and the second moment.
    #[serde(default = "betas")]
    betas: [f64; 2],
    /// Added to the root of the second moment.
    #[serde(default = "eps")]
    #[schemars(range(min = 0.0))]
    eps: f64,
    /// Decoupled weight decay.
    #[serde(default = "decay")]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
}

pub(super) fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

pub(super) fn eps() -> f64 {
    1e-8
}

fn decay() -> f64 {
    0.01
}

impl Optimizer for AdamW {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn states(&self) -> &'static [&'static str] {
        &["first", "second"]
    }

    fn update(&self, step: Step, param: &mut [f32], grad: &[f32], states: &mut [&mut [f32]]) {
        advance(Moments { betas: self.betas, eps: self.eps }, step, param, grad, states);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_learning_rate() {
        let rule = AdamW { lr: 0.1, betas: betas(), eps: 0.0, weight_decay: 0.5 };
        let (mut w, mut m, mut v) = ([2.0f32, 2.0], [0.0f32; 2], [0.0f32; 2]);
        let step = Step { lr: 0.1, weight_decay: 0.5, count: 0, scale: 1.0 };
        rule.update(step, &mut w, &[3.0, -0.001], &mut [&mut m, &mut v]);
        // 2·0.95 ∓ 0.1, whatever the size of the gradient
        assert!((w[0] - 1.8).abs() < 1e-5 && (w[1] - 2.0).abs() < 1e-5, "{w:?}");
    }
}
