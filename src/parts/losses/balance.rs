//! `class_weights: balanced`: weights that follow from how often each class occurs, w_c = n / (K·n_c) for K classes and n samples, as
//! scikit-learn's `compute_class_weight("balanced")`. A loss cannot know the samples, so the plan counts them and puts the numbers in.

use super::Losses;
use crate::parts::Chosen;
use serde_json::{Value, json};

const KEY: &str = "class_weights";

/// Whether a loss leaves its class weights to the samples.
pub fn is_balanced(loss: &Chosen<Losses>) -> bool {
    loss.config.get(KEY).and_then(Value::as_str) == Some("balanced")
}

/// Weights for the samples of each class; a class without samples weighs 1.
pub fn balanced(counts: &[usize]) -> Vec<f64> {
    let samples = counts.iter().sum::<usize>() as f64;
    let classes = counts.len() as f64;
    counts.iter().map(|count| if *count == 0 { 1.0 } else { samples / (classes * *count as f64) }).collect()
}

/// Writes the numbers where the spec said `balanced`.
pub fn put(loss: &mut Chosen<Losses>, weights: &[f64]) {
    if let Value::Object(config) = &mut loss.config {
        config.insert(KEY.to_owned(), json!(weights));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_scikit_learns() {
        // numpy: y = [0]*5 + [1]*3 + [2]; len(y) / (3 * np.bincount(y))
        assert_eq!(balanced(&[5, 3, 1]), [0.6, 1.0, 3.0]);
        assert_eq!(balanced(&[4, 4]), [1.0, 1.0]);
        assert_eq!(balanced(&[2, 0]), [0.5, 1.0]);
        assert_eq!(balanced(&[]), [0.0; 0]);
    }

    #[test]
    fn the_word_is_replaced_by_numbers() {
        let mut loss = Chosen::<Losses>::new("cross_entropy", json!({"class_weights": "balanced"}));
        assert!(is_balanced(&loss) && loss.build().is_ok());
        put(&mut loss, &balanced(&[1, 3]));
        assert!(!is_balanced(&loss));
        assert_eq!(loss.config, json!({"class_weights": [2.0, 4.0 / 6.0]}));
        assert_eq!(loss.build().unwrap().class_weight(0), 2.0);
    }
}
