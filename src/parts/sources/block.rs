//! Samples of one size that lie in memory one after another.

use super::{Image, Item, ItemType, Labels, Samples};
use crate::diag::Result;

/// The content of all samples.
pub(super) enum Content {
    /// Samples × height × width × channels.
    Images {
        /// Rows of one image.
        height: usize,
        /// Columns of one image.
        width: usize,
        /// 1 or 3.
        channels: usize,
        /// All pixels.
        pixels: Vec<u8>,
    },
    /// Samples × shape.
    Arrays {
        /// Shape of one sample.
        shape: Vec<usize>,
        /// All numbers.
        numbers: Vec<f32>,
    },
}

/// Samples in memory. The makers of a block have checked that content and labels hold `count` samples.
pub(super) struct Block {
    /// Number of samples.
    pub(super) count: usize,
    /// File that messages name.
    pub(super) file: String,
    /// All samples.
    pub(super) content: Content,
    /// One entry a sample.
    pub(super) labels: Labels,
}

impl Samples for Block {
    fn len(&self) -> usize {
        self.count
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn item_type(&self) -> ItemType {
        match &self.content {
            Content::Images { height, width, channels, .. } => {
                ItemType::Image { height: Some(*height), width: Some(*width), channels: *channels }
            }
            Content::Arrays { shape, .. } => ItemType::Array { shape: shape.clone() },
        }
    }

    fn name(&self, index: usize) -> String {
        format!("row {index} of {}", self.file)
    }

    fn load(&self, index: usize) -> Result<Item> {
        Ok(match &self.content {
            Content::Images { height, width, channels, pixels } => Item::Image(Image {
                height: *height,
                width: *width,
                channels: *channels,
                data: nth(pixels, index, height * width * channels).to_vec(),
            }),
            Content::Arrays { shape, numbers } => {
                Item::Array { shape: shape.clone(), data: nth(numbers, index, shape.iter().product()).to_vec() }
            }
        })
    }

    /// Sizes are hashed before the content, so that a 2 × 3 and a 3 × 2 image of equal bytes differ.
    fn content(&self, index: usize) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        match &self.content {
            Content::Images { height, width, channels, pixels } => {
                hasher.update(b"image");
                for size in [height, width, channels] {
                    hasher.update(&(*size as u64).to_le_bytes());
                }
                hasher.update(nth(pixels, index, height * width * channels));
            }
            Content::Arrays { shape, numbers } => {
                hasher.update(b"array");
                for size in shape {
                    hasher.update(&(*size as u64).to_le_bytes());
                }
                let bytes: Vec<u8> =
                    nth(numbers, index, shape.iter().product()).iter().flat_map(|x| x.to_le_bytes()).collect();
                hasher.update(&bytes);
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }
}

fn nth<T>(all: &[T], index: usize, size: usize) -> &[T] {
    &all[index * size..(index + 1) * size]
}
