//! Data sources: what a set is read from, a file per kind.
//!
//! Opening a source indexes it and finds what is missing; samples are decoded one by one by [`Samples::load`], from any thread.

mod archive;
mod block;
mod cifar10;
mod csv;
mod decode;
mod guess;
mod idx;
mod image_files;
mod image_folder;
mod item;
mod npy;
mod npz;
mod table;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use guess::{Guess, guess};
pub use item::{Image, Item, ItemType};

use super::{Family, Row};
use crate::diag::{Code, Diagnostic, Result};
use crate::world::{self, Entry};
use std::path::{Path, PathBuf};

/// What is known about the samples beside their content; one entry a sample.
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
    /// Names of the classes; empty where there are none.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Classes { names, .. } => names,
            _ => &[],
        }
    }
}

/// What a source says of its samples without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// The files decide.
    Unknown,
    /// Numbers, in a shape that the files decide.
    Numbers,
    /// All that is known of them when the files are there.
    Item(ItemType),
}

/// A data source as a spec writes it.
pub trait Source: Send + Sync {
    /// Indexes the samples; relative paths start at `base`, the folder of the spec.
    ///
    /// # Errors
    /// `P0501` for what does not exist, `P0502` for what cannot be read, `P0503` when there is no sample, `P0504` for labels,
    /// `P0506` for columns.
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>>;
    /// What its samples are before any file is read.
    fn declares(&self) -> Declared {
        Declared::Unknown
    }
    /// Files that it names one by one, from `base`: tables and archives. Those that a folder holds are not among them.
    fn files(&self, base: &Path) -> Vec<PathBuf>;
}

/// The samples of an opened source.
pub trait Samples: Send + Sync {
    /// Number of samples, at least 1.
    fn len(&self) -> usize;
    /// Whether there is none; an opened source has some.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Their labels.
    fn labels(&self) -> &Labels;
    /// What every sample is.
    fn shape(&self) -> ItemType;
    /// Reads and decodes sample `i`.
    ///
    /// # Errors
    /// `P0501` or `P0502` naming the file and the cause.
    fn load(&self, i: usize) -> Result<Item>;
    /// How messages call sample `i`: its path, or the file and its index.
    fn name(&self, i: usize) -> String;
    /// What sample `i` is called inside the source, wherever the data lies: its path below the folder of the images, or its position.
    fn entry(&self, i: usize) -> String {
        i.to_string()
    }
    /// blake3 of what sample `i` is made of, for content keys: equal hashes mean equal items.
    ///
    /// # Errors
    /// As [`Samples::load`].
    fn content(&self, i: usize) -> Result<[u8; 32]>;
}

/// The family of sources.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sources;

impl Family for Sources {
    type Item = dyn Source;
    const NAME: &'static str = "source";
    fn rows() -> &'static [Row<dyn Source>] {
        &[cifar10::ROW, csv::ROW, idx::ROW, image_folder::ROW, npz::ROW]
    }
}

/// A file that has to exist; its path and its size.
fn existing_file(base: &Path, path: &str) -> Result<(PathBuf, u64)> {
    let full = base.join(path);
    match world::entry(&full) {
        Some(Entry::File(size)) => Ok((full, size)),
        Some(_) => Err(missing(&full, "is not a file")),
        None => Err(missing(&full, "does not exist")),
    }
}

/// A folder that has to exist.
fn existing_folder(base: &Path, path: &str) -> Result<PathBuf> {
    let full = base.join(path);
    match world::entry(&full) {
        Some(Entry::Folder) => Ok(full),
        Some(_) => Err(missing(&full, "is not a folder")),
        None => Err(missing(&full, "does not exist")),
    }
}

fn missing(path: &Path, what: &str) -> Diagnostic {
    Diagnostic::error(Code::DataMissing, format!("`{}` {what}", path.display()))
        .help("check the path; relative paths start at the folder of the spec")
}

/// Bytes of an array; `None` when its dimensions overflow, those beside a zero included: they are multiplied without it elsewhere.
fn bytes_of(shape: &[usize], size: usize) -> Option<usize> {
    let rest = shape.iter().filter(|dim| **dim != 0).try_fold(size, |n, dim| n.checked_mul(*dim))?;
    Some(if shape.contains(&0) { 0 } else { rest })
}

/// A file that cannot be decoded, with the cause.
fn corrupt(path: &Path, cause: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error(Code::DataCorrupt, format!("cannot decode `{}`", path.display())).note(cause.to_string())
}

/// The class names `0`, `1`, … up to the largest index.
///
/// # Errors
/// `P0504` for a negative index or one that no dataset has.
fn numbered_classes(ids: &[i64], path: &Path) -> Result<Vec<String>> {
    const MOST: i64 = 1_000_000;
    if let Some((row, id)) = ids.iter().enumerate().find(|(_, id)| **id < 0 || **id >= MOST) {
        return Err(Diagnostic::error(Code::LabelRange, format!("`{}` has the class {id}", path.display()))
            .note(format!("first at sample {row}; classes are numbered from 0")));
    }
    let count = ids.iter().max().map_or(0, |id| id + 1);
    Ok((0..count).map(|id| id.to_string()).collect())
}
