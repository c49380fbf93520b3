//! A sample before it is a tensor, and what is known of it before it is read.

use crate::diag::{Code, Diagnostic, Result};

/// Decoded pixels: u8, row-major height × width × channels, 1 (grey) or 3 (RGB) channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// height · width · channels bytes.
    pub data: Vec<u8>,
}

impl Image {
    /// An image of one value.
    pub fn filled(height: usize, width: usize, channels: usize, value: u8) -> Self {
        Self { height, width, channels, data: vec![value; height * width * channels] }
    }

    /// Bytes of a row.
    pub fn stride(&self) -> usize {
        self.width * self.channels
    }
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Pixels.
    Image(Image),
    /// Numbers, row-major, without the batch dimension.
    Array {
        /// Dimensions.
        shape: Vec<usize>,
        /// As many numbers as the shape says.
        data: Vec<f32>,
    },
}

impl Item {
    /// What kind of item it is, with all sizes known.
    pub fn ty(&self) -> ItemType {
        match self {
            Self::Image(image) => {
                ItemType::Image { h: Some(image.height), w: Some(image.width), channels: image.channels }
            }
            Self::Array { shape, .. } => ItemType::Array { shape: shape.clone() },
        }
    }

    /// The pixels, for a transform that works on nothing else.
    ///
    /// # Errors
    /// `P0505` naming the transform.
    pub fn into_image(self, transform: &str) -> Result<Image> {
        match self {
            Self::Image(image) => Ok(image),
            Self::Array { .. } => Err(needs_image(transform)),
        }
    }
}

/// What is known of an item before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemType {
    /// Pixels; `None` where the size differs from sample to sample.
    Image {
        /// Rows.
        h: Option<usize>,
        /// Columns.
        w: Option<usize>,
        /// 1 or 3.
        channels: usize,
    },
    /// Numbers.
    Array {
        /// Dimensions without the batch.
        shape: Vec<usize>,
    },
}

impl ItemType {
    /// Height, width and channels, for a transform that works on nothing but images.
    ///
    /// # Errors
    /// `P0505` naming the transform.
    pub fn image(&self, transform: &str) -> Result<(Option<usize>, Option<usize>, usize)> {
        match self {
            Self::Image { h, w, channels } => Ok((*h, *w, *channels)),
            Self::Array { .. } => Err(needs_image(transform)),
        }
    }
}

fn needs_image(transform: &str) -> Diagnostic {
    Diagnostic::error(Code::DataShape, format!("`{transform}` works on images, but an array reaches it"))
        .help("put it before `to_tensor`, or leave it out for data that is no image")
}
