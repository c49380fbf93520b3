//! Softmax cross-entropy over raw scores, as `torch.nn.CrossEntropyLoss`.
//!
//! ℓ = −Σ_c q_c·w_c·ln softmax(x)_c with q = (1 − ε)·onehot(y) + ε/K, K classes, ε = `label_smoothing`, w = `class_weights` (1 unless
//! given; `balanced` is n / (K·n_c) from the n_c samples of class c in `train`, as in scikit-learn). The term is divided by the total
//! class weight w_y of its samples, as in torch's mean. Scores must be finite.
//! Source: Szegedy et al., "Rethinking the inception architecture for computer vision", 2016 (smoothing).
//!
//! ```yaml
//! loss: {cross_entropy: {label_smoothing: 0.1}}
//! ```

use super::{Labels, Loss, entries, rows};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, Builder, Tensor, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Softmax cross-entropy over raw scores.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CrossEntropy {
    /// Share of the target that is spread evenly over all classes, ε.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    label_smoothing: f64,
    /// Weight of each class in label order, or `balanced`.
    #[serde(default)]
    class_weights: Option<ClassWeights>,
}

/// Weights of the classes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ClassWeights {
    /// What the samples of the training set ask for.
    Word(ClassWeightsWord),
    /// One for each class.
    Each(Vec<f64>),
}

/// Class weights that depend on the data.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum ClassWeightsWord {
    /// The rarer a class, the more its samples weigh: every class weighs the same as a whole.
    Balanced,
}

impl CrossEntropy {
    /// The numbers, where they are known.
    fn weights(&self) -> Option<&[f64]> {
        match &self.class_weights {
            Some(ClassWeights::Each(weights)) => Some(weights),
            Some(ClassWeights::Word(ClassWeightsWord::Balanced)) | None => None,
        }
    }
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Loss>> {
    let loss: CrossEntropy = decode(config)?;
    let weights = loss.weights().unwrap_or(&[1.0]);
    if let Some(class) = weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
        let message = format!("`class_weights` must be 0 or more, not {}", weights[class]);
        let place = format!("class_weights/{class}");
        return Err(Diagnostic::error(Code::OutOfRange, message).at(place, format!("weight of class {class}")));
    }
    if weights.iter().all(|weight| *weight == 0.0) {
        return Err(Diagnostic::error(Code::OutOfRange, "`class_weights` needs at least one weight above 0")
            .at("class_weights", ""));
    }
    Ok(Box::new(loss))
}

impl Loss for CrossEntropy {
    fn labels(&self) -> Labels {
        Labels::Classes
    }

    fn class_weight(&self, class: i64) -> f64 {
        let weights = self.weights().unwrap_or(&[]);
        usize::try_from(class).ok().and_then(|class| weights.get(class)).copied().unwrap_or(1.0)
    }

    fn check(&self, output: &[usize]) -> Result<()> {
        match output {
            [_, units] if *units >= 2 => match self.weights() {
                Some(weights) => entries("class_weights", weights.len(), *units),
                None => Ok(()),
            },
            [_] | [_, 1] => Err(super::refuse("cross_entropy", "a score for each of two or more classes", output)
                .help("one score a sample is what `binary_cross_entropy` takes")),
            _ => Err(super::refuse("cross_entropy", "[N, classes]", output)),
        }
    }

    fn build(&self, b: &mut Builder, output: ValueId, labels: ValueId, shape: &[usize]) -> Result<ValueId> {
        self.check(shape)?;
        if let Some(ClassWeights::Word(word)) = self.class_weights {
            let message = format!("`class_weights` are still {word:?} where numbers are needed");
            return Err(Diagnostic::error(Code::Internal, message));
        }
        let (scores, units) = rows(b, output, shape);
        let log = b.log_softmax(scores, 1);
        let even = self.label_smoothing / units as f64;
        let depth = b.constant(Tensor::scalar(units as i64));
        let off_on = b.constant(Tensor::vector(&[even as f32, (1.0 - self.label_smoothing + even) as f32]));
        let mut target = b.op_with("OneHot", &[labels, depth, off_on], &[("axis", Attr::Int(-1))]);
        if let Some(weights) = self.weights() {
            let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
            let weights = b.constant(Tensor::new([1, units], &weights));
            target = b.mul(target, weights);
        }
        let parts = b.mul(target, log);
        let sum = b.reduce_sum(parts, &[1], false);
        Ok(b.neg(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::losses::evaluate::{close, per_sample};
    use serde_json::json;

    const SCORES: [f32; 6] = [1.0, 2.0, 0.5, -1.0, 0.0, 3.0];

    fn losses(config: &Value, scores: &[f32], labels: &[i64]) -> Vec<f32> {
        let loss = build(config).unwrap();
        per_sample(loss.as_ref(), scores, &[labels.len(), scores.len() / labels.len()], &Tensor::vector(labels))
    }

    #[test]
    fn it_is_torchs_formula() {
        // torch.nn.functional.cross_entropy(x, y, weight, reduction="none", label_smoothing).
        close(&losses(&json!({}), &SCORES, &[1, 0]), &TORCH_PLAIN, 1e-6);
        close(&losses(&json!({"label_smoothing": 0.2}), &SCORES, &[1, 0]), &TORCH_SMOOTH, 1e-6);
        let weighted = json!({"label_smoothing": 0.2, "class_weights": [0.5, 2.0, 1.5]});
        close(&losses(&weighted, &SCORES, &[1, 0]), &TORCH_WEIGHTED, 1e-6);
        let loss = build(&weighted).unwrap();
        assert_eq!(
            [loss.class_weight(0), loss.class_weight(1), loss.class_weight(7), loss.class_weight(-1)],
            [0.5, 2.0, 1.0, 1.0]
        );
    }

    #[test]
    fn equal_scores_cost_the_logarithm_of_the_classes_and_large_ones_stay_finite() {
        close(&losses(&json!({"label_smoothing": 0.3}), &[7.0; 4], &[2]), &[4.0_f32.ln()], 1e-6);
        close(&losses(&json!({}), &[1e4, -1e4], &[1]), &[2e4], 1e-6);
        close(&losses(&json!({}), &[1e4, -1e4], &[0]), &[0.0], 1e-6);
    }

    #[test]
    fn outputs_and_lists_that_do_not_fit_are_refused() {
        let loss = build(&json!({"class_weights": [1.0, 2.0]})).unwrap();
        assert_eq!(loss.check(&[4, 3]).unwrap_err().code(), Code::OutOfRange);
        assert!(loss.check(&[4, 2]).is_ok());
        for shape in [&[4][..], &[4, 1], &[4, 0], &[4, 2, 2], &[]] {
            assert_eq!(loss.check(shape).unwrap_err().code(), Code::ShapeMismatch);
        }
        for weights in [json!([-1.0, 1.0]), json!([0.0, 0.0]), json!([])] {
            assert_eq!(build(&json!({"class_weights": weights})).err().unwrap().code(), Code::OutOfRange);
        }
    }
    const TORCH_PLAIN: [f32; 2] = [0.464368784, 4.0658839];
    const TORCH_SMOOTH: [f32; 2] = [0.631035451, 3.73255057];
    const TORCH_WEIGHTED: [f32; 2] = [1.05015506, 2.17725594];
}
