//! Maximum over windows, as `torch.nn.MaxPool1d`, `2d` and `3d` by the rank of the input.
//!
//! Padding never wins; sizes are rounded down.
//!
//! ```yaml
//! stack: [max_pool: {kernel: 3, stride: 2, padding: 1}]
//! ```

use super::Layer;
use super::window::{Extent, pooling};
use crate::diag::Result;
use crate::ir::{Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Maximum over windows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaxPool {
    /// Size of the window, one number or one for each spatial dimension.
    kernel: Extent,
    /// Distance between two windows; the kernel unless given.
    #[serde(default)]
    stride: Option<Extent>,
    /// Border on each side, at most half the kernel.
    #[serde(default = "none")]
    padding: Extent,
}

fn none() -> Extent {
    Extent::All(0)
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<MaxPool>(config)?))
}

impl Layer for MaxPool {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let window = pooling("max_pool", &self.kernel, self.stride.as_ref(), &self.padding, input)?;
        let sizes = window.slide("max_pool", &input[2..])?;
        Ok(input[..2].iter().copied().chain(sizes).collect())
    }

    fn build(&self, b: &mut Builder, x: ValueId, input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        let attrs = pooling("max_pool", &self.kernel, self.stride.as_ref(), &self.padding, input)?.attrs();
        Ok(b.op_with("MaxPool", &[x], &attrs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::{ops, refused};
    use serde_json::json;

    #[test]
    fn the_stride_is_the_kernel_unless_given() {
        let pool = build(&json!({"kernel": 2})).unwrap();
        assert_eq!(ops(pool.as_ref(), &[1, 3, 9, 8]), (vec![1, 3, 4, 4], vec!["MaxPool".to_owned()]));
        let pool = build(&json!({"kernel": 3, "stride": 2, "padding": 1})).unwrap();
        assert_eq!(ops(pool.as_ref(), &[1, 64, 112, 112]).0, [1, 64, 56, 56]);
        assert_eq!(ops(pool.as_ref(), &[1, 4, 5]).0, [1, 4, 3]);
    }

    #[test]
    fn what_it_cannot_take_is_refused() {
        refused(build(&json!({"kernel": 8})).unwrap().as_ref(), &[1, 3, 7, 7], "window of 8");
        refused(build(&json!({"kernel": 2})).unwrap().as_ref(), &[1, 3], "[N, 3]");
        assert!(build(&json!({"kernel": 2, "padding": 2})).unwrap().shape(&[1, 3, 8, 8]).is_err());
        assert!(build(&json!({"kernel": 2, "stride": 0})).unwrap().shape(&[1, 3, 8, 8]).is_err());
    }
}
