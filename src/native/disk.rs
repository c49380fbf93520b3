//! A folder of made-up files for the tests of what is searched.

use crate::world;
use std::path::PathBuf;

/// How a library of Linux begins.
pub(super) const ELF: &[u8] = b"\x7fELF\x02\x01\x01";

/// A folder that is deleted in the end.
pub(super) struct Disk(tempfile::TempDir);

impl Disk {
    pub(super) fn new() -> Self {
        Self(world::scratch_folder().unwrap())
    }

    /// A path below it.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes a file, and the folders above it.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.at(path);
        world::create_dir_all(path.parent().unwrap()).unwrap();
        world::write_atomic(&path, |out| out.write_all(bytes)).unwrap();
        path
    }
}
