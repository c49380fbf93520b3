//! Sizes of a convolution, of whatever rank, in three spatial dimensions: missing ones lead and have size 1.

use super::conv_attributes::ConvAttributes;

/// Sizes and attributes of a convolution from x to dy.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    pub(super) images: usize,
    /// Channels of x.
    pub(super) channels: usize,
    /// Channels of dy.
    pub(super) outputs: usize,
    pub(super) group: usize,
    /// Spatial size of x.
    pub(super) input: [usize; 3],
    /// Spatial size of dy.
    pub(super) output: [usize; 3],
    pub(super) kernel: [usize; 3],
    pub(super) strides: [usize; 3],
    pub(super) dilations: [usize; 3],
    pub(super) begin: [usize; 3],
}

impl Geometry {
    pub(super) fn new(attrs: &ConvAttributes, x: &[usize], dy: &[usize]) -> Result<Self, String> {
        let rank = attrs.kernel.len();
        if x.len() != rank + 2 || dy.len() != rank + 2 || x[0] != dy[0] {
            return Err(format!("x {x:?} and dy {dy:?} for a kernel {:?}", attrs.kernel));
        }
        if !x[1].is_multiple_of(attrs.group) || !dy[1].is_multiple_of(attrs.group) {
            return Err(format!("{} and {} channels in {} groups", x[1], dy[1], attrs.group));
        }
        let spread = |list: &[usize], fill: usize| {
            let mut three = [fill; 3];
            three[3 - rank..].copy_from_slice(list);
            three
        };
        Ok(Self {
            images: x[0],
            channels: x[1],
            outputs: dy[1],
            group: attrs.group,
            input: spread(&x[2..], 1),
            output: spread(&dy[2..], 1),
            kernel: spread(&attrs.kernel, 1),
            strides: spread(&attrs.strides, 1),
            dilations: spread(&attrs.dilations, 1),
            begin: spread(&attrs.begin, 0),
        })
    }

    /// Positions of x in a plane.
    pub(super) fn plane(&self) -> usize {
        self.input.iter().product()
    }

    /// Positions of dy in a plane.
    pub(super) fn positions(&self) -> usize {
        self.output.iter().product()
    }

    /// Taps of the kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Taps of a slice of the kernel across its last two dimensions, with their distances in the input.
    pub(super) fn slice_taps(&self) -> impl Iterator<Item = (usize, [usize; 2])> {
        let (wide, dilations) = (self.kernel[2], [self.dilations[1], self.dilations[2]]);
        (0..self.kernel[1] * wide).map(move |tap| (tap, [tap / wide * dilations[0], tap % wide * dilations[1]]))
    }

    /// Input channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.channels / self.group
    }

    /// Output channels of a group.
    pub(super) fn group_outputs(&self) -> usize {
        self.outputs / self.group
    }

    pub(super) fn x_len(&self) -> usize {
        self.images * self.channels * self.plane()
    }

    pub(super) fn dy_len(&self) -> usize {
        self.images * self.outputs * self.positions()
    }

    pub(super) fn dw_len(&self) -> usize {
        self.outputs * self.group_channels() * self.taps()
    }

    /// Whether the columns of x are its planes themselves: a 1×1 convolution with stride 1 and no pads.
    pub(super) fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.strides == [1; 3] && self.begin == [0; 3] && self.input == self.output
    }

    /// Whether groups are so narrow that a matrix product would be mostly overhead: depthwise convolutions and their like.
    pub(super) fn is_narrow(&self) -> bool {
        narrow(self.group, self.group_channels(), self.group_outputs())
    }

    /// Index of x along dimension `i` for an output position and a tap; `None` in the padding.
    pub(super) fn source(&self, i: usize, at: usize, tap: usize) -> Option<usize> {
        (at * self.strides[i] + tap * self.dilations[i])
            .checked_sub(self.begin[i])
            .filter(|place| *place < self.input[i])
    }

    /// Output positions along the last dimension whose tap lies inside x: a range.
    pub(super) fn inside(&self, tap: usize) -> std::ops::Range<usize> {
        let (offset, begin, stride) = (tap * self.dilations[2], self.begin[2], self.strides[2]);
        let first = begin.saturating_sub(offset).div_ceil(stride);
        let last = (self.input[2] + begin).saturating_sub(offset).div_ceil(stride);
        let last = last.min(self.output[2]);
        first.min(last)..last
    }
}

/// Whether groups of so many input and output channels are narrow.
pub(super) fn narrow(group: usize, channels: usize, outputs: usize) -> bool {
    group > 1 && channels * outputs <= 16
}
