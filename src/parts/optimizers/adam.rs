//! Adam, as `torch.optim.Adam`; `weight_decay`, if any, is decoupled as in `adamw`.
//!
//! m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²,
//! w ← w − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε), t counted from 1.
//! Source: Kingma, Ba, "Adam: a method for stochastic optimization", 2015.
//!
//! ```yaml
//! optimizer: {adam: 1e-3}
//! ```

use super::{Optimizer, Step, literal};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Adam.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Adam {
    /// Learning rate before the factor of `schedule.lr`.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    lr: f64,
    /// Decay of the running mean and of the running square, β₁ and β₂, each below 1.
    #[serde(default = "betas")]
    betas: [f64; 2],
    /// Added to the root of the running square.
    #[serde(default = "eps")]
    #[schemars(range(min = 0.0))]
    eps: f64,
    /// Decoupled decay: every update first shrinks the weights by lr·weight_decay.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
}

pub(super) fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

pub(super) fn eps() -> f64 {
    1e-8
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Optimizer>> {
    let Adam { lr, betas, eps, weight_decay } = decode(config)?;
    Moments::build(lr, betas, eps, weight_decay)
}

/// The rule that `adam` and `adamw` share; they differ in the default of `weight_decay`.
#[derive(Debug)]
pub(super) struct Moments {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

impl Moments {
    pub(super) fn build(lr: f64, betas: [f64; 2], eps: f64, weight_decay: f64) -> Result<Box<dyn Optimizer>> {
        if let Some(beta) = betas.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
            return Err(Diagnostic::error(Code::OutOfRange, format!("`betas` must lie in [0, 1), not {beta}"))
                .at("betas", "")
                .help("the usual values are `betas: [0.9, 0.999]`"));
        }
        Ok(Box::new(Self { lr, betas, eps, weight_decay }))
    }
}

impl Optimizer for Moments {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn states(&self) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn update(&self, step: Step, param: &mut [f32], grad: &[f32], states: &mut [&mut [f32]]) {
        let [mean, square] = states else { return };
        let [beta1, beta2] = self.betas;
        let updates = step.count as f64 + 1.0;
        // Bias corrections in f64, applied to f32 elements, as torch does.
        let rate = (step.lr / (1.0 - beta1.powf(updates))) as f32;
        let root = (1.0 - beta2.powf(updates)).sqrt() as f32;
        let (scale, keep, eps) = (step.scale as f32, step.keep() as f32, self.eps as f32);
        let (fresh, old, new) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32);
        for (((w, g), m), v) in param.iter_mut().zip(grad).zip(mean.iter_mut()).zip(square.iter_mut()) {
            let g = g * scale;
            *m += fresh * (g - *m);
            *v = old * *v + new * g * g;
            *w = *w * keep - rate * (*m / (v.sqrt() / root + eps));
        }
    }

    fn cuda(&self) -> String {
        let [beta1, beta2] = self.betas.map(literal);
        let eps = literal(self.eps);
        format!(
            "__device__ void prepare(double lr, double decay, long long count, float *k) {{\n\
             double updates = (double)count + 1.0;\n\
             k[0] = (float)(lr / (1.0 - pow({beta1}, updates))); k[1] = (float)(1.0 - lr * decay);\n\
             k[2] = (float)sqrt(1.0 - pow({beta2}, updates)); k[3] = (float)(1.0 - {beta1}); k[4] = (float){beta2};\n\
             k[5] = (float)(1.0 - {beta2}); k[6] = (float){eps};\n}}\n\
             __device__ void rule(float &w, float g, float &a, float &b, const float *k) {{\n\
             a += k[3] * (g - a); b = k[4] * b + k[5] * g * g; w = w * k[1] - k[0] * (a / (sqrtf(b) / k[2] + k[6]));\n}}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::optimizers::tests::{close, run};
    use serde_json::json;

    #[test]
    fn a_constant_gradient_moves_by_lr_whatever_its_size() {
        // m̂ = g and v̂ = g² at every step, so each step is lr·sign(g).
        let rule = build(&json!({"lr": 0.01})).unwrap();
        close(&run(rule.as_ref(), &[1.0, 1.0], 4, |_| vec![1e-3, -50.0]), &[0.96, 1.04], 2e-6);
    }

    #[test]
    fn a_zero_gradient_leaves_weights_alone() {
        let rule = build(&json!({"lr": 0.1})).unwrap();
        assert_eq!(run(rule.as_ref(), &[1.5], 3, |_| vec![0.0]), [1.5]);
    }

    #[test]
    fn betas_of_one_are_refused() {
        for betas in [[1.0, 0.9], [0.9, 1.0], [-0.1, 0.9]] {
            let error = build(&json!({"lr": 0.1, "betas": betas})).err().unwrap();
            assert_eq!(error.code(), Code::OutOfRange);
        }
        assert!(build(&json!({"lr": 0.1, "betas": [0.9]})).is_err());
    }
}
