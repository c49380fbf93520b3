//! Batches: what is asked for, and what comes.

use super::{Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::sources::Item;

/// Rows of a batch that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSpec {
    /// Positions in the dataset; `None` is a row of zeros that weighs nothing and fills the batch up.
    pub rows: Vec<Option<usize>>,
    /// Number of the pass over the dataset, which random transforms count by.
    pub pass: u64,
}

/// A batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// Row-major f32 of `shape`.
    pub x: Vec<f32>,
    /// [rows, …].
    pub shape: Vec<usize>,
    /// A class for every row, if labels are classes; 0 where the weight is 0 for want of a sample.
    pub classes: Vec<i64>,
    /// Row-major rows × width, if labels are values.
    pub values: Vec<f32>,
    /// 1 for a sample, 0 for a row that fills up and for a sample that was skipped.
    pub weights: Vec<f32>,
    /// The rows that were asked for.
    pub rows: Vec<Option<usize>>,
    /// Positions in the dataset that could not be read, with the reason; only with `on_error: skip`.
    pub skipped: Vec<(usize, Diagnostic)>,
}

/// Fills one row; zeros it when it fails.
pub(super) fn fill(
    dataset: &Dataset,
    pipeline: &Pipeline,
    row_shape: &[usize],
    position: usize,
    pass: u64,
    out: &mut [f32],
) -> Result<()> {
    let result = read(dataset, pipeline, row_shape, position, pass);
    match &result {
        Ok(data) => out.copy_from_slice(data),
        Err(_) => out.fill(0.0),
    }
    result.map(|_| ())
}

fn read(dataset: &Dataset, pipeline: &Pipeline, row_shape: &[usize], position: usize, pass: u64) -> Result<Vec<f32>> {
    let item = dataset.load(position)?;
    let name = dataset.name(position);
    match pipeline.apply(item, pass, dataset.index(position)?, &name)? {
        Item::Array { shape, data } if shape == row_shape && data.len() == shape.iter().product::<usize>() => Ok(data),
        other => Err(Diagnostic::error(Code::DataShape, format!("`{name}` does not have the shape of the others"))
            .note(format!("expected {row_shape:?}, found {:?}", other.ty()))),
    }
}

/// The labels of the rows.
pub(super) fn label(dataset: &Dataset, batch: &mut Batch) {
    if dataset.classes().is_some() {
        batch.classes = batch.rows.iter().map(|row| row.and_then(|p| dataset.class(p)).unwrap_or(0)).collect();
    }
    if let Some(width) = dataset.value_width() {
        let zeros = vec![0.0; width];
        for row in &batch.rows {
            batch.values.extend_from_slice(row.and_then(|p| dataset.values(p)).unwrap_or(&zeros));
        }
    }
}

/// One error for all samples of a batch that could not be read, at most ten of them by name.
pub(super) fn together(failed: Vec<(usize, Diagnostic)>) -> Option<Diagnostic> {
    const NAMED: usize = 10;
    let count = failed.len();
    let (_, first) = failed.first()?;
    if count == 1 {
        let error = first.clone();
        let helped = error.help_text().is_some();
        return Some(if helped { error } else { error.help("repair or remove it, or set `data.on_error: skip`") });
    }
    let mut error = Diagnostic::error(first.code(), format!("{count} samples of a batch cannot be used"))
        .help("repair or remove them, or set `data.on_error: skip`");
    for (_, one) in failed.iter().take(NAMED) {
        let cause = one.notes().first().map(|note| format!(": {note}")).unwrap_or_default();
        error = error.note(format!("{}{cause}", one.message()));
    }
    if count > NAMED {
        error = error.note(format!("and {} more", count - NAMED));
    }
    Some(error)
}
