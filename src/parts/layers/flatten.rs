//! Joins all dimensions but the batch: [N, a, b, …] becomes [N, a·b·…].
//!
//! Elements keep their row-major order.
//!
//! ```yaml
//! stack: [flatten, linear: 10]
//! ```

use super::{Layer, refuse};
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Joins all dimensions but the batch: [N.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Flatten {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<Flatten>(config)?))
}

impl Layer for Flatten {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let Some((batch, rest)) = input.split_first() else {
            return Err(refuse("flatten", "[N, …]", input));
        };
        let units = rest.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        Ok(vec![*batch, units.ok_or_else(|| refuse("flatten", "fewer elements", input))?])
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        Ok(b.op_with("Flatten", &[x], &[("axis", Attr::Int(1))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::{ops, refused};
    use serde_json::json;

    #[test]
    fn everything_but_the_batch_is_joined() {
        let flatten = build(&json!({})).unwrap();
        assert_eq!(ops(flatten.as_ref(), &[5, 3, 4, 2]), (vec![5, 24], vec!["Flatten".to_owned()]));
        assert_eq!(ops(flatten.as_ref(), &[5]).0, [5, 1]);
        refused(flatten.as_ref(), &[], "[]");
        refused(flatten.as_ref(), &[1, usize::MAX, 2], "fewer elements");
    }
}
