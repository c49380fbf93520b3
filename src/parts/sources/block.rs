//! Samples that lie in one array in memory, with their labels.

use super::{Image, Item, ItemType, Labels, Samples, numbered_classes};
use crate::diag::{Code, Diagnostic, Result};
use std::path::{Path, PathBuf};

/// The array.
#[derive(Debug)]
pub(super) enum Block {
    /// Images of one size.
    Bytes { height: usize, width: usize, channels: usize, data: Vec<u8> },
    /// Numbers of one shape.
    Floats { shape: Vec<usize>, data: Vec<f32> },
}

/// Samples of a block.
#[derive(Debug)]
pub(super) struct InMemory {
    path: PathBuf,
    block: Block,
    labels: Labels,
    count: usize,
}

impl InMemory {
    /// Puts a block of `count` samples and its labels together; `path` is what messages name.
    pub(super) fn new(path: &Path, count: usize, block: Block, labels: Labels) -> Result<Self> {
        let labelled = match &labels {
            Labels::None => count,
            Labels::Classes { ids, .. } => ids.len(),
            Labels::Values { data, width } => data.len() / (*width).max(1),
        };
        if count == 0 {
            return Err(Diagnostic::error(Code::DataEmpty, format!("`{}` has no samples", path.display())));
        }
        if labelled != count {
            let message = format!("`{}` has {count} samples, but {labelled} labels", path.display());
            return Err(Diagnostic::error(Code::DataCorrupt, message));
        }
        Ok(Self { path: path.to_owned(), block, labels, count })
    }
}

/// Labels from whole numbers: classes `0`, `1`, ….
pub(super) fn classes(ids: Vec<i64>, path: &Path) -> Result<Labels> {
    let names = numbered_classes(&ids, path)?;
    Ok(Labels::Classes { ids, names })
}

impl Samples for InMemory {
    fn len(&self) -> usize {
        self.count
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn shape(&self) -> ItemType {
        match &self.block {
            Block::Bytes { height, width, channels, .. } => {
                ItemType::Image { h: Some(*height), w: Some(*width), channels: *channels }
            }
            Block::Floats { shape, .. } => ItemType::Array { shape: shape.clone() },
        }
    }
    fn load(&self, i: usize) -> Result<Item> {
        Ok(match &self.block {
            Block::Bytes { height, width, channels, data } => {
                let size = height * width * channels;
                let data = data[i * size..(i + 1) * size].to_vec();
                Item::Image(Image { height: *height, width: *width, channels: *channels, data })
            }
            Block::Floats { shape, data } => {
                let size: usize = shape.iter().product();
                Item::Array { shape: shape.clone(), data: data[i * size..(i + 1) * size].to_vec() }
            }
        })
    }
    fn name(&self, i: usize) -> String {
        format!("{} sample {i}", self.path.display())
    }
    fn content(&self, i: usize) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        match self.load(i)? {
            Item::Image(image) => {
                hasher.update(&image.data);
            }
            Item::Array { data, .. } => {
                for value in data {
                    hasher.update(&value.to_le_bytes());
                }
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }
}
