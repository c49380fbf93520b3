//! Data sources: what a set is read from, a file per kind.
//!
//! Opening a source finds its samples, their labels and what is missing; samples are decoded one by one by
//! [`Samples::load`], from any thread.

mod block;
mod cifar10;
mod decode;
mod files;
#[cfg(test)]
mod flip;
mod idx;
mod image_folder;
mod npy;
mod npz;
mod packed;

use super::{Family, Row};
use crate::diag::{Code, Diagnostic, Result, nearest};
use crate::world;
use std::path::{Path, PathBuf};

/// What is known about the samples beside their content, one entry a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Nothing.
    None,
    /// One class a sample.
    Classes {
        /// Index into `names`.
        ids: Vec<i64>,
        /// Names of the classes in order of their index.
        names: Vec<String>,
    },
    /// Numbers.
    Values {
        /// Row-major samples × width.
        data: Vec<f32>,
        /// Numbers a sample.
        width: usize,
    },
}

impl Labels {
    /// Names of the classes; none when the labels are not classes.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Classes { names, .. } => names,
            Self::None | Self::Values { .. } => &[],
        }
    }
}

/// What one sample holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Pixels.
    Image(Image),
    /// Numbers.
    Array {
        /// Shape without the samples' axis.
        shape: Vec<usize>,
        /// Row-major; as many numbers as the shape says.
        data: Vec<f32>,
    },
}

/// Pixels of 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height × width × channels.
    pub data: Vec<u8>,
}

/// What is known of all samples before decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemType {
    /// Pixels.
    Image {
        /// Rows, if all samples have as many.
        height: Option<usize>,
        /// Columns, if all samples have as many.
        width: Option<usize>,
        /// 1 or 3.
        channels: usize,
    },
    /// Numbers.
    Array {
        /// Shape without the samples' axis.
        shape: Vec<usize>,
    },
}

/// A data source as a spec writes it.
pub trait Source: Send + Sync {
    /// Finds the samples; relative paths start at `base`, the folder of the spec.
    ///
    /// # Errors
    /// `P0501` for what does not exist, `P0502` for what cannot be read, `P0503` when there is no sample, `P0504` for labels,
    /// `P0506` for columns and arrays.
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>>;
}

/// The samples of an opened source. Indices are below [`Samples::len`].
pub trait Samples: Send + Sync {
    /// Number of samples, at least 1.
    fn len(&self) -> usize;
    /// Whether there is none; an opened source has some.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Their labels, indexed by sample.
    fn labels(&self) -> &Labels;
    /// What every sample is.
    fn item_type(&self) -> ItemType;
    /// How messages call a sample: its path, or its row and the file.
    fn name(&self, index: usize) -> String;
    /// Reads and decodes a sample.
    ///
    /// # Errors
    /// `P0501` or `P0502` with the file and the cause.
    fn load(&self, index: usize) -> Result<Item>;
    /// blake3 of what a sample is made of: equal hashes of one source mean equal items.
    ///
    /// # Errors
    /// As [`Samples::load`].
    fn content(&self, index: usize) -> Result<[u8; 32]>;
}

/// The family of sources.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sources;

impl Family for Sources {
    type Item = dyn Source;
    const NAME: &'static str = "source";
    fn rows() -> &'static [Row<dyn Source>] {
        &[cifar10::ROW, idx::ROW, image_folder::ROW, npz::ROW]
    }
}

/// A file that has to exist.
fn existing_file(base: &Path, path: &str) -> Result<PathBuf> {
    let full = base.join(path);
    if world::is_file(&full) {
        return Ok(full);
    }
    let what = if world::exists(&full) { "is not a file" } else { "does not exist" };
    Err(missing(&full, what))
}

/// A folder that has to exist.
fn existing_folder(base: &Path, path: &str) -> Result<PathBuf> {
    let full = base.join(path);
    if world::is_folder(&full) {
        return Ok(full);
    }
    let what = if world::exists(&full) { "is not a folder" } else { "does not exist" };
    Err(missing(&full, what))
}

/// `P0501`, with the nearest names that do exist beside it.
fn missing(path: &Path, what: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::DataMissing, format!("`{}` {what}", path.display()));
    let beside = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let names: Vec<String> = beside
        .and_then(|folder| world::list_dir(folder).ok())
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let near = nearest(&wanted, names.iter().map(String::as_str).filter(|name| *name != wanted));
    if near.is_empty() {
        diagnostic.help("check the path; relative paths start at the folder of the spec")
    } else {
        diagnostic.help(format!("beside it there is `{}`", near.join("`, `")))
    }
}

/// `P0502`: a file that cannot be decoded, with the cause.
fn corrupt(path: &Path, cause: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(Code::DataCorrupt, format!("cannot decode `{}`", path.display())).note(cause.to_string())
}

/// `P0503`.
fn empty(path: &Path, cause: &str) -> Diagnostic {
    Diagnostic::error(Code::DataEmpty, format!("`{}` holds no samples", path.display())).note(cause)
}

/// Labels from class numbers; the names are `0`, `1`, … up to the largest.
///
/// # Errors
/// `P0504` for a negative number or one that no dataset has.
fn numbered_classes(ids: Vec<i64>, path: &Path) -> Result<Labels> {
    const MOST: i64 = 1_000_000;
    if let Some((row, id)) = ids.iter().enumerate().find(|(_, id)| **id < 0 || **id >= MOST) {
        return Err(Diagnostic::error(Code::LabelRange, format!("`{}` has the class {id}", path.display()))
            .note(format!("first at sample {row}"))
            .help(format!("classes are numbered from 0 and below {MOST}")));
    }
    let count = ids.iter().max().map_or(0, |id| id + 1);
    Ok(Labels::Classes { ids, names: (0..count).map(|id| id.to_string()).collect() })
}
