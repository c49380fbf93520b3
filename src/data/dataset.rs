//! A named dataset: positions into the samples of a source.

use crate::diag::{Code, Diagnostic, Result};
use crate::parts::sources::{Item, ItemType, Labels, Samples};
use crate::spec::OnError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Some of the samples of a source, in a fixed order. Cheap to clone; splits share the samples.
#[derive(Clone)]
pub struct Dataset {
    name: String,
    samples: Arc<dyn Samples>,
    /// Sample of each position; `None` is the first `len` samples.
    chosen: Option<Arc<[usize]>>,
    len: usize,
    /// How many of the first samples the spec takes, before any split.
    declared: usize,
    on_error: OnError,
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset").field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Dataset {
    /// The first `limit` samples of a source, or all of them.
    pub fn new(name: &str, samples: Box<dyn Samples>, limit: Option<usize>, on_error: OnError) -> Self {
        let len = limit.map_or(samples.len(), |limit| limit.min(samples.len()));
        Self { name: name.to_owned(), samples: samples.into(), chosen: None, len, declared: len, on_error }
    }

    /// Other positions of the same samples; `chosen` holds samples.
    pub(super) fn part(&self, name: &str, chosen: Vec<usize>) -> Self {
        Self { name: name.to_owned(), len: chosen.len(), chosen: Some(chosen.into()), ..self.clone() }
    }

    /// The dataset as the spec declares it, from which a split may have taken this.
    #[must_use]
    pub fn declared(&self) -> Self {
        Self { chosen: None, len: self.declared, ..self.clone() }
    }

    /// Its name in the spec.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No positions.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What happens to samples that cannot be read.
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The sample at a position below [`Dataset::len`]: an index into [`Dataset::labels`] that no split or limit changes.
    pub fn sample(&self, position: usize) -> usize {
        self.chosen.as_ref().map_or(position, |chosen| chosen[position])
    }

    /// Labels of all samples of the source, by sample.
    pub fn labels(&self) -> &Labels {
        self.samples.labels()
    }

    /// What every sample looks like.
    pub fn item_type(&self) -> ItemType {
        self.samples.shape()
    }

    /// How messages call the sample at a position.
    pub fn sample_name(&self, position: usize) -> String {
        self.samples.name(self.sample(position))
    }

    /// What the sample at a position is called inside its source, on any machine.
    pub fn entry(&self, position: usize) -> String {
        self.samples.entry(self.sample(position))
    }

    /// Hash of the content of the sample at a position.
    pub fn content(&self, position: usize) -> Result<[u8; 32]> {
        let sample = self.sample_at(position)?;
        guarded(|| self.samples.content(sample)).unwrap_or_else(|| Err(self.panicked(position)))
    }

    /// Decodes the sample at a position. A panic of the decoder is an error of the sample.
    ///
    /// # Errors
    /// `P0502` and whatever else the source says.
    pub fn load(&self, position: usize) -> Result<Item> {
        let sample = self.sample_at(position)?;
        guarded(|| self.samples.load(sample)).unwrap_or_else(|| Err(self.panicked(position)))
    }

    fn sample_at(&self, position: usize) -> Result<usize> {
        if position < self.len {
            return Ok(self.sample(position));
        }
        let message = format!("position {position} of dataset `{}`, which has {} samples", self.name, self.len);
        Err(Diagnostic::error(Code::Internal, message))
    }

    fn panicked(&self, position: usize) -> Diagnostic {
        Diagnostic::error(Code::DataCorrupt, format!("the decoder gave up on `{}`", self.sample_name(position)))
    }
}

/// What a closure returns, `None` when it panics: decoders of other people meet files of other people.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Arrays [sample, sample + 0.5]; `broken` ones cannot be read, `panics` panic, `odd` have three numbers.
    #[derive(Debug, Default)]
    pub(crate) struct Numbers {
        pub(crate) len: usize,
        pub(crate) broken: Vec<usize>,
        pub(crate) panics: Vec<usize>,
        pub(crate) odd: Vec<usize>,
        pub(crate) labels: Option<Labels>,
    }

    impl Samples for Numbers {
        fn len(&self) -> usize {
            self.len
        }
        fn labels(&self) -> &Labels {
            self.labels.as_ref().unwrap_or(&Labels::None)
        }
        fn shape(&self) -> ItemType {
            ItemType::Array { shape: vec![2] }
        }
        fn name(&self, i: usize) -> String {
            format!("number {i}")
        }
        fn load(&self, i: usize) -> Result<Item> {
            assert!(!self.panics.contains(&i), "a decoder that panics");
            if self.broken.contains(&i) {
                return Err(Diagnostic::error(Code::DataCorrupt, format!("number {i} is broken")));
            }
            let mut data = vec![i as f32, i as f32 + 0.5];
            if self.odd.contains(&i) {
                data.push(0.0);
            }
            Ok(Item::Array { shape: vec![data.len()], data })
        }
        fn content(&self, i: usize) -> Result<[u8; 32]> {
            Ok([i as u8; 32])
        }
    }

    #[test]
    fn a_limit_takes_the_first() {
        let samples = || Box::new(Numbers { len: 5, panics: vec![1], ..Numbers::default() });
        let set = Dataset::new("a", samples(), Some(2), OnError::Stop);
        assert_eq!((set.len(), set.sample(1), set.is_empty()), (2, 1, false));
        assert_eq!(Dataset::new("a", samples(), Some(9), OnError::Stop).len(), 5);
        assert_eq!(set.load(0).unwrap(), Item::Array { shape: vec![2], data: vec![0.0, 0.5] });
        assert_eq!(set.load(1).unwrap_err().code().id(), "P0502");
        assert_eq!(set.load(2).unwrap_err().code().id(), "P0009");
    }
}
