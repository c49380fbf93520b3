//! A sample inside a graph that is being built: what the emitted transforms hand on.

use super::shape_error;
use crate::diag::Result;
use crate::ir::{Builder, DType, ValueId};

/// A value of shape [1, C, H, W] in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emitted {
    /// The value.
    pub value: ValueId,
    /// C.
    pub channels: usize,
    /// Whether it still is an image: whole numbers in 0..=255. `to_tensor` ends that.
    pub pixels: bool,
}

impl Emitted {
    /// From a uint8 value of shape [1, H, W, channels].
    pub fn image(b: &mut Builder, image: ValueId, channels: usize) -> Self {
        let value = b.cast(image, DType::F32);
        Self { value: b.transpose(value, &[0, 3, 1, 2]), channels, pixels: true }
    }

    /// The same kind of sample as another value.
    #[must_use]
    pub(super) fn with(self, value: ValueId) -> Self {
        Self { value, ..self }
    }

    /// Itself, when it still is an image.
    pub(super) fn expect_pixels(self, kind: &str) -> Result<Self> {
        if self.pixels {
            return Ok(self);
        }
        Err(shape_error(format!("`{kind}` takes images, and `to_tensor` stands before it")))
    }

    /// Height and width as int64 values of shape [1].
    pub(super) fn sides(self, b: &mut Builder) -> (ValueId, ValueId) {
        let shape = b.op("Shape", &[self.value]);
        (b.slice(shape, &[2], &[3], &[0], &[1]), b.slice(shape, &[3], &[4], &[0], &[1]))
    }
}
