//! Dropout, as `torch.nn.Dropout`: in training, sets elements to zero with probability p and divides the others by 1 − p.
//!
//! In evaluation and in the exported model it does nothing. The elements are drawn from the run's seed.
//! Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
//!
//! ```yaml
//! stack: [dropout: 0.2, linear: 10]
//! ```

use super::Layer;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

fn half() -> f64 {
    0.5
}

/// Dropout.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dropout {
    /// Probability of a zero, below 1.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    p: f64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    let dropout: Dropout = decode(config)?;
    if !(0.0..1.0).contains(&dropout.p) {
        let text = format!("`p` must lie in [0, 1), not {}", dropout.p);
        return Err(Diagnostic::error(Code::OutOfRange, text).at("p", "").help("`p` is the share that is dropped"));
    }
    Ok(Box::new(dropout))
}

impl Layer for Dropout {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        let ratio = b.scalar(DType::F32, self.p);
        Ok(b.op("Dropout", &[x, ratio]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::ops;
    use serde_json::json;

    #[test]
    fn it_keeps_the_shape() {
        let layer = build(&json!({})).unwrap();
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["Dropout".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }

    #[test]
    fn dropping_everything_is_refused() {
        for p in [1.0, 1.5, -0.1] {
            assert_eq!(build(&json!({"p": p})).err().map(|error| error.code()), Some(Code::OutOfRange));
        }
    }
}
