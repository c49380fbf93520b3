//! L1: the sum of absolute values.
//!
//! R = λ·Σ|w|, gradient λ·sign(w), 0 at 0. The sum includes every selected parameter.
//! Source: Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
//!
//! ```yaml
//! regularizer: {l1: 1e-5}
//! ```

use super::{Regularizer, Slopes};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// L1: the sum of absolute values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct L1 {
    /// Strength λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Regularizer>> {
    Ok(Box::new(decode::<L1>(config)?))
}

impl Regularizer for L1 {
    fn value(&self, param: &[f32], _start: &[f32]) -> f64 {
        self.lambda * super::sum(param, f64::abs)
    }

    fn add_gradient(&self, factor: f64, param: &[f32], _start: &[f32], grad: &mut [f32]) {
        let slope = (self.lambda * factor) as f32;
        for (g, w) in grad.iter_mut().zip(param) {
            *g += slope * super::sign(*w);
        }
    }

    fn slopes(&self, _start: bool) -> Slopes {
        Slopes { l1: self.lambda, ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn value_and_gradient_are_the_textbook_ones() {
        let l1 = build(&json!({"lambda": 0.5})).unwrap();
        assert_eq!(l1.value(&[1.0, -3.0, 0.0], &[]), 2.0);
        let mut grad = [1.0, 1.0, 1.0];
        l1.add_gradient(2.0, &[1.0, -3.0, 0.0], &[], &mut grad);
        assert_eq!(grad, [2.0, 0.0, 1.0]);
    }
}
