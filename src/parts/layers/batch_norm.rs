//! Batch normalization over the channels, as `torch.nn.BatchNorm1d`, `2d` and `3d`.
//!
//! y = (x − μ)/√(σ² + eps)·weight + bias for each channel of [N, C, …]. In training μ and σ² are those of the batch and move the
//! running ones by `momentum`; in evaluation they are the running ones.
//! Source: Ioffe, Szegedy, "Batch normalization", 2015.
//!
//! ```yaml
//! stack: [conv: {channels: 32, kernel: 3, bias: false}, batch_norm, relu]
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

fn momentum() -> f32 {
    0.1
}

/// Batch normalization over the channels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchNorm {
    /// Added to the variance.
    #[serde(default = "eps")]
    #[schemars(range(min = 0.0))]
    eps: f32,
    /// Share of the new statistics in the running ones, torch's convention; ONNX writes 1 − momentum.
    #[serde(default = "momentum")]
    #[schemars(range(min = 0.0, max = 1.0))]
    momentum: f32,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<BatchNorm>(config)?))
}

impl Layer for BatchNorm {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        match input {
            [_, channels, ..] if *channels > 0 => Ok(input.to_vec()),
            _ => Err(refuse("batch_norm", "[N, channels, …]", input)),
        }
    }

    fn params(&self, input: &[usize]) -> Result<Vec<NewParam>> {
        self.shape(input)?;
        let param =
            |name, value, trainable| NewParam { name, shape: vec![input[1]], start: Start::Constant(value), trainable };
        Ok(vec![
            param("weight", 1.0, true),
            param("bias", 0.0, true),
            param("running_mean", 0.0, false),
            param("running_var", 1.0, false),
        ])
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], params: &[ValueId]) -> Result<ValueId> {
        let inputs: Vec<ValueId> = [x].iter().chain(params).copied().collect();
        let attrs = [("epsilon", Attr::Float(self.eps)), ("momentum", Attr::Float(1.0 - self.momentum))];
        Ok(b.op_with("BatchNormalization", &inputs, &attrs))
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
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["BatchNormalization".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }

    #[test]
    fn running_statistics_are_not_trained() {
        let norm = build(&json!({})).unwrap();
        let params = norm.params(&[2, 5, 3, 3]).unwrap();
        let seen: Vec<_> = params.iter().map(|p| (p.name, p.start, p.trainable)).collect();
        assert_eq!(
            seen,
            [
                ("weight", Start::Constant(1.0), true),
                ("bias", Start::Constant(0.0), true),
                ("running_mean", Start::Constant(0.0), false),
                ("running_var", Start::Constant(1.0), false),
            ]
        );
        assert!(params.iter().all(|p| p.shape == [5]));
        refused(norm.as_ref(), &[2], "[N]");
    }
}
