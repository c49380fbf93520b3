//! Softmax over one dimension.
//!
//! y = e^x / Σe^x. `cross_entropy` takes raw scores, so no branch that feeds it should end in it.
//!
//! ```yaml
//! stack: [linear: 10, softmax]
//! ```

use super::{Layer, refuse};
use crate::diag::Result;
use crate::ir::{Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

fn last() -> i64 {
    -1
}

/// Softmax over one dimension.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Softmax {
    /// Dimension, negative ones counted from the end; the batch (0) is not allowed.
    #[serde(default = "last")]
    axis: i64,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<Softmax>(config)?))
}

impl Layer for Softmax {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let rank = input.len() as i64;
        let axis = if self.axis < 0 { self.axis.saturating_add(rank) } else { self.axis };
        if (1..rank).contains(&axis) {
            return Ok(input.to_vec());
        }
        let needs = format!("a dimension {} that is not the batch", self.axis);
        Err(refuse("softmax", &needs, input))
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        Ok(b.softmax(x, self.axis))
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
        assert_eq!(ops(layer.as_ref(), &[2, 3, 4]), (vec![2, 3, 4], vec!["Softmax".to_owned()]));
        assert!(build(&json!({"inplace": true})).is_err());
    }

    #[test]
    fn the_batch_is_never_mixed() {
        refused(build(&json!({"axis": 0})).unwrap().as_ref(), &[2, 3], "not the batch");
        refused(build(&json!({"axis": -2})).unwrap().as_ref(), &[2, 3], "not the batch");
        refused(build(&json!({"axis": 2})).unwrap().as_ref(), &[2, 3], "[N, 3]");
        refused(build(&json!({"axis": i64::MIN})).unwrap().as_ref(), &[2, 3], "[N, 3]");
    }
}
