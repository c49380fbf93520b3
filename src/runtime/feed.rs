//! Where batches come from: cached features, or samples read and transformed on the fly.

use super::features::Features;
use super::step::{Column, Micro, Targets};
use crate::data::{self, BatchSpec, Dataset, Pipeline};
use crate::diag::{Diagnostic, Result};
use crate::parts::sources::Labels;
pub(super) use crate::plan::LastBatch;
use crate::world::rng::Key;
use std::sync::Arc;

/// A dataset as training and evaluation see it.
pub(super) struct Feed {
    pub(super) dataset: Arc<Dataset>,
    pub(super) source: Source,
    /// Root of the dropout keys of this dataset.
    pub(super) keys: Key,
    /// Width of a row of targets when labels are values.
    pub(super) width: usize,
}

/// Where the numbers come from.
pub(super) enum Source {
    /// Features of the frozen prefix.
    Store(Arc<Features>),
    /// Samples, transformed by a pool of threads.
    Stream { pipeline: Arc<Pipeline>, threads: usize },
}

impl Feed {
    /// The batches of one pass; each row is a position in the dataset or `None` to fill up.
    pub(super) fn batches(
        &self,
        rows: Vec<Vec<Option<usize>>>,
        pass: u64,
    ) -> Box<dyn Iterator<Item = Result<Fed>> + '_> {
        match &self.source {
            Source::Store(store) => {
                let store = Arc::clone(store);
                Box::new(rows.into_iter().map(move |rows| {
                    let weights =
                        rows.iter().map(|row| f32::from(row.is_some_and(|row| store.readable(row)))).collect();
                    let good = rows.iter().flatten().copied().find(|row| store.readable(*row));
                    let read =
                        |row: &Option<usize>| row.and_then(|row| if store.readable(row) { Some(row) } else { good });
                    let micro = Micro {
                        data: store
                            .gather(&rows.iter().map(read).collect::<Vec<_>>())
                            .into_iter()
                            .map(Column::F32)
                            .collect(),
                        targets: self.targets(&rows),
                        weights,
                        keys: self.row_keys(&rows, pass),
                    };
                    Ok(Fed { micro, rows, skipped: Vec::new() })
                }))
            }
            Source::Stream { pipeline, threads } => {
                let specs: Vec<BatchSpec> = rows.iter().map(|rows| BatchSpec { rows: rows.clone(), pass }).collect();
                let stream = data::stream(Arc::clone(&self.dataset), Arc::clone(pipeline), specs, *threads);
                Box::new(stream.zip(rows).map(move |(batch, rows)| {
                    let mut batch = batch?;
                    let skipped = std::mem::take(&mut batch.skipped).into_iter().map(|(_, why)| why).collect();
                    let micro = Micro::from_batch(batch, self.targets(&rows), self.row_keys(&rows, pass));
                    Ok(Fed { micro, rows, skipped })
                }))
            }
        }
    }

    fn targets(&self, rows: &[Option<usize>]) -> Targets {
        match self.dataset.labels() {
            Labels::Classes { ids, .. } if self.width == 0 => {
                Targets::Classes(rows.iter().map(|row| row.map_or(0, |row| ids[self.dataset.sample(row)])).collect())
            }
            // One unit and two classes: the class is the value.
            Labels::Classes { ids, .. } => Targets::Values(
                rows.iter().map(|row| row.map_or(0.0, |row| ids[self.dataset.sample(row)] as f32)).collect(),
            ),
            Labels::Values { data, width } => Targets::Values(
                rows.iter()
                    .flat_map(|row| match row {
                        Some(row) => data[self.dataset.sample(*row) * width..][..*width].to_vec(),
                        None => vec![0.0; *width],
                    })
                    .collect(),
            ),
            Labels::None => Targets::Classes(vec![0; rows.len()]),
        }
    }

    fn row_keys(&self, rows: &[Option<usize>], pass: u64) -> Vec<i64> {
        let keys = self.keys.with(pass);
        rows.iter()
            .map(|row| keys.with(row.map_or(u64::MAX, |row| self.dataset.sample(row) as u64)).bits() as i64)
            .collect()
    }
}

impl Source {
    /// Samples are read on so many threads from now on.
    pub(super) fn set_threads(&mut self, count: usize) {
        if let Self::Stream { threads, .. } = self {
            *threads = count;
        }
    }

    /// The same source, for another feed.
    pub(super) fn share(&self) -> Self {
        match self {
            Self::Stream { pipeline, threads } => Self::Stream { pipeline: Arc::clone(pipeline), threads: *threads },
            Self::Store(store) => Self::Store(Arc::clone(store)),
        }
    }
}

impl Feed {
    /// The same feed.
    pub(super) fn share(&self) -> Self {
        Self { dataset: Arc::clone(&self.dataset), source: self.source.share(), keys: self.keys, width: self.width }
    }
}

/// A batch with what it is made of.
pub(super) struct Fed {
    pub(super) micro: Micro,
    pub(super) rows: Vec<Option<usize>>,
    pub(super) skipped: Vec<Diagnostic>,
}

/// Cuts an order into batches of `size`; the last one is filled up with `None`, cut short, or dropped.
pub(super) fn cut(order: &[usize], size: usize, last: LastBatch) -> Vec<Vec<Option<usize>>> {
    let mut batches: Vec<Vec<Option<usize>>> =
        order.chunks(size.max(1)).map(|rows| rows.iter().copied().map(Some).collect()).collect();
    if let Some(tail) = batches.last_mut()
        && tail.len() < size
    {
        match last {
            LastBatch::Fill => tail.resize(size, None),
            LastBatch::Short => {}
            LastBatch::Drop => {
                batches.pop();
            }
        }
    }
    batches
}
