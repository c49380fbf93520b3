//! Mean over windows, as `torch.nn.AvgPool1d`, `2d` and `3d` by the rank of the input.
//!
//! Padding counts as zeros unless `count_include_pad` is `false`. Sizes are rounded down, or up with `ceil`; a window that would start
//! behind the input is left out, and what reaches past the padding is not counted.
//!
//! ```yaml
//! stack: [average_pool: 2]
//! ```

use super::Layer;
use super::window::{Extent, Window, pooling};
use crate::diag::Result;
use crate::ir::{Attr, Builder, Tensor, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Mean over windows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AveragePool {
    /// Size of the window, one number or one for each spatial dimension.
    kernel: Extent,
    /// Distance between two windows; the kernel unless given.
    #[serde(default)]
    stride: Option<Extent>,
    /// Border on each side, at most half the kernel.
    #[serde(default = "none")]
    padding: Extent,
    /// Whether zeros of the padding count as elements of the mean.
    #[serde(default = "super::linear::yes")]
    count_include_pad: bool,
    /// Whether sizes are rounded up, so that a window that is cut off at the end counts too.
    #[serde(default)]
    ceil: bool,
}

impl AveragePool {
    /// The window, and the padding behind before it was rounded up.
    fn window(&self, input: &[usize]) -> Result<(Window, Vec<usize>)> {
        let mut window = pooling("average_pool", &self.kernel, self.stride.as_ref(), &self.padding, input)?;
        let after = window.after.clone();
        if self.ceil {
            window.round_up(&input[2..]);
        }
        Ok((window, after))
    }
}

/// For each output, (taps in the input) / (taps in input and padding), where the padding before and behind is `before` and `after`.
fn shares(window: &Window, after: &[usize], sizes: &[usize], outputs: &[usize]) -> Vec<f32> {
    let mut shares = vec![1.0f32];
    for (i, (size, output)) in sizes.iter().zip(outputs).enumerate() {
        let (from, to) = (window.before[i], window.before[i] + size);
        let along = (0..*output).map(|at| {
            let (begin, end) = (at * window.stride[i], at * window.stride[i] + window.kernel[i]);
            let inside = end.min(to).saturating_sub(begin.max(from));
            let counted = end.min(to + after[i]).saturating_sub(begin);
            inside as f32 / counted.max(1) as f32
        });
        let along: Vec<f32> = along.collect();
        shares = shares.iter().flat_map(|share| along.iter().map(move |next| share * next)).collect();
    }
    shares
}

fn none() -> Extent {
    Extent::All(0)
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<AveragePool>(config)?))
}

impl Layer for AveragePool {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let sizes = self.window(input)?.0.slide("average_pool", &input[2..])?;
        Ok(input[..2].iter().copied().chain(sizes).collect())
    }

    fn build(&self, b: &mut Builder, x: ValueId, input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        let (window, after) = self.window(input)?;
        let mut attrs = window.attrs();
        // What was added to round up is no padding that counts: pooling leaves all padding out, and the mean is put right behind it.
        let grown = window.after != after && self.count_include_pad;
        attrs.push(("count_include_pad", Attr::Int(i64::from(self.count_include_pad && !grown))));
        let pooled = b.op_with("AveragePool", &[x], &attrs);
        if !grown || window.before.iter().all(|pad| *pad == 0) {
            return Ok(pooled);
        }
        let sizes = &input[2..];
        let outputs = window.slide("average_pool", sizes)?;
        let shares = shares(&window, &after, sizes, &outputs);
        let shape: Vec<usize> = [1, 1].into_iter().chain(outputs).collect();
        let shares = b.constant(Tensor::new(shape, &shares));
        Ok(b.mul(pooled, shares))
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
        assert_eq!(ops(pool.as_ref(), &[1, 3, 9, 8]), (vec![1, 3, 4, 4], vec!["AveragePool".to_owned()]));
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
