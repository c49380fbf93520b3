//! Mean over all spatial dimensions: [N, C, size…] becomes [N, C].
//!
//! Source: Lin, Chen, Yan, "Network in network", 2014.
//!
//! ```yaml
//! stack: [global_average_pool, linear: 10]
//! ```

use super::{Layer, refuse, spatial};
use crate::diag::Result;
use crate::ir::{Attr, Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Mean over all spatial dimensions: [N.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GlobalAveragePool {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<GlobalAveragePool>(config)?))
}

impl Layer for GlobalAveragePool {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        spatial("global_average_pool", input)?;
        if input[2..].contains(&0) {
            return Err(refuse("global_average_pool", "spatial dimensions that are not empty", input));
        }
        Ok(input[..2].to_vec())
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        let pooled = b.op("GlobalAveragePool", &[x]);
        Ok(b.op_with("Flatten", &[pooled], &[("axis", Attr::Int(1))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::{ops, refused};
    use serde_json::json;

    #[test]
    fn only_batch_and_channels_are_left() {
        let pool = build(&json!({})).unwrap();
        assert_eq!(ops(pool.as_ref(), &[5, 3, 4, 2]).0, [5, 3]);
        assert_eq!(ops(pool.as_ref(), &[5, 3, 4]).1, ["GlobalAveragePool", "Flatten"]);
        refused(pool.as_ref(), &[5, 3], "[N, 3]");
        refused(pool.as_ref(), &[5, 3, 0], "[N, 3, 0]");
    }
}
