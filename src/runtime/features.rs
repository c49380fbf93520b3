//! Features of the frozen prefix, computed once for each sample and read by every later epoch, phase and run (DESIGN D6).
//!
//! A file of the cache holds one record a sample: the f32 values of the cut, one after the other, row-major; then a JSON footer, its
//! length (u64, little-endian) and a magic number. What lies where is the business of [`crate::world::Store`].

use crate::diag::{Code, Diagnostic, Result};
use crate::plan::FEATURE_ENTRIES;
use crate::world::{Mapped, Store, StoreKey as Key};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"pipefeat";

#[derive(Debug, Serialize, Deserialize)]
struct Footer {
    samples: usize,
    shapes: Vec<Vec<usize>>,
    /// Samples that could not be read and weigh nothing.
    skipped: Vec<usize>,
}

/// Cached features of one dataset.
#[derive(Debug)]
pub(super) struct Features {
    mapped: Mapped,
    footer: Footer,
}

impl Features {
    /// Opens an entry; `None` when there is none or it is not whole.
    pub(super) fn open(store: &Store, key: &Key, samples: usize, shapes: &[Vec<usize>]) -> Option<Self> {
        let mapped = store.open(FEATURE_ENTRIES, key)?;
        let bytes = mapped.bytes();
        let tail = bytes.len().checked_sub(16)?;
        if &bytes[tail + 8..] != MAGIC {
            return None;
        }
        let length = usize::try_from(u64::from_le_bytes(bytes[tail..tail + 8].try_into().ok()?)).ok()?;
        let start = tail.checked_sub(length)?;
        let footer: Footer = serde_json::from_slice(&bytes[start..tail]).ok()?;
        let record: usize = footer.shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        let whole = footer.samples == samples && footer.shapes == shapes && record.checked_mul(samples)? * 4 == start;
        whole.then_some(Self { mapped, footer })
    }

    /// Floats of one sample, all values of the cut one after the other.
    fn record(&self) -> usize {
        self.footer.shapes.iter().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// Copies the features of some samples into one buffer for each value of the cut; `None` rows are zeros.
    pub(super) fn gather(&self, rows: &[Option<usize>]) -> Vec<Vec<f32>> {
        let record = self.record() * 4;
        let mut outputs = Vec::new();
        let mut offset = 0;
        for shape in &self.footer.shapes {
            let width: usize = shape.iter().product();
            let mut out = vec![0.0f32; width * rows.len()];
            for (slot, row) in out.chunks_mut(width.max(1)).zip(rows) {
                let Some(row) = row else { continue };
                let bytes = &self.mapped.bytes()[row * record + offset..][..width * 4];
                for (x, raw) in slot.iter_mut().zip(bytes.chunks_exact(4)) {
                    *x = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
                }
            }
            offset += width * 4;
            outputs.push(out);
        }
        outputs
    }

    /// Whether a sample could be read.
    pub(super) fn readable(&self, sample: usize) -> bool {
        self.footer.skipped.binary_search(&sample).is_err()
    }
}

/// Writes an entry from batches of features, in the order of the samples.
pub(super) fn write(
    store: &Store,
    key: &Key,
    samples: usize,
    shapes: &[Vec<usize>],
    mut batches: impl Iterator<Item = Result<FeatureBatch>>,
) -> Result<()> {
    let mut problem = None;
    let written = store.put(FEATURE_ENTRIES, key, |out| {
        let mut skipped = Vec::new();
        let mut sample = 0;
        for batch in batches.by_ref() {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    problem = Some(error);
                    return Err(std::io::Error::other("stopped"));
                }
            };
            for row in 0..batch.rows {
                for (values, shape) in batch.values.iter().zip(shapes) {
                    let width: usize = shape.iter().product();
                    for x in &values[row * width..][..width] {
                        out.write_all(&x.to_le_bytes())?;
                    }
                }
                if batch.weights[row] == 0.0 {
                    skipped.push(sample);
                }
                sample += 1;
            }
        }
        let footer = Footer { samples, shapes: shapes.to_vec(), skipped };
        let footer = serde_json::to_vec(&footer)?;
        out.write_all(&footer)?;
        out.write_all(&(footer.len() as u64).to_le_bytes())?;
        out.write_all(MAGIC)
    });
    match problem {
        Some(problem) => Err(problem),
        None => written,
    }
}

/// Features of some samples in a row.
pub(super) struct FeatureBatch {
    /// Rows that are samples; what follows fills the batch up.
    pub(super) rows: usize,
    /// Values of the cut, row-major.
    pub(super) values: Vec<Vec<f32>>,
    /// Weight of each row, 0 for samples that could not be read.
    pub(super) weights: Vec<f32>,
}

/// Features that must be there after they were written.
pub(super) fn reopen(store: &Store, key: &Key, samples: usize, shapes: &[Vec<usize>]) -> Result<Features> {
    Features::open(store, key, samples, shapes).ok_or_else(|| {
        Diagnostic::error(
            Code::Io,
            format!("the features in the cache `{}` cannot be read back", store.root().display()),
        )
        .help("another process may be removing the cache; run again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;

    #[test]
    fn what_is_written_is_read_and_torn_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let key = Key::new("features", "test").part("samples", "abc");
        let shapes = vec![vec![2], vec![1, 1]];
        let batches = vec![
            Ok(FeatureBatch {
                rows: 2,
                values: vec![vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0]],
                weights: vec![1.0, 0.0],
            }),
            Ok(FeatureBatch {
                rows: 1,
                values: vec![vec![7.0, 8.0, 0.0, 0.0], vec![9.0, 0.0]],
                weights: vec![1.0, 0.0],
            }),
        ];
        write(&store, &key, 3, &shapes, batches.into_iter()).unwrap();
        let features = Features::open(&store, &key, 3, &shapes).unwrap();
        assert_eq!(
            features.gather(&[Some(2), None, Some(0)]),
            vec![vec![7.0, 8.0, 0.0, 0.0, 1.0, 2.0], vec![9.0, 0.0, 5.0]]
        );
        assert!(features.readable(0) && !features.readable(1));
        assert!(Features::open(&store, &key, 4, &shapes).is_none());
        drop(features);
        // As long as it should be, and other bytes at the end.
        let place = store.path(FEATURE_ENTRIES, &key.digest());
        let mut bytes = world::read(&place).unwrap();
        let end = bytes.len() - 1;
        bytes[end] ^= 1;
        world::write_atomic(&place, |out| out.write_all(&bytes)).unwrap();
        assert!(Features::open(&store, &key, 3, &shapes).is_none());
    }
}
