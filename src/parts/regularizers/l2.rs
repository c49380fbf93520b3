//! L2: half the sum of squares, the λ‖w‖² of the textbook with the gradient λ·w.
//!
//! R = λ/2·Σw², gradient λ·w: what torch's optimizers call `weight_decay` in SGD and Adam.
//! Source: Krogh, Hertz, "A simple weight decay can improve generalization", 1991.
//!
//! ```yaml
//! regularizer: {l2: 1e-4}
//! ```

use super::{Regularizer, Slopes};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// L2: half the sum of squares.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct L2 {
    /// Strength λ.
    #[schemars(range(min = 0.0))]
    lambda: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Regularizer>> {
    Ok(Box::new(decode::<L2>(config)?))
}

impl Regularizer for L2 {
    fn value(&self, param: &[f32], _start: &[f32]) -> f64 {
        self.lambda / 2.0 * super::sum(param, |w| w * w)
    }

    fn add_gradient(&self, factor: f64, param: &[f32], _start: &[f32], grad: &mut [f32]) {
        let slope = (self.lambda * factor) as f32;
        for (g, w) in grad.iter_mut().zip(param) {
            *g += slope * w;
        }
    }

    fn slopes(&self, _start: bool) -> Slopes {
        Slopes { l2: self.lambda, ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn value_and_gradient_are_the_textbook_ones() {
        let l2 = build(&json!({"lambda": 0.5})).unwrap();
        assert_eq!(l2.value(&[1.0, -3.0], &[]), 2.5);
        let mut grad = [1.0, 1.0];
        l2.add_gradient(2.0, &[1.0, -3.0], &[], &mut grad);
        assert_eq!(grad, [2.0, -2.0]);
    }

    #[test]
    fn large_weights_do_not_overflow() {
        assert!(build(&json!({"lambda": 1.0})).unwrap().value(&[f32::MAX], &[]).is_finite());
        assert!(build(&json!({"lambda": 1.0})).unwrap().value(&[f32::NAN], &[]).is_nan());
    }
}
