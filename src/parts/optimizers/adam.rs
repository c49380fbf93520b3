//! Adam in torch's order of operations.
//!
//! Source: Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015.

use super::adamw::{betas, eps};
use super::{Optimizer, Step};
use crate::parts::{Kind, Row, decode};
use schemars::JsonSchema;
use serde::Deserialize;

const DOC: &str = "Adam: w ← w − lr·m̂ / (√v̂ + eps) with the bias-corrected moments of the gradient.\n\n\
`weight_decay` is decoupled, as everywhere in pipe; for the L2 penalty of the original use `regularizer: {l2: λ}`.\n\n\
Source: Kingma, Ba, ICLR 2015.\n\n\
    optimizer: {adam: {lr: 1e-3}}";

pub(super) const ROW: Row<dyn Optimizer> =
    Row { kind: Kind::of::<Adam>("adam", Some("lr"), DOC), build: |value| Ok(Box::new(decode::<Adam>(value)?)) };

/// Configuration of `adam`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Adam {
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
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
}

/// Decays of the moments and the guard of the division.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) betas: [f64; 2],
    pub(super) eps: f64,
}

/// One step of Adam on a chunk; scalars are prepared in f64 once, as torch does.
pub(super) fn advance(rule: Moments, step: Step, param: &mut [f32], grad: &[f32], states: &mut [&mut [f32]]) {
    let [first, second] = states else { return };
    let count = step.count as f64 + 1.0;
    let [beta1, beta2] = rule.betas;
    let decay = (1.0 - step.lr * step.weight_decay) as f32;
    let rate = (step.lr / (1.0 - beta1.powf(count))) as f32;
    let root = (1.0 - beta2.powf(count)).sqrt() as f32;
    let (keep1, take1) = (beta1 as f32, (1.0 - beta1) as f32);
    let (keep2, take2) = (beta2 as f32, (1.0 - beta2) as f32);
    let (eps, scale) = (rule.eps as f32, step.scale as f32);
    for (((w, g), m), v) in param.iter_mut().zip(grad).zip(first.iter_mut()).zip(second.iter_mut()) {
        let g = g * scale;
        *m = keep1 * *m + take1 * g;
        *v = keep2 * *v + take2 * (g * g);
        let below = v.sqrt() / root + eps;
        // 0/0 can only be a zero gradient with eps = 0: no step.
        let move_by = if below > 0.0 { rate * (*m / below) } else { 0.0 };
        *w = *w * decay - move_by;
    }
}

impl Optimizer for Adam {
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
    fn two_steps_by_hand() {
        let rule = Adam { lr: 0.1, betas: [0.5, 0.75], eps: 0.0, weight_decay: 0.0 };
        let (mut w, mut m, mut v) = ([0.0f32], [0.0f32], [0.0f32]);
        for (count, g) in [1.0f32, 3.0].into_iter().enumerate() {
            let step = Step { lr: 0.1, weight_decay: 0.0, count: count as u64, scale: 1.0 };
            rule.update(step, &mut w, &[g], &mut [&mut m, &mut v]);
        }
        // m = 0.5·0.5 + 0.5·3 = 1.75, m̂ = 1.75/0.75; v = 0.75·0.25 + 0.25·9 = 2.4375, v̂ = 2.4375/0.4375
        let expected = -0.1 - 0.1 * (1.75f32 / 0.75) / (2.4375f32 / 0.4375).sqrt();
        assert!((w[0] - expected).abs() < 1e-6, "{} {expected}", w[0]);
    }
}
