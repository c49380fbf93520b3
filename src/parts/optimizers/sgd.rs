//! Stochastic gradient descent with momentum, as `torch.optim.SGD`, with decoupled weight decay.
//!
//! w ← w·(1 − lr·weight_decay), then with momentum μ and dampening τ: v ← g at the first update, μ·v + (1 − τ)·g later;
//! w ← w − lr·v, or w ← w − lr·(g + μ·v) with `nesterov`.
//! Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
//!
//! ```yaml
//! optimizer: {sgd: {lr: 0.01, momentum: 0.9, nesterov: true}}
//! ```

use super::{Optimizer, Step, literal};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Stochastic gradient descent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sgd {
    /// Learning rate before the factor of `schedule.lr`.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    lr: f64,
    /// Factor on the previous direction, μ.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    momentum: f64,
    /// Share of a later gradient that is left out of the direction, τ.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    dampening: f64,
    /// Looks one step ahead along the direction.
    #[serde(default)]
    nesterov: bool,
    /// Decoupled decay: every update first shrinks the weights by lr·weight_decay.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Optimizer>> {
    let sgd: Sgd = decode(config)?;
    if sgd.nesterov && (sgd.momentum == 0.0 || sgd.dampening != 0.0) {
        return Err(Diagnostic::error(Code::Conflict, "`nesterov` needs a `momentum` above 0 and no `dampening`")
            .help("write `momentum: 0.9`, or leave `nesterov` out"));
    }
    Ok(Box::new(sgd))
}

impl Optimizer for Sgd {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn states(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum"] }
    }

    fn update(&self, step: Step, param: &mut [f32], grad: &[f32], states: &mut [&mut [f32]]) {
        let (lr, scale, keep) = (step.lr as f32, step.scale as f32, step.keep() as f32);
        let Some(velocity) = states.first_mut() else {
            for (w, g) in param.iter_mut().zip(grad) {
                *w = *w * keep - lr * (g * scale);
            }
            return;
        };
        // At the first update the direction is the gradient itself, dampening or not.
        let first = step.count == 0;
        let momentum = self.momentum as f32;
        let (old, new) = if first { (0.0, 1.0) } else { (momentum, (1.0 - self.dampening) as f32) };
        let ahead = if self.nesterov { momentum } else { 0.0 };
        for ((w, g), v) in param.iter_mut().zip(grad).zip(velocity.iter_mut()) {
            let g = g * scale;
            *v = old * *v + new * g;
            let direction = if self.nesterov { g + ahead * *v } else { *v };
            *w = *w * keep - lr * direction;
        }
    }

    fn cuda(&self) -> String {
        let ahead = if self.nesterov { "g + k[4] * a" } else { "a" };
        let rule = if self.momentum == 0.0 {
            "w = w * k[1] - k[0] * g;".to_owned()
        } else {
            format!("a = k[2] * a + k[3] * g; w = w * k[1] - k[0] * ({ahead});")
        };
        let [momentum, dampening] = [self.momentum, self.dampening].map(literal);
        format!(
            "__device__ void prepare(double lr, double decay, long long count, float *k) {{\n\
             k[0] = (float)lr; k[1] = (float)(1.0 - lr * decay); k[4] = (float){momentum};\n\
             k[2] = count ? (float){momentum} : 0.0f; k[3] = count ? (float)(1.0 - {dampening}) : 1.0f;\n}}\n\
             __device__ void rule(float &w, float g, float &a, float &b, const float *k) {{ {rule} }}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::optimizers::tests::{close, run};
    use serde_json::json;

    #[test]
    fn plain_steps_follow_the_closed_form() {
        // f = w²/2, g = w: each step multiplies by (1 − lr·wd) − lr.
        let rule = build(&json!({"lr": 0.1, "weight_decay": 0.5})).unwrap();
        assert!(rule.states().is_empty());
        let seen = run(rule.as_ref(), &[2.0], 3, <[f32]>::to_vec);
        close(&seen, &[2.0 * 0.85_f32.powi(3)], 1e-6);
    }

    #[test]
    fn a_constant_gradient_builds_up_momentum_geometrically() {
        // v_t = (1 − μ^t)/(1 − μ) for g = 1; after three steps Σv = 1 + 1.5 + 1.75.
        let rule = build(&json!({"lr": 1.0, "momentum": 0.5})).unwrap();
        close(&run(rule.as_ref(), &[0.0], 3, |_| vec![1.0]), &[-4.25], 1e-6);
        // Nesterov adds g + μ·v: 1.5 + 1.75 + 1.875.
        let rule = build(&json!({"lr": 1.0, "momentum": 0.5, "nesterov": true})).unwrap();
        close(&run(rule.as_ref(), &[0.0], 3, |_| vec![1.0]), &[-5.125], 1e-6);
        // Dampening spares the first step: 1 + (0.5 + 0.25) + (0.375 + 0.25).
        let rule = build(&json!({"lr": 1.0, "momentum": 0.5, "dampening": 0.75})).unwrap();
        close(&run(rule.as_ref(), &[0.0], 3, |_| vec![1.0]), &[-(1.0 + 0.75 + 0.625)], 1e-6);
    }

    #[test]
    fn nesterov_without_momentum_is_refused() {
        for config in
            [json!({"lr": 1, "nesterov": true}), json!({"lr": 1, "nesterov": true, "momentum": 0.9, "dampening": 0.1})]
        {
            assert_eq!(build(&config).err().map(|error| error.code()), Some(Code::Conflict));
        }
        assert!(build(&json!({"lr": 1, "learning_rate": 2})).is_err());
    }
}
