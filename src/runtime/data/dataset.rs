//! A dataset: some of the samples of a source, in order.

use crate::diag::{Code, Diagnostic, Result};
use crate::parts::sources::{Item, ItemType, Labels, Samples};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A view of the samples of a source. Positions run from 0 to [`Dataset::len`].
pub struct Dataset {
    samples: Arc<dyn Samples>,
    /// Index in the source of each position.
    indices: Vec<usize>,
    /// Samples that could not be read, by index in the source.
    unreadable: Mutex<BTreeMap<usize, Diagnostic>>,
}

impl Dataset {
    /// All samples of a source, or the first `limit`.
    pub fn new(samples: Box<dyn Samples>, limit: Option<usize>) -> Self {
        let count = samples.len().min(limit.unwrap_or(usize::MAX));
        Self::view(Arc::from(samples), (0..count).collect())
    }

    fn view(samples: Arc<dyn Samples>, indices: Vec<usize>) -> Self {
        Self { samples, indices, unreadable: Mutex::new(BTreeMap::new()) }
    }

    /// The samples at some positions, in their order.
    ///
    /// # Errors
    /// `P0009` for a position beyond the end.
    pub fn select(&self, positions: &[usize]) -> Result<Self> {
        let indices = positions.iter().map(|position| self.index(*position)).collect::<Result<_>>()?;
        Ok(Self::view(Arc::clone(&self.samples), indices))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Index in the source of the sample at a position: what keys of random numbers and caches count by.
    ///
    /// # Errors
    /// `P0009` for a position beyond the end.
    pub fn index(&self, position: usize) -> Result<usize> {
        self.indices.get(position).copied().ok_or_else(|| {
            let message = format!("position {position} of a dataset of {} samples", self.len());
            Diagnostic::error(Code::Internal, message)
        })
    }

    /// What every sample is.
    pub fn shape(&self) -> ItemType {
        self.samples.shape()
    }

    /// The labels of all positions in order; class names are the source's.
    pub fn labels(&self) -> Labels {
        match self.samples.labels() {
            Labels::None => Labels::None,
            Labels::Classes { ids, names } => {
                Labels::Classes { ids: self.indices.iter().map(|i| ids[*i]).collect(), names: names.clone() }
            }
            Labels::Values { data, width } => Labels::Values {
                data: self.indices.iter().flat_map(|i| &data[i * width..(i + 1) * width]).copied().collect(),
                width: *width,
            },
        }
    }

    /// Names of the classes, if labels are classes.
    pub fn classes(&self) -> Option<&[String]> {
        match self.samples.labels() {
            Labels::Classes { names, .. } => Some(names),
            _ => None,
        }
    }

    /// The class of a position, if labels are classes.
    pub fn class(&self, position: usize) -> Option<i64> {
        match self.samples.labels() {
            Labels::Classes { ids, .. } => self.indices.get(position).map(|i| ids[*i]),
            _ => None,
        }
    }

    /// The values of a position, if labels are values.
    pub fn values(&self, position: usize) -> Option<&[f32]> {
        match self.samples.labels() {
            Labels::Values { data, width } => self.indices.get(position).map(|i| &data[i * width..(i + 1) * width]),
            _ => None,
        }
    }

    /// Numbers a label has, if labels are values.
    pub fn value_width(&self) -> Option<usize> {
        match self.samples.labels() {
            Labels::Values { width, .. } => Some(*width),
            _ => None,
        }
    }

    /// How messages call the sample at a position.
    pub fn name(&self, position: usize) -> String {
        match self.indices.get(position) {
            Some(i) => self.samples.name(*i),
            None => format!("position {position}"),
        }
    }

    /// blake3 of what the sample at a position is made of.
    ///
    /// # Errors
    /// `P0002` or `P0502` when it cannot be read.
    pub fn content(&self, position: usize) -> Result<[u8; 32]> {
        self.samples.content(self.index(position)?)
    }

    /// Reads and decodes the sample at a position. A decoder that panics is an error like any other.
    ///
    /// # Errors
    /// `P0501` or `P0502` naming the file and the cause.
    pub fn load(&self, position: usize) -> Result<Item> {
        let index = self.index(position)?;
        guarded(&self.samples.name(index), || self.samples.load(index))
    }

    /// Remembers a sample that could not be read.
    pub(super) fn report(&self, position: usize, error: &Diagnostic) {
        if let Some(index) = self.indices.get(position) {
            let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
            unreadable.entry(*index).or_insert_with(|| error.clone());
        }
    }

    /// One warning for every sample that was skipped so far, in the order of the source.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        unreadable
            .values()
            .map(|error| {
                let warning = Diagnostic::warning(error.code(), format!("skipped: {}", error.message()));
                error.notes().iter().fold(warning, Diagnostic::note)
            })
            .collect()
    }
}

/// Runs something that reads foreign bytes; a panic in it becomes `P0502`.
pub(super) fn guarded<T>(name: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Diagnostic::error(Code::DataCorrupt, format!("cannot decode `{name}`"))
            .note(format!("the decoder gave up: {text}")))
    })
}
