//! Maximum over windows, as `torch.nn.MaxPool1d`, `2d` and `3d` by the rank of the input.
//!
//! Padding never wins. Sizes are rounded down, or up with `ceil`; a window that would start behind the input is left out.
//!
//! ```yaml
//! stack: [max_pool: {kernel: 3, stride: 2, padding: 1}]
//! ```

use super::Layer;
use super::window::{Extent, Window, pooling};
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
    /// Whether sizes are rounded up, so that a window that is cut off at the end counts too.
    #[serde(default)]
    ceil: bool,
}

impl MaxPool {
    fn window(&self, input: &[usize]) -> Result<Window> {
        let mut window = pooling("max_pool", &self.kernel, self.stride.as_ref(), &self.padding, input)?;
        if self.ceil {
            window.round_up(&input[2..]);
        }
        Ok(window)
    }
}

fn none() -> Extent {
    Extent::All(0)
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<MaxPool>(config)?))
}

impl Layer for MaxPool {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let sizes = self.window(input)?.slide("max_pool", &input[2..])?;
        Ok(input[..2].iter().copied().chain(sizes).collect())
    }

    fn build(&self, b: &mut Builder, x: ValueId, input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        Ok(b.op_with("MaxPool", &[x], &self.window(input)?.attrs()))
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
    fn sizes_are_rounded_as_torch_rounds_them() {
        // for n in 1 2 3 5 6 7, kernel in 1 2 3 4, stride in 1 2 3 5, padding in 0 … kernel // 2:
        // torch.nn.functional.max_pool1d(torch.ones(1, 1, n), kernel, stride, padding, ceil_mode=True).shape[-1], 0 where it is refused.
        let mut expected = TORCH_CEIL.bytes().map(|digit| usize::from(digit - b'0'));
        for n in [1, 2, 3, 5, 6, 7] {
            for kernel in 1..=4 {
                for stride in [1, 2, 3, 5] {
                    for padding in (0..=2).filter(|padding| *padding <= kernel / 2) {
                        let config = json!({"kernel": kernel, "stride": stride, "padding": padding, "ceil": true});
                        let shape = build(&config).unwrap().shape(&[1, 1, n]);
                        let torch = expected.next().unwrap();
                        assert_eq!(shape.map_or(0, |shape| shape[2]), torch, "{n} {config}");
                    }
                }
            }
        }
        assert_eq!(expected.next(), None);
    }

    #[test]
    fn what_it_cannot_take_is_refused() {
        refused(build(&json!({"kernel": 8})).unwrap().as_ref(), &[1, 3, 7, 7], "window of 8");
        refused(build(&json!({"kernel": 2})).unwrap().as_ref(), &[1, 3], "[N, 3]");
        assert!(build(&json!({"kernel": 2, "padding": 2})).unwrap().shape(&[1, 3, 8, 8]).is_err());
        assert!(build(&json!({"kernel": 2, "stride": 0})).unwrap().shape(&[1, 3, 8, 8]).is_err());
    }

    const TORCH_CEIL: &str = "111102111111010111110020120111112111131211110212111101301211211132112422121113121211024123122111\
        532146332212352322122462342231226322573423224634232235723423322274326844332257343322468345233222";
}
