//! Sizes and paddings of layers that slide a window: convolution and pooling.

use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Attr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A size for every spatial dimension, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Extent {
    /// The same in every spatial dimension.
    All(#[schemars(range(max = 65536))] usize),
    /// One for each spatial dimension.
    Each(Vec<usize>),
}

impl Extent {
    /// A size for each of `rank` dimensions, none below `least`.
    pub(super) fn expand(&self, key: &str, rank: usize, least: usize) -> Result<Vec<usize>> {
        let sizes = match self {
            Extent::All(size) => vec![*size; rank],
            Extent::Each(sizes) => sizes.clone(),
        };
        if sizes.len() != rank {
            return Err(Diagnostic::error(
                Code::ShapeMismatch,
                format!("`{key}` has {} sizes, but the input has {rank} spatial dimensions", sizes.len()),
            )
            .help(format!("write one number for all of them, or a list of {rank}")));
        }
        if let Some(size) = sizes.iter().find(|size| !(least..=65536).contains(*size)) {
            return Err(Diagnostic::error(
                Code::OutOfRange,
                format!("`{key}` must lie between {least} and 65536, not {size}"),
            ));
        }
        Ok(sizes)
    }
}

/// A window with everything known, per spatial dimension.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) before: Vec<usize>,
    pub(super) after: Vec<usize>,
}

impl Window {
    /// Output sizes for input sizes: ⌊(size + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.
    pub(super) fn slide(&self, layer: &str, sizes: &[usize]) -> Result<Vec<usize>> {
        let mut out = Vec::with_capacity(sizes.len());
        for (i, size) in sizes.iter().enumerate() {
            let padded = size + self.before[i] + self.after[i];
            let reach = self.dilation[i] * (self.kernel[i] - 1) + 1;
            if reach > padded {
                let text =
                    format!("`{layer}` slides a window of {reach} over a dimension of {padded}, padding included");
                return Err(Diagnostic::error(Code::ShapeMismatch, text)
                    .note(format!("the spatial sizes of its input are {sizes:?}"))
                    .help("use a smaller `kernel` or more `padding`, or leave the layer out"));
            }
            out.push((padded - reach) / self.stride[i] + 1);
        }
        Ok(out)
    }

    /// Lets sizes be rounded up: the padding behind grows until one more window fits, as long as that window starts inside the input or
    /// the padding before it. That is torch's rule; ONNX Runtime's `ceil_mode` is not relied on.
    pub(super) fn round_up(&mut self, sizes: &[usize]) {
        for (i, size) in sizes.iter().enumerate() {
            let stride = self.stride[i];
            let reach = self.dilation[i] * (self.kernel[i] - 1) + 1;
            let padded = size + self.before[i] + self.after[i] + stride - 1;
            let Some(steps) = padded.checked_sub(reach).map(|room| room / stride) else { continue };
            // The start of the last window, or of the one before it where that one starts behind the input.
            let last = if steps * stride >= size + self.before[i] { steps.saturating_sub(1) } else { steps } * stride;
            self.after[i] = self.after[i].max((last + reach).saturating_sub(size + self.before[i]));
        }
    }

    /// `kernel_shape`, `strides`, `pads` and, where not 1, `dilations`.
    pub(super) fn attrs(&self) -> Vec<(&'static str, Attr)> {
        let ints = |sizes: &[usize]| Attr::Ints(sizes.iter().map(|size| *size as i64).collect());
        let pads: Vec<usize> = self.before.iter().chain(&self.after).copied().collect();
        let mut attrs =
            vec![("kernel_shape", ints(&self.kernel)), ("strides", ints(&self.stride)), ("pads", ints(&pads))];
        if self.dilation.iter().any(|size| *size != 1) {
            attrs.push(("dilations", ints(&self.dilation)));
        }
        attrs
    }
}

/// Window of a pooling layer over `rank` dimensions. As in torch, padding is at most half the kernel, so that no window lies in it.
pub(super) fn pooling(
    layer: &str,
    kernel: &Extent,
    stride: Option<&Extent>,
    padding: &Extent,
    input: &[usize],
) -> Result<Window> {
    let rank = super::spatial(layer, input)?;
    let kernel = kernel.expand("kernel", rank, 1)?;
    let stride = match stride {
        Some(stride) => stride.expand("stride", rank, 1)?,
        None => kernel.clone(),
    };
    let padding = padding.expand("padding", rank, 0)?;
    if let Some((pad, size)) = padding.iter().zip(&kernel).find(|(pad, size)| **pad > **size / 2) {
        let text = format!("`padding` of {pad} is more than half the `kernel` of {size}");
        return Err(Diagnostic::error(Code::OutOfRange, text).help(format!("use at most {}", size / 2)));
    }
    Ok(Window { dilation: vec![1; rank], before: padding.clone(), after: padding, kernel, stride })
}
