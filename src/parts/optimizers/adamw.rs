//! Adam with decoupled weight decay, as `torch.optim.AdamW`.
//!
//! w ← w·(1 − lr·weight_decay), then the update of `adam`.
//! Source: Loshchilov, Hutter, "Decoupled weight decay regularization", 2019.
//!
//! ```yaml
//! optimizer: {adamw: {lr: 1e-4, weight_decay: 0.05}}
//! ```

use super::Optimizer;
use super::adam::{Moments, betas, eps};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Adam with decoupled weight decay.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdamW {
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
    #[serde(default = "weight_decay")]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
}

fn weight_decay() -> f64 {
    0.01
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Optimizer>> {
    let AdamW { lr, betas, eps, weight_decay } = decode(config)?;
    Moments::build(lr, betas, eps, weight_decay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::optimizers::tests::{close, run};
    use serde_json::json;

    #[test]
    fn decay_does_not_pass_through_the_moments() {
        // With g = 0 only the decay acts: w·(1 − lr·wd)^t.
        let rule = build(&json!({"lr": 0.1, "weight_decay": 0.5})).unwrap();
        close(&run(rule.as_ref(), &[2.0], 3, |_| vec![0.0]), &[2.0 * 0.95_f32.powi(3)], 1e-6);
        assert_eq!(build(&json!({"lr": 0.1})).unwrap().weight_decay(), 0.01);
    }
}
