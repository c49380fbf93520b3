//! What lies in a folder, and files opened for reading in parts.
#![expect(clippy::disallowed_methods, reason = "this file is a part of the door to the file system")]

use super::files::failed;
use super::lfs;
use crate::diag::Result;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What a path leads to, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A regular file of so many bytes.
    File(u64),
    /// A folder.
    Folder,
    /// Something else: a socket, a device.
    Other,
}

/// What stands at a path; `None` when nothing does.
pub fn entry(path: &Path) -> Option<Entry> {
    let metadata = fs::metadata(path).ok()?;
    Some(if metadata.is_file() {
        Entry::File(metadata.len())
    } else if metadata.is_dir() {
        Entry::Folder
    } else {
        Entry::Other
    })
}

/// Whether something lies there.
pub fn exists(path: &Path) -> bool {
    entry(path).is_some()
}

/// Whether a regular file, or a link to one, lies there.
pub fn is_file(path: &Path) -> bool {
    matches!(entry(path), Some(Entry::File(_)))
}

/// Whether a folder, or a link to one, lies there.
pub fn is_folder(path: &Path) -> bool {
    entry(path) == Some(Entry::Folder)
}

/// The entries of a folder sorted by name, so that no order of the file system gets in, with `true` for folders (links followed).
pub fn list_entries(path: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let failed = |error: std::io::Error| failed("list", path, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let folder = if kind.is_symlink() { is_folder(&entry.path()) } else { kind.is_dir() };
        found.push((entry.path(), folder));
    }
    found.sort();
    Ok(found)
}

/// The entries of a folder, sorted by name.
pub fn list_dir(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(list_entries(path)?.into_iter().map(|(path, _)| path).collect())
}

/// Opens a file for reading in parts.
pub fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| failed("read", path, &error))?;
    lfs::refuse_file(path, &file)?;
    Ok(file)
}
