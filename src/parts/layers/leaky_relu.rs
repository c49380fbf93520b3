//! Rectified linear unit with a slope below zero, elementwise.
//!
//! y = x for x ≥ 0, slope·x below.
//! Source: Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
//!
//! ```yaml
//! stack: [linear: 256, leaky_relu: 0.2]
//! ```

use super::Layer;
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

fn slope() -> f32 {
    0.01
}

/// Rectified linear unit with a slope below zero.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeakyRelu {
    /// Slope below zero.
    #[serde(default = "slope")]
    slope: f32,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<LeakyRelu>(config)?))
}

impl Layer for LeakyRelu {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        Ok(b.op_with("LeakyRelu", &[x], &[("alpha", Attr::Float(self.slope))]))
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
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["LeakyRelu".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }
}
