//! Samples that are image files, whatever listed them.

use super::{Item, ItemType, Labels, Samples, decode};
use crate::diag::Result;
use crate::world;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Image files and their labels.
pub(super) struct ImageFiles {
    /// The folder that the paths start from.
    pub(super) root: PathBuf,
    pub(super) paths: Vec<PathBuf>,
    pub(super) labels: Labels,
}

impl Samples for ImageFiles {
    fn len(&self) -> usize {
        self.paths.len()
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn shape(&self) -> ItemType {
        ItemType::Image { h: None, w: None, channels: 3 }
    }
    fn load(&self, i: usize) -> Result<Item> {
        let path = &self.paths[i];
        Ok(Item::Image(decode(&world::read(path)?, path)?))
    }
    fn name(&self, i: usize) -> String {
        self.paths[i].display().to_string()
    }
    fn entry(&self, i: usize) -> String {
        let path = &self.paths[i];
        // A path of a table may lead out of the folder; where to is this machine's affair.
        let inside = path.strip_prefix(&self.root).ok().or(path.file_name().map(Path::new)).unwrap_or(path);
        inside.iter().map(OsStr::to_string_lossy).collect::<Vec<_>>().join("/")
    }
    fn content(&self, i: usize) -> Result<[u8; 32]> {
        world::digest(&self.paths[i])
    }
}
