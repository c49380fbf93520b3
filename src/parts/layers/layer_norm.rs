//! Layer normalization over the last dimension, as `torch.nn.LayerNorm`.
//!
//! y = (x − μ)/√(σ² + eps)·weight + bias with mean and variance of each row.
//! Source: Ba, Kiros, Hinton, "Layer normalization", 2016.
//!
//! ```yaml
//! stack: [layer_norm, linear: 10]
//! ```

use super::{Layer, NewParam, Start, refuse};
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

fn eps() -> f32 {
    1e-5
}

/// Layer normalization over the last dimension.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerNorm {
    /// Added to the variance.
    #[serde(default = "eps")]
    #[schemars(range(min = 0.0))]
    eps: f32,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<LayerNorm>(config)?))
}

impl Layer for LayerNorm {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        match input {
            [_, .., features] if *features > 0 => Ok(input.to_vec()),
            _ => Err(refuse("layer_norm", "[N, …, features]", input)),
        }
    }

    fn params(&self, input: &[usize]) -> Result<Vec<NewParam>> {
        self.shape(input)?;
        let shape = input[input.len() - 1..].to_vec();
        let weight = NewParam { name: "weight", shape: shape.clone(), start: Start::Constant(1.0), trainable: true };
        Ok(vec![weight, NewParam { name: "bias", shape, start: Start::Constant(0.0), trainable: true }])
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], params: &[ValueId]) -> Result<ValueId> {
        let inputs: Vec<ValueId> = [x].iter().chain(params).copied().collect();
        let attrs = [("axis", Attr::Int(-1)), ("epsilon", Attr::Float(self.eps))];
        Ok(b.op_with("LayerNormalization", &inputs, &attrs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::{ops, refused};
    use serde_json::json;

    #[test]
    fn it_keeps_the_shape() {
        let layer = build(&json!({})).unwrap();
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["LayerNormalization".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }

    #[test]
    fn parameters_span_the_last_dimension() {
        let norm = build(&json!({})).unwrap();
        assert!(norm.params(&[2, 5, 7]).unwrap().iter().all(|p| p.shape == [7] && p.trainable));
        refused(norm.as_ref(), &[2], "[N]");
    }
}
