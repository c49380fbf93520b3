//! What lies in a folder, and files opened for reading in parts.
#![expect(clippy::disallowed_methods, reason = "this file is a part of the door to the file system")]

use crate::diag::{Code, Diagnostic, Result};
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

/// The entries of a folder sorted by name, with `true` for folders (links followed).
pub fn list_entries(path: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let failed = |error: std::io::Error| {
        Diagnostic::error(Code::Io, format!("cannot list `{}`", path.display())).note(error.to_string())
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let folder = if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() };
        found.push((entry.path(), folder));
    }
    found.sort();
    Ok(found)
}

/// Opens a file for reading in parts.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        Diagnostic::error(Code::Io, format!("cannot read `{}`", path.display())).note(error.to_string())
    })
}
