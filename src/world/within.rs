//! Reads ranges of files that an untrusted name points to, and never outside a folder.
#![expect(clippy::disallowed_methods, reason = "this file is a door to the file system")]

use super::lfs::refuse_file;
use crate::diag::{Code, Diagnostic, Result};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// An open file below a folder.
#[derive(Debug)]
pub struct FileWithin {
    file: File,
    path: PathBuf,
    size: u64,
}

/// Opens `folder/relative` once links are followed; `None` when that lies outside the folder or is not a plain file.
pub fn open_within(folder: &Path, relative: &Path) -> Result<Option<FileWithin>> {
    let failed = |path: &Path, error: &std::io::Error| {
        Diagnostic::error(Code::Io, format!("cannot open `{}`", path.display())).note(error.to_string())
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let root = fs::canonicalize(folder).map_err(|error| failed(folder, &error))?;
    let wanted = root.join(relative);
    let path = fs::canonicalize(&wanted).map_err(|error| failed(&wanted, &error))?;
    if !path.starts_with(&root) {
        return Ok(None);
    }
    let meta = fs::metadata(&path).map_err(|error| failed(&path, &error))?;
    if !meta.is_file() {
        return Ok(None);
    }
    let file = File::open(&path).map_err(|error| failed(&path, &error))?;
    refuse_file(&path, &file)?;
    Ok(Some(FileWithin { file, path, size: meta.len() }))
}

impl FileWithin {
    /// Bytes in the file when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes from `offset`; the caller has compared both with [`FileWithin::size`].
    pub fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        let attempt = self.file.seek(SeekFrom::Start(offset)).and_then(|_| {
            let limit = length as u64;
            Read::by_ref(&mut self.file).take(limit).read_to_end(&mut bytes)
        });
        match attempt {
            Ok(got) if got == length => Ok(bytes),
            Ok(got) => Err(Diagnostic::error(Code::Io, format!("`{}` became shorter", self.path.display()))
                .note(format!("{got} of {length} bytes were there"))),
            Err(error) => {
                Err(Diagnostic::error(Code::Io, format!("cannot read `{}`", self.path.display()))
                    .note(error.to_string()))
            }
        }
    }
}
