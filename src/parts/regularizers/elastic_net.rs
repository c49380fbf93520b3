//! Elastic net: L1 and L2 mixed.
//!
//! R = λ·(ρ·Σ|w| + (1 − ρ)/2·Σw²) with ρ = `l1_ratio`, as in scikit-learn's `ElasticNet`.
//! Source: Zou, Hastie, "Regularization and variable selection via the elastic net", 2005.
//!
//! ```yaml
//! regularizer: {elastic_net: {lambda: 1e-4, l1_ratio: 0.2}}
//! ```

use super::{Regularizer, Slopes};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// L1 and L2 mixed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ElasticNet {
    /// Strength λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
    /// Share of L1, ρ.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    l1_ratio: f64,
}

fn half() -> f64 {
    0.5
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Regularizer>> {
    Ok(Box::new(decode::<ElasticNet>(config)?))
}

impl Regularizer for ElasticNet {
    fn value(&self, param: &[f32], _start: &[f32]) -> f64 {
        let (l1, l2) = (self.l1_ratio, (1.0 - self.l1_ratio) / 2.0);
        self.lambda * super::sum(param, |w| l1 * w.abs() + l2 * w * w)
    }

    fn add_gradient(&self, factor: f64, param: &[f32], _start: &[f32], grad: &mut [f32]) {
        let l1 = (self.lambda * factor * self.l1_ratio) as f32;
        let l2 = (self.lambda * factor * (1.0 - self.l1_ratio)) as f32;
        for (g, w) in grad.iter_mut().zip(param) {
            *g += l1 * super::sign(*w) + l2 * w;
        }
    }

    fn slopes(&self, _start: bool) -> Slopes {
        let (l1, l2) = (self.lambda * self.l1_ratio, self.lambda * (1.0 - self.l1_ratio));
        Slopes { l1, l2, ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn its_ends_are_l1_and_l2() {
        let weights = [1.0, -3.0, 0.0];
        for (ratio, value, slopes) in
            [(1.0, 2.0, [0.5, -0.5, 0.0]), (0.0, 2.5, [0.5, -1.5, 0.0]), (0.5, 2.25, [0.5, -1.0, 0.0])]
        {
            let net = build(&json!({"lambda": 0.5, "l1_ratio": ratio})).unwrap();
            assert_eq!(net.value(&weights, &[]), value);
            let mut grad = [0.0; 3];
            net.add_gradient(1.0, &weights, &[], &mut grad);
            assert_eq!(grad, slopes);
        }
    }
}
