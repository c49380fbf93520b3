//! Files that grow by lines.
#![expect(clippy::disallowed_methods, reason = "this file is a door to the file system")]

use crate::diag::{Code, Diagnostic, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// An open file that lines are appended to.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LineFile {
    /// A new, empty file, in place of an old one.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().write(true).create(true).truncate(true))
    }

    /// A file that is continued; made if it is not there.
    pub fn append(path: &Path) -> Result<Self> {
        Self::open(path, OpenOptions::new().append(true).create(true))
    }

    fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        match options.open(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file: BufWriter::new(file) }),
            Err(error) => Err(failed(path, &error)),
        }
    }

    /// Adds a line; it reaches the file at the latest with [`LineFile::flush`].
    pub fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.file, "{text}").map_err(|error| failed(&self.path, &error))
    }

    /// Hands all lines to the operating system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(Code::Io, format!("cannot write `{}`", path.display())).note(error.to_string())
}
