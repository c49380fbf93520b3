//! Logistic cross-entropy over raw scores, as `torch.nn.BCEWithLogitsLoss`, for one yes-or-no question or several.
//!
//! ℓ = (1 − y)·x + (1 + (p − 1)·y)·ln(1 + e^−x), averaged over the units; x raw scores, y targets in [0, 1], p = `pos_weight`.
//! With one unit, a dataset of two classes serves as well: class 0 is y = 0, class 1 is y = 1.
//!
//! ```yaml
//! loss: {binary_cross_entropy: {pos_weight: 3}}
//! ```

use super::{Labels, Loss, entries, mean, rows};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Tensor, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Logistic cross-entropy over raw scores.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BinaryCrossEntropy {
    /// Weight of positive targets, one number or one for each unit.
    #[serde(default)]
    pos_weight: Option<PosWeight>,
}

/// Weight of positive targets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum PosWeight {
    /// The same for every unit.
    All(#[schemars(range(min = 0.0))] f64),
    /// One for each unit.
    Each(Vec<f64>),
}

impl PosWeight {
    fn values(&self) -> &[f64] {
        match self {
            PosWeight::All(weight) => std::slice::from_ref(weight),
            PosWeight::Each(weights) => weights,
        }
    }
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Loss>> {
    let loss: BinaryCrossEntropy = decode(config)?;
    let weights = loss.pos_weight.as_ref().map_or(&[][..], PosWeight::values);
    if let Some(weight) = weights.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite())) {
        return Err(Diagnostic::error(Code::OutOfRange, format!("`pos_weight` must be 0 or more, not {weight}"))
            .at("pos_weight", ""));
    }
    Ok(Box::new(loss))
}

impl Loss for BinaryCrossEntropy {
    fn labels(&self) -> Labels {
        Labels::Values
    }

    fn check(&self, output: &[usize]) -> Result<()> {
        let units = super::units("binary_cross_entropy", output)?;
        match &self.pos_weight {
            Some(PosWeight::Each(weights)) => entries("pos_weight", weights.len(), units),
            _ => Ok(()),
        }
    }

    fn build(&self, b: &mut Builder, output: ValueId, labels: ValueId, shape: &[usize]) -> Result<ValueId> {
        self.check(shape)?;
        let (scores, units) = rows(b, output, shape);
        let one = b.scalar(DType::F32, 1.0);
        let negative = b.sub(one, labels);
        let linear = b.mul(negative, scores);
        // Softplus is computed without overflow, and its gradient is right at 0 too, where a head that starts with zeros stands.
        let mirrored = b.neg(scores);
        let mut tail = b.op("Softplus", &[mirrored]);
        if let Some(weight) = &self.pos_weight {
            let excess: Vec<f32> = weight.values().iter().map(|weight| (weight - 1.0) as f32).collect();
            let excess = b.constant(Tensor::new([1, excess.len()], &excess));
            let scaled = b.mul(labels, excess);
            let factor = b.add(scaled, one);
            tail = b.mul(factor, tail);
        }
        let parts = b.add(linear, tail);
        Ok(mean(b, parts, units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::losses::evaluate::{close, per_sample};
    use serde_json::json;

    fn losses(config: &Value, scores: &[f32], shape: &[usize], labels: &[f32]) -> Vec<f32> {
        let units = shape.get(1).copied().unwrap_or(1);
        per_sample(build(config).unwrap().as_ref(), scores, shape, &Tensor::new([shape[0], units], labels))
    }

    #[test]
    fn it_is_torchs_formula() {
        // torch.nn.functional.binary_cross_entropy_with_logits(x, y, pos_weight, reduction="none").mean(1).
        let (scores, labels) = ([0.5, -2.0, 3.0, 0.0], [1.0, 0.0, 0.25, 1.0]);
        close(&losses(&json!({}), &scores, &[2, 2], &labels), &TORCH_PLAIN, 1e-6);
        close(&losses(&json!({"pos_weight": [3.0, 0.5]}), &scores, &[2, 2], &labels), &TORCH_WEIGHTED, 1e-6);
        let one = losses(&json!({"pos_weight": 3}), &scores, &[4, 1], &labels);
        close(&one, &TORCH_ONE, 1e-6);
        assert_eq!(losses(&json!({"pos_weight": 3}), &scores, &[4], &labels), one);
    }

    #[test]
    fn large_scores_stay_finite() {
        close(&losses(&json!({}), &[1e4, -1e4, 1e4, -1e4], &[4], &[1.0, 0.0, 0.0, 1.0]), &[0.0, 0.0, 1e4, 1e4], 1e-6);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let loss = build(&json!({"pos_weight": [1.0, 2.0]})).unwrap();
        assert_eq!(loss.check(&[4, 3]).unwrap_err().code(), Code::OutOfRange);
        assert_eq!(loss.check(&[4, 2, 2]).unwrap_err().code(), Code::ShapeMismatch);
        assert_eq!(loss.check(&[4, 0]).unwrap_err().code(), Code::ShapeMismatch);
        assert!(build(&json!({"pos_weight": -1.0})).is_err());
    }
    const TORCH_PLAIN: [f32; 2] = [0.300502498, 1.49586727];
    const TORCH_WEIGHTED: [f32; 2] = [0.774579482, 1.33472731];
    const TORCH_ONE: [f32; 4] = [1.42223095, 0.126928011, 2.32288103, 2.07944154];
}
