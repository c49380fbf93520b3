//! The tree hash of a dataset: one number for all that its samples are, the same on every machine.
//!
//! blake3 over the samples in order: what each is called inside its source, the hash of its content, its label. Where the data lies, times
//! of files and the number of threads do not count.

use super::Dataset;
use crate::diag::{Code, Result};
use crate::parts::sources::Labels;
use crate::spec::OnError;
use rayon::prelude::*;

/// Stands before everything else, so that another way of hashing gives other numbers.
const PREFIX: &[u8] = b"pipe tree 1\n";

impl Dataset {
    /// The tree hash of its samples in the order of its positions; those of a split differ from those of the whole.
    ///
    /// # Errors
    /// `P0007` where a git-lfs pointer stands for a file, `P0002` and whatever else the source says when a sample cannot be read.
    pub fn digest(&self) -> Result<blake3::Hash> {
        let content = |position: usize| match self.content(position) {
            // A run goes on without it; one that was not fetched was not meant to be skipped.
            Err(problem) if self.on_error() == OnError::Skip && problem.code() != Code::LfsPointer => Ok([0; 32]),
            content => content,
        };
        let contents: Vec<[u8; 32]> = (0..self.len()).into_par_iter().map(content).collect::<Result<_>>()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(PREFIX);
        number(&mut hasher, self.len());
        for name in self.labels().names() {
            text(&mut hasher, name);
        }
        for (position, content) in contents.iter().enumerate() {
            text(&mut hasher, &self.entry(position));
            hasher.update(content);
            self.label(&mut hasher, self.sample(position));
        }
        Ok(hasher.finalize())
    }

    fn label(&self, hasher: &mut blake3::Hasher, sample: usize) {
        match self.labels() {
            Labels::None => {
                hasher.update(b"-");
            }
            Labels::Classes { ids, .. } => {
                hasher.update(b"c");
                if let Some(id) = ids.get(sample) {
                    hasher.update(&id.to_le_bytes());
                }
            }
            Labels::Values { data, width } => {
                hasher.update(b"v");
                number(hasher, *width);
                for value in data.iter().skip(sample * width).take(*width) {
                    hasher.update(&value.to_le_bytes());
                }
            }
        }
    }
}

fn number(hasher: &mut blake3::Hasher, number: usize) {
    hasher.update(&(number as u64).to_le_bytes());
}

/// With its length, so that no two lists of texts run together to the same bytes.
fn text(hasher: &mut blake3::Hasher, text: &str) {
    number(hasher, text.len());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::Numbers;

    fn set(len: usize, labels: Option<Labels>) -> Dataset {
        Dataset::new("a", Box::new(Numbers { len, labels, ..Numbers::default() }), None, OnError::Stop)
    }

    fn classes(ids: &[i64], names: &[&str]) -> Labels {
        Labels::Classes { ids: ids.to_vec(), names: names.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn samples_their_order_and_their_labels_count() {
        let digest = |set: &Dataset| set.digest().unwrap().to_hex().to_string();
        let labels = |ids: &[i64]| Some(classes(ids, &["x", "y"]));
        let three = set(3, labels(&[0, 1, 0]));
        let mut all = vec![digest(&three)];
        all.push(digest(&set(2, labels(&[0, 1]))));
        all.push(digest(&set(3, None)));
        all.push(digest(&set(3, labels(&[0, 1, 1]))));
        all.push(digest(&set(3, Some(classes(&[0, 1, 0], &["xy", ""])))));
        all.push(digest(&set(3, Some(Labels::Values { data: vec![0.0, 1.0, 0.0], width: 1 }))));
        all.push(digest(&three.part("b", vec![1, 0, 2])));
        all.push(digest(&three.part("b", vec![0, 2])));
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(digest(&three.part("b", vec![0, 1])), all[1], "the first two are what they are");
        assert_eq!(digest(&three.part("b", vec![1])), digest(&three.part("c", vec![1])), "its own name does not");
        assert_eq!(digest(&three.part("b", vec![1]).declared()), all[0]);
    }

    /// The number that this library gave when the hash was made: a change of it makes every lock file old.
    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        let digest = set(3, Some(classes(&[0, 1, 0], &["x", "y"]))).digest().unwrap();
        assert_eq!(digest.to_hex().as_str(), "967b345523c3e81f2d4fb5b66fa6e341f6bca3eaa8c3bb226dac715e7258f016");
    }
}
