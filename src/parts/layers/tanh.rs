//! Hyperbolic tangent, elementwise.
//!
//! y = tanh x.
//!
//! ```yaml
//! stack: [linear: 256, tanh]
//! ```

use super::Layer;
use crate::diag::Result;
use crate::ir::{Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Hyperbolic tangent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tanh {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<Tanh>(config)?))
}

impl Layer for Tanh {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        Ok(b.tanh(x))
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
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["Tanh".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }
}
