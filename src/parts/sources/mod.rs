//! Data sources.

use super::{Family, Row};
use crate::diag::Result;
use std::path::Path;

/// What a set knows about its samples beside their content.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Nothing.
    None,
    /// One class for each sample.
    Classes {
        /// Class of each sample.
        ids: Vec<i64>,
        /// Name of each class.
        names: Vec<String>,
    },
    /// `width` numbers for each sample.
    Values {
        /// Row after row.
        data: Vec<f32>,
        /// Numbers in a row.
        width: usize,
    },
}

impl Labels {
    /// Class names; empty unless classes.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Classes { names, .. } => names,
            _ => &[],
        }
    }
}

/// A decoded sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// An image.
    Image(Image),
    /// Numbers.
    Array {
        /// Shape without a batch dimension.
        shape: Vec<usize>,
        /// Row-major elements.
        data: Vec<f32>,
    },
}

/// Pixels: height × width × channels, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Bytes of a pixel.
    pub channels: usize,
    /// `height · width · channels` bytes.
    pub data: Vec<u8>,
}

/// What is known about every sample of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemType {
    /// Images; a size that differs between samples is `None`.
    Image {
        /// Rows.
        height: Option<usize>,
        /// Columns.
        width: Option<usize>,
        /// Bytes of a pixel.
        channels: usize,
    },
    /// Numbers.
    Array {
        /// Shape without a batch dimension.
        shape: Vec<usize>,
    },
}

/// A data source.
pub trait Source: Send + Sync {
    /// Indexes the samples; relative paths are below `base`.
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>>;
}

/// An indexed set of samples.
pub trait Samples: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;
    /// No samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Labels of all samples.
    fn labels(&self) -> &Labels;
    /// What every sample looks like.
    fn item_type(&self) -> ItemType;
    /// How messages call sample `i`.
    fn name(&self, i: usize) -> String;
    /// Decodes sample `i`.
    fn load(&self, i: usize) -> Result<Item>;
    /// Hash of the content of sample `i`.
    fn content(&self, i: usize) -> Result<[u8; 32]>;
}

/// The family of sources.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sources;

impl Family for Sources {
    type Item = dyn Source;
    const NAME: &'static str = "source";
    fn rows() -> &'static [Row<dyn Source>] {
        &[]
    }
}
