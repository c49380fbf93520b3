//! Logistic function, elementwise.
//!
//! y = 1/(1 + e^−x). Losses take raw scores, so no branch should end in it.
//!
//! ```yaml
//! stack: [linear: 256, sigmoid]
//! ```

use super::Layer;
use crate::diag::Result;
use crate::ir::{Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Logistic function.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sigmoid {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<Sigmoid>(config)?))
}

impl Layer for Sigmoid {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        Ok(b.sigmoid(x))
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
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["Sigmoid".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }
}
