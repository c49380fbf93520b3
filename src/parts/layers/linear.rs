//! Fully connected layer, as `torch.nn.Linear`.
//!
//! y = x·Wᵀ + b over the last dimension, W [units, features], b [units]. [N, features] becomes [N, units], [N, …, features] becomes
//! [N, …, units]. Both start uniform in ±1/√features.
//!
//! ```yaml
//! stack: [linear: 10]
//! ```

use super::{Layer, NewParam, Start, count, refuse};
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Fully connected layer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Linear {
    /// Number of outputs.
    #[schemars(range(min = 1, max = 16777216))]
    units: usize,
    /// Whether a learnt constant is added.
    #[serde(default = "yes")]
    bias: bool,
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    let linear: Linear = decode(config)?;
    count("units", linear.units)?;
    Ok(Box::new(linear))
}

impl Layer for Linear {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        match input {
            [batch, middle @ .., features] if *features > 0 => {
                Ok([*batch].iter().chain(middle).copied().chain([self.units]).collect())
            }
            _ => Err(refuse("linear", "[N, features] or [N, …, features]", input)),
        }
    }

    fn params(&self, input: &[usize]) -> Result<Vec<NewParam>> {
        self.shape(input)?;
        let features = input.last().copied().unwrap_or(1);
        let start = Start::Uniform { bound: 1.0 / (features as f32).sqrt() };
        let mut params = vec![NewParam { name: "weight", shape: vec![self.units, features], start, trainable: true }];
        if self.bias {
            params.push(NewParam { name: "bias", shape: vec![self.units], start, trainable: true });
        }
        Ok(params)
    }

    fn build(&self, b: &mut Builder, x: ValueId, input: &[usize], params: &[ValueId]) -> Result<ValueId> {
        if let ([_, _], [_, ..]) = (input, params) {
            let inputs: Vec<ValueId> = [x].iter().chain(params).copied().collect();
            return Ok(b.op_with("Gemm", &inputs, &[("transB", Attr::Int(1))]));
        }
        let weight = b.transpose(params[0], &[1, 0]);
        let product = b.matmul(x, weight);
        Ok(match params.get(1) {
            Some(bias) => b.add(product, *bias),
            None => product,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::{ops, refused};
    use serde_json::json;

    #[test]
    fn rank_two_is_one_gemm_and_more_is_a_product() {
        let linear = build(&json!({"units": 10})).unwrap();
        assert_eq!(ops(linear.as_ref(), &[2, 512]), (vec![2, 10], vec!["Gemm".to_owned()]));
        assert_eq!(ops(linear.as_ref(), &[2, 7, 4]).0, [2, 7, 10]);
        assert_eq!(ops(linear.as_ref(), &[2, 7, 4]).1, ["Transpose", "MatMul", "Add"]);
    }

    #[test]
    fn parameters_are_torchs() {
        let params = build(&json!({"units": 3})).unwrap().params(&[1, 16]).unwrap();
        assert_eq!(
            params.iter().map(|p| (p.name, p.shape.clone())).collect::<Vec<_>>(),
            [("weight", vec![3, 16]), ("bias", vec![3])]
        );
        assert!(params.iter().all(|p| p.start == Start::Uniform { bound: 0.25 } && p.trainable));
        assert_eq!(build(&json!({"units": 3, "bias": false})).unwrap().params(&[1, 16]).unwrap().len(), 1);
    }

    #[test]
    fn what_it_cannot_take_is_refused() {
        let linear = build(&json!({"units": 3})).unwrap();
        refused(linear.as_ref(), &[5], "[N]");
        refused(linear.as_ref(), &[5, 0], "[N, 0]");
        assert!(build(&json!({"units": 0})).is_err());
        assert!(build(&json!({"units": u64::MAX})).is_err());
    }
}
