//! Samples that are image files.

use super::{Item, ItemType, Labels, Samples, decode};
use crate::diag::Result;
use crate::world;
use std::path::PathBuf;

/// Most bytes of one image file.
const MOST_BYTES: u64 = 512 << 20;

/// Image files with their labels; as many labels as paths.
pub(super) struct Files {
    /// A file a sample.
    pub(super) paths: Vec<PathBuf>,
    /// One entry a sample.
    pub(super) labels: Labels,
}

impl Samples for Files {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn item_type(&self) -> ItemType {
        ItemType::Image { height: None, width: None, channels: 3 }
    }

    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn load(&self, index: usize) -> Result<Item> {
        let path = &self.paths[index];
        decode::rgb(&world::read_limited(path, MOST_BYTES)?, path).map(Item::Image)
    }

    /// Of the file's bytes: decoding has no options.
    fn content(&self, index: usize) -> Result<[u8; 32]> {
        Ok(*blake3::hash(&world::read_limited(&self.paths[index], MOST_BYTES)?).as_bytes())
    }
}
