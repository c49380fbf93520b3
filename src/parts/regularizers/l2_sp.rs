//! L2-SP: L2 towards the starting point, the pretrained weights, instead of towards zero.
//!
//! R = λ/2·Σ(w − w⁰)² over pretrained parameters and β/2·Σw² over those of new layers and those that `reinitialize` draws anew, which
//! have no starting point.
//! Source: Li, Grandvalet, Davoine, "Explicit inductive bias for transfer learning with convolutional networks", 2018.
//!
//! ```yaml
//! regularizer: {l2_sp: {lambda: 0.1, beta: 0.01}}
//! ```

use super::{Regularizer, Slopes};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// L2 towards the pretrained weights.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct L2Sp {
    /// Strength λ on pretrained parameters.
    #[schemars(range(min = 0.0))]
    lambda: f64,
    /// Strength β of plain L2 on new parameters; λ unless given.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    beta: Option<f64>,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Regularizer>> {
    Ok(Box::new(decode::<L2Sp>(config)?))
}

impl L2Sp {
    fn beta(&self) -> f64 {
        self.beta.unwrap_or(self.lambda)
    }
}

impl Regularizer for L2Sp {
    fn needs_start(&self) -> bool {
        true
    }

    fn value(&self, param: &[f32], start: &[f32]) -> f64 {
        if start.is_empty() {
            return self.beta() / 2.0 * super::sum(param, |w| w * w);
        }
        let squares: f64 = param.iter().zip(start).map(|(w, s)| (f64::from(*w) - f64::from(*s)).powi(2)).sum();
        self.lambda / 2.0 * squares
    }

    fn add_gradient(&self, factor: f64, param: &[f32], start: &[f32], grad: &mut [f32]) {
        if start.is_empty() {
            let slope = (self.beta() * factor) as f32;
            for (g, w) in grad.iter_mut().zip(param) {
                *g += slope * w;
            }
            return;
        }
        let slope = (self.lambda * factor) as f32;
        for ((g, w), s) in grad.iter_mut().zip(param).zip(start) {
            *g += slope * (w - s);
        }
    }

    fn slopes(&self, start: bool) -> Slopes {
        if start {
            return Slopes { pull: self.lambda, ..Slopes::default() };
        }
        Slopes { l2: self.beta(), ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pretrained_weights_are_pulled_back_and_new_ones_to_zero() {
        let sp = build(&json!({"lambda": 2.0, "beta": 0.5})).unwrap();
        assert!(sp.needs_start());
        assert_eq!(sp.value(&[3.0, 1.0], &[1.0, 1.0]), 4.0);
        assert_eq!(sp.value(&[3.0, 1.0], &[]), 2.5);
        let mut grad = [0.0, 0.0];
        sp.add_gradient(1.0, &[3.0, 1.0], &[1.0, 1.0], &mut grad);
        assert_eq!(grad, [4.0, 0.0]);
        sp.add_gradient(1.0, &[3.0, 1.0], &[], &mut grad);
        assert_eq!(grad, [5.5, 0.5]);
    }
}
