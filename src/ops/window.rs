//! The window of a convolution or a pooling: kernel, strides, dilations and explicit pads for every spatial dimension.

use super::{Ctx, Result};
use crate::ir::Attr;
use crate::kernels::same_pads;

/// A sliding window over the spatial dimensions of an input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    /// Zeros before each dimension.
    pub(super) begin: Vec<usize>,
    /// Zeros after each dimension; with `ceil_mode` the window may reach past them.
    pub(super) end: Vec<usize>,
}

impl Window {
    /// Reads the attributes of a node; `auto_pad` is resolved for an input of spatial size `input`.
    pub(super) fn read(ctx: &Ctx, kernel: &[usize], input: &[usize]) -> Result<Self> {
        let mut window = Self::read_without_pads(ctx, kernel, input)?;
        let rank = kernel.len();
        let auto_pad = ctx.node.text("auto_pad").unwrap_or("NOTSET");
        match auto_pad {
            "NOTSET" | "" => {
                if let Some(pads) = ctx.node.ints("pads") {
                    let pads: Option<Vec<usize>> = pads.iter().map(|pad| usize::try_from(*pad).ok()).collect();
                    match pads {
                        Some(pads) if pads.len() == 2 * rank => {
                            window.begin = pads[..rank].to_vec();
                            window.end = pads[rank..].to_vec();
                        }
                        _ => {
                            return Err(ctx.unsupported(
                                "pads that are negative or not two for each dimension; `auto_pad` is covered",
                            ));
                        }
                    }
                }
            }
            "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                for (i, size) in input.iter().enumerate().take(rank) {
                    let upper = auto_pad == "SAME_UPPER";
                    let (begin, end) = same_pads(*size, window.strides[i], window.extent(i), upper);
                    (window.begin[i], window.end[i]) = (begin, end);
                }
            }
            other => return Err(ctx.invalid(format!("auto_pad `{other}`"))),
        }
        Ok(window)
    }

    /// Reads strides and dilations, and leaves the pads at 0.
    pub(super) fn read_without_pads(ctx: &Ctx, kernel: &[usize], input: &[usize]) -> Result<Self> {
        let rank = kernel.len();
        if input.len() != rank {
            return Err(ctx.invalid(format!("a kernel of rank {rank} for {} spatial dimensions", input.len())));
        }
        let strides = positive(ctx, "strides", rank)?;
        let dilations = positive(ctx, "dilations", rank)?;
        Ok(Self { kernel: kernel.to_vec(), strides, dilations, begin: vec![0; rank], end: vec![0; rank] })
    }

    /// Input elements from the first to the last tap of the kernel.
    pub(super) fn extent(&self, i: usize) -> usize {
        (self.kernel[i].max(1) - 1) * self.dilations[i] + 1
    }

    /// End pads and output paddings with which a transposed convolution from `output` gives exactly `input`:
    /// what the stride left over is padded, what reaches past the input is cut.
    pub(super) fn transposed(&self, input: &[usize], output: &[usize]) -> (Vec<usize>, Vec<usize>) {
        (0..self.kernel.len())
            .map(|i| {
                let full = (output[i].max(1) - 1) * self.strides[i] + self.extent(i);
                let wanted = input[i] + self.begin[i];
                (full.saturating_sub(wanted), wanted.saturating_sub(full))
            })
            .unzip()
    }

    /// Attributes of a convolution with given end pads.
    pub(super) fn attrs(&self, end: &[usize], group: usize) -> Vec<(&'static str, Attr)> {
        vec![
            ("kernel_shape", ints(&self.kernel)),
            ("strides", ints(&self.strides)),
            ("dilations", ints(&self.dilations)),
            ("pads", ints(&[&self.begin[..], end].concat())),
            ("group", Attr::Int(group as i64)),
        ]
    }
}

/// An integers attribute of sizes.
pub(super) fn ints(sizes: &[usize]) -> Attr {
    Attr::Ints(sizes.iter().map(|size| *size as i64).collect())
}

fn positive(ctx: &Ctx, name: &str, rank: usize) -> Result<Vec<usize>> {
    let Some(given) = ctx.node.ints(name) else { return Ok(vec![1; rank]) };
    let sizes: Option<Vec<usize>> = given.iter().map(|v| usize::try_from(*v).ok().filter(|v| *v > 0)).collect();
    sizes.filter(|sizes| sizes.len() == rank).ok_or_else(|| ctx.invalid(format!("{name} {given:?} for rank {rank}")))
}
