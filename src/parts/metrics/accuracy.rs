//! Share of samples whose class is right, or is among the `top_k` highest scores.
//!
//! Of equal scores the earlier unit counts as higher. One unit answers yes where its score is above 0; with several yes-or-no
//! questions, it is the share of right answers. Weighted by sample.
//!
//! ```yaml
//! evaluate: {metrics: [accuracy, accuracy: {top_k: 5}]}
//! ```

use super::{Metric, Predictions, Score, answers};
use crate::diag::Result;
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Share of samples whose class is right.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Accuracy {
    /// Highest scores among which the class may be.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    top_k: usize,
}

fn one() -> usize {
    1
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Metric>> {
    Ok(Box::new(decode::<Accuracy>(config)?))
}

impl Metric for Accuracy {
    fn name(&self) -> String {
        if self.top_k <= 1 { "accuracy".to_owned() } else { format!("accuracy_top_{}", self.top_k) }
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn score(&self, predictions: &Predictions) -> Score {
        let (mut right, mut total) = (0.0, 0.0);
        if self.top_k > 1 && predictions.units > 1 && !predictions.classes.is_empty() {
            let samples = predictions.scores.chunks_exact(predictions.units).zip(predictions.classes);
            for ((row, class), weight) in samples.zip(predictions.weights) {
                total += f64::from(*weight);
                let Some(own) = usize::try_from(*class).ok().and_then(|class| row.get(class).map(|s| (class, *s)))
                else {
                    continue;
                };
                let higher = row.iter().enumerate().filter(|(unit, s)| **s > own.1 || (**s == own.1 && *unit < own.0));
                if !own.1.is_nan() && higher.count() < self.top_k {
                    right += f64::from(*weight);
                }
            }
        } else {
            for answer in answers(predictions) {
                total += answer.weight;
                if answer.truth == answer.given {
                    right += answer.weight;
                }
            }
        }
        Score::Number(right / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::metrics::tests::{classes, number, targets};
    use serde_json::json;

    #[test]
    fn it_counts_by_weight() {
        let scores = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 0.0, 5.0, 4.0, 1.0, 1.0, 0.0];
        let accuracy = build(&json!({})).unwrap();
        assert_eq!(number(accuracy.as_ref(), &classes(&scores, 3, &[2, 0, 2, 1], &[1.0; 4])), 0.5);
        assert_eq!(number(accuracy.as_ref(), &classes(&scores, 3, &[2, 0, 2, 1], &[1.0, 1.0, 2.0, 0.0])), 0.5);
        let top = build(&json!({"top_k": 2})).unwrap();
        assert_eq!(number(top.as_ref(), &classes(&scores, 3, &[2, 2, 2, 1], &[1.0; 4])), 0.75);
        assert_eq!((accuracy.name(), top.name()), ("accuracy".to_owned(), "accuracy_top_2".to_owned()));
    }

    #[test]
    fn one_unit_says_yes_above_zero() {
        let accuracy = build(&json!({})).unwrap();
        assert_eq!(number(accuracy.as_ref(), &classes(&[0.5, -0.5, 0.0, 2.0], 1, &[1, 0, 0, 0], &[1.0; 4])), 0.75);
        assert_eq!(
            number(accuracy.as_ref(), &targets(&[0.5, -0.5, 1.0, 2.0], 2, &[1.0, 0.0, 0.0, 1.0], &[1.0; 2])),
            0.75
        );
    }

    #[test]
    fn nothing_is_not_a_number() {
        assert!(number(build(&json!({})).unwrap().as_ref(), &classes(&[], 3, &[], &[])).is_nan());
        assert_eq!(number(build(&json!({})).unwrap().as_ref(), &classes(&[f32::NAN, f32::NAN], 2, &[0], &[1.0])), 0.0);
    }
}
