//! Batches decoded ahead by threads, in order.
//!
//! Threads take the next few rows of the earliest batch that is not complete, so one batch is decoded by all of them.
//! What a row holds depends on its sample and pass only; where it goes depends on its place in the batch: the number of
//! threads changes nothing but speed.

use super::dataset::guarded;
use super::{Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::transforms::{Item, ItemType};
use crate::spec::OnError;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Batches that are begun before the first of them is taken.
const AHEAD: usize = 4;
/// Bad samples that one diagnostic names.
const NAMED: usize = 10;

/// Which rows a batch holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSpec {
    /// Position in the dataset of each row; `None` fills up with zeros.
    pub rows: Vec<Option<usize>>,
    /// The pass over the data, which random transforms depend on.
    pub pass: u64,
}

/// A decoded batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Row after row, each of the shape that [`Pipeline::shape`] gives.
    pub x: Vec<f32>,
    /// 1 for each row that holds a sample, 0 for one that is filled up or skipped.
    pub weights: Vec<f32>,
    /// Position and warning of each sample that was skipped.
    pub skipped: Vec<(usize, Diagnostic)>,
}

/// What became of a row.
enum Row {
    Zeros,
    Sample(Vec<f32>),
    /// The sample cannot be read; `data.on_error` decides.
    Unreadable(usize, Diagnostic),
    /// The sample can be read and does not fit.
    Wrong(Diagnostic),
}

enum Slot {
    /// Rows so far, and how many are missing.
    Open(Vec<Option<Row>>, usize),
    Done(Result<Batch>),
}

#[derive(Default)]
struct State {
    /// The batch that is taken next.
    base: usize,
    /// Batches from `base` that were begun.
    slots: VecDeque<Slot>,
    /// The next rows to decode: batch and row.
    next: (usize, usize),
    stopped: bool,
    broken: bool,
}

struct Shared {
    dataset: Arc<Dataset>,
    pipeline: Arc<Pipeline>,
    specs: Vec<BatchSpec>,
    shape: Vec<usize>,
    /// Rows that a thread takes at once.
    grain: usize,
    state: Mutex<State>,
    /// There may be rows to decode.
    work: Condvar,
    /// A batch is complete.
    ready: Condvar,
}

/// Iterates over decoded batches; ends after the first error. Dropping it ends its threads.
pub struct Batches {
    shared: Option<Arc<Shared>>,
    /// What went wrong before the first batch.
    failed: Option<Diagnostic>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Decodes batches in the background with `threads` threads (at least one), at most four batches ahead.
///
/// # Errors
/// The iterator's: `P0505` when the transforms do not end with arrays of one shape or a sample has another one; `P0502`
/// naming the samples of a batch that cannot be read, unless `data.on_error` is `skip`: then they are rows of zeros with
/// weight 0 and a warning.
pub fn stream(dataset: Arc<Dataset>, pipeline: Arc<Pipeline>, specs: Vec<BatchSpec>, threads: usize) -> Batches {
    let shape = match pipeline.shape(&dataset.item_type()) {
        Ok(ItemType::Array { shape }) => shape,
        Ok(ItemType::Image { .. }) => {
            let message = format!("the transforms of dataset `{}` end with an image, not with numbers", dataset.name());
            return Batches::failed(Diagnostic::error(Code::DataShape, message).help("end them with `to_tensor`"));
        }
        Err(error) => return Batches::failed(error),
    };
    let threads = threads.max(1);
    let rows = specs.iter().map(|spec| spec.rows.len()).max().unwrap_or(0);
    let grain = (rows / (threads * 4)).clamp(1, 64);
    let (state, work, ready) = (Mutex::default(), Condvar::new(), Condvar::new());
    let shared = Arc::new(Shared { dataset, pipeline, specs, shape, grain, state, work, ready });
    let mut batches = Batches { shared: None, failed: None, threads: Vec::new() };
    for index in 0..threads {
        let worker = Arc::clone(&shared);
        match std::thread::Builder::new().name(format!("data-{index}")).spawn(move || worker.run()) {
            Ok(thread) => batches.threads.push(thread),
            // Fewer threads are slower and nothing else.
            Err(_) if index > 0 => break,
            Err(error) => {
                let message = "cannot start a thread that decodes data";
                return Batches::failed(Diagnostic::error(Code::Io, message).note(error.to_string()));
            }
        }
    }
    batches.shared = Some(shared);
    batches
}

impl Batches {
    fn failed(error: Diagnostic) -> Self {
        Self { shared: None, failed: Some(error), threads: Vec::new() }
    }

    /// Ends the threads; they finish the rows that they hold.
    fn stop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.lock().stopped = true;
            shared.work.notify_all();
            for thread in self.threads.drain(..) {
                // A panic was noted in the state; it needs no second report.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let next = self.shared.as_ref().and_then(|shared| shared.take());
        if !matches!(next, Some(Ok(_))) {
            self.stop();
        }
        next
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next batch; `None` after the last.
    fn take(&self) -> Option<Result<Batch>> {
        let mut state = self.lock();
        loop {
            if state.base == self.specs.len() {
                return None;
            }
            if state.broken {
                return Some(Err(Diagnostic::error(Code::Internal, "a thread that decodes data panicked")));
            }
            match state.slots.pop_front() {
                Some(Slot::Done(batch)) => {
                    state.base += 1;
                    self.work.notify_all();
                    return Some(batch);
                }
                Some(open) => state.slots.push_front(open),
                None => {}
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread's life.
    fn run(&self) {
        if guarded(|| while self.work_once() {}).is_none() {
            self.lock().broken = true;
            self.ready.notify_all();
        }
    }

    /// Decodes some rows; false when there will be none.
    fn work_once(&self) -> bool {
        let Some((batch, rows)) = self.claim() else { return false };
        let spec = &self.specs[batch];
        let decoded: Vec<Row> = rows.clone().map(|row| self.decode(spec, spec.rows[row])).collect();
        let mut state = self.lock();
        let index = batch - state.base;
        let complete = match state.slots.get_mut(index) {
            Some(Slot::Open(open, missing)) => {
                *missing -= rows.len();
                for (row, decoded) in rows.zip(decoded) {
                    open[row] = Some(decoded);
                }
                (*missing == 0).then(|| std::mem::take(open))
            }
            _ => None,
        };
        drop(state);
        if let Some(rows) = complete {
            let done = self.assemble(spec, rows);
            let mut state = self.lock();
            let index = batch - state.base;
            if let Some(slot) = state.slots.get_mut(index) {
                *slot = Slot::Done(done);
            }
            drop(state);
            self.ready.notify_all();
        }
        true
    }

    /// Waits for rows to decode and takes them.
    fn claim(&self) -> Option<(usize, Range<usize>)> {
        let mut state = self.lock();
        loop {
            let (batch, first) = state.next;
            if state.stopped || batch == self.specs.len() {
                return None;
            }
            if batch < state.base + AHEAD {
                let count = self.specs[batch].rows.len();
                if first == 0 {
                    state.slots.push_back(Slot::Open((0..count).map(|_| None).collect(), count));
                }
                let end = count.min(first + self.grain);
                state.next = if end == count { (batch + 1, 0) } else { (batch, end) };
                return Some((batch, first..end));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn decode(&self, spec: &BatchSpec, position: Option<usize>) -> Row {
        let Some(position) = position else { return Row::Zeros };
        if position >= self.dataset.len() {
            let (name, len) = (self.dataset.name(), self.dataset.len());
            let message = format!("row {position} of dataset `{name}`, which has {len}");
            return Row::Wrong(Diagnostic::error(Code::Internal, message));
        }
        let item = match self.dataset.load(position) {
            Ok(item) => item,
            Err(error) => return Row::Unreadable(position, error),
        };
        let about = |error: Diagnostic| {
            error.note(format!("sample `{}` of dataset `{}`", self.dataset.sample_name(position), self.dataset.name()))
        };
        match self.pipeline.apply(item, spec.pass, self.dataset.sample(position)) {
            Ok(Item::Array { shape, data }) if shape == self.shape && data.len() == self.width() => Row::Sample(data),
            Ok(Item::Array { shape, .. }) => Row::Wrong(self.other_shape(position, &shape)),
            Ok(Item::Image(_)) => Row::Wrong(about(Diagnostic::error(Code::DataShape, "a sample is still an image"))),
            Err(error) => Row::Wrong(about(error)),
        }
    }

    fn other_shape(&self, position: usize, shape: &[usize]) -> Diagnostic {
        let (sample, set) = (self.dataset.sample_name(position), self.dataset.name());
        let message = format!("sample `{sample}` of dataset `{set}` has shape {shape:?} where {:?} is due", self.shape);
        Diagnostic::error(Code::DataShape, message)
    }

    fn width(&self) -> usize {
        self.shape.iter().product()
    }

    fn assemble(&self, spec: &BatchSpec, rows: Vec<Option<Row>>) -> Result<Batch> {
        let width = self.width();
        let mut x = Vec::with_capacity(width * spec.rows.len());
        let mut weights = Vec::with_capacity(spec.rows.len());
        let mut unreadable = Vec::new();
        for row in rows.into_iter().flatten() {
            let weight = match row {
                Row::Sample(data) => {
                    x.extend_from_slice(&data);
                    1.0
                }
                Row::Zeros => 0.0,
                Row::Unreadable(position, error) => {
                    unreadable.push((position, error));
                    0.0
                }
                Row::Wrong(error) => return Err(error),
            };
            weights.push(weight);
            x.resize(weights.len() * width, 0.0);
        }
        stand_in(&mut x, &weights, width, |row| spec.rows[row].is_some());
        if unreadable.is_empty() || self.dataset.on_error() == OnError::Skip {
            let warn = |(position, error)| (position, self.warning(position, &error));
            return Ok(Batch { x, weights, skipped: unreadable.into_iter().map(warn).collect() });
        }
        Err(self.unreadable(&unreadable))
    }

    fn warning(&self, position: usize, error: &Diagnostic) -> Diagnostic {
        let (sample, set) = (self.dataset.sample_name(position), self.dataset.name());
        let message = format!("sample `{sample}` of dataset `{set}` cannot be read and has weight 0");
        let warning = Diagnostic::warning(Code::DataCorrupt, message).note(error.message());
        error.notes().iter().fold(warning, super::super::diag::Diagnostic::note)
    }

    fn unreadable(&self, samples: &[(usize, Diagnostic)]) -> Diagnostic {
        let (count, set) = (samples.len(), self.dataset.name());
        let what = if count == 1 { "sample" } else { "samples" };
        let mut error =
            Diagnostic::error(Code::DataCorrupt, format!("{count} {what} of dataset `{set}` cannot be read"))
                .help("mend or remove them, or let `data.on_error: skip` give them weight 0");
        for (position, cause) in samples.iter().take(NAMED) {
            let sample = self.dataset.sample_name(*position);
            let told = std::iter::once(cause.message()).chain(cause.notes().iter().map(String::as_str));
            let told = told.collect::<Vec<_>>().join(": ");
            error = error.note(if cause.message().contains(&sample) { told } else { format!("`{sample}`: {told}") });
        }
        if count > NAMED { error.note(format!("and {} more", count - NAMED)) } else { error }
    }
}

/// Gives rows that could not be read the numbers of the first one that could, so that statistics of the batch do not see zeros. Rows that
/// only fill up, which `sample` denies, stay zeros.
fn stand_in(x: &mut [f32], weights: &[f32], width: usize, sample: impl Fn(usize) -> bool) {
    let Some(good) = weights.iter().position(|weight| *weight > 0.0) else { return };
    for row in (0..weights.len()).filter(|row| weights[*row] == 0.0 && sample(*row)) {
        x.copy_within(good * width..(good + 1) * width, row * width);
    }
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::Numbers;
    use super::*;
    use crate::parts::Chosen;
    use crate::world::rng::Key;
    use serde_json::json;

    fn numbers(samples: Numbers, on_error: OnError) -> Arc<Dataset> {
        Arc::new(Dataset::new("train", Box::new(samples), None, on_error))
    }

    fn halves() -> Arc<Pipeline> {
        let chosen = [Chosen::new("normalize", json!({"mean": 0.0, "std": 2.0}))];
        Arc::new(Pipeline::build(&chosen, Key::new(1)).unwrap())
    }

    fn specs(rows: &[&[usize]]) -> Vec<BatchSpec> {
        rows.iter().map(|rows| BatchSpec { rows: rows.iter().map(|row| Some(*row)).collect(), pass: 0 }).collect()
    }

    fn all(set: &Arc<Dataset>, specs: &[BatchSpec], threads: usize) -> Vec<Result<Batch>> {
        stream(Arc::clone(set), halves(), specs.to_vec(), threads).collect()
    }

    #[test]
    fn rows_come_in_order_and_the_rest_is_zeros() {
        let set = numbers(Numbers { len: 9, ..Numbers::default() }, OnError::Stop);
        let mut wanted = specs(&[&[8, 2], &[], &[0]]);
        wanted[2].rows.push(None);
        let batches: Vec<Batch> = all(&set, &wanted, 3).into_iter().map(Result::unwrap).collect();
        assert_eq!(batches[0].x, [4.0, 4.25, 1.0, 1.25]);
        assert_eq!((batches[1].x.len(), batches[1].weights.len()), (0, 0));
        assert_eq!((&batches[2].x[..], &batches[2].weights[..]), (&[0.0, 0.25, 0.0, 0.0][..], &[1.0, 0.0][..]));
        assert!(all(&set, &[], 2).is_empty());
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let samples = || Numbers { len: 500, broken: vec![7, 250], panics: vec![8], ..Numbers::default() };
        let set = numbers(samples(), OnError::Skip);
        let order = Key::new(4).rng().permutation(500);
        let wanted: Vec<BatchSpec> = order.chunks(33).flat_map(|rows| specs(&[rows])).collect();
        let run = |threads| -> Vec<(Vec<f32>, Vec<f32>, Vec<usize>)> {
            let batches = all(&set, &wanted, threads).into_iter().map(Result::unwrap);
            batches.map(|b| (b.x, b.weights, b.skipped.into_iter().map(|skipped| skipped.0).collect())).collect()
        };
        let one = run(1);
        assert_eq!(one.len(), 16);
        assert_eq!(one.iter().map(|batch| batch.2.len()).sum::<usize>(), 3);
        for threads in [0, 2, 5, 40] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }

    #[test]
    fn samples_that_cannot_be_read_stop_or_are_skipped() {
        let samples = || Numbers { len: 20, broken: (3..15).collect(), panics: vec![16], ..Numbers::default() };
        let every: Vec<usize> = (0..20).collect();
        let stopped = all(&numbers(samples(), OnError::Stop), &specs(&[&[0], &every, &[1]]), 2);
        assert_eq!(stopped.len(), 2);
        let error = stopped[1].as_ref().unwrap_err();
        assert_eq!((error.code().id(), error.message()), ("P0502", "13 samples of dataset `train` cannot be read"));
        assert_eq!(error.notes().len(), NAMED + 1);
        assert_eq!(error.notes()[0], "number 3 is broken");
        assert_eq!(error.notes()[NAMED], "and 3 more");

        let skipped = all(&numbers(samples(), OnError::Skip), &specs(&[&[2, 16]]), 2).remove(0).unwrap();
        assert_eq!((skipped.x, skipped.weights), (vec![1.0, 1.25, 1.0, 1.25], vec![1.0, 0.0]));
        let (position, warning) = &skipped.skipped[0];
        assert_eq!((*position, warning.severity()), (16, crate::diag::Severity::Warning));
    }

    #[test]
    fn another_shape_names_sample_and_shapes() {
        let set = numbers(Numbers { len: 3, odd: vec![1], ..Numbers::default() }, OnError::Skip);
        let error = all(&set, &specs(&[&[0, 1]]), 1).remove(0).unwrap_err();
        let text = "sample `number 1` of dataset `train` has shape [3] where [2] is due";
        assert_eq!((error.code().id(), error.message()), ("P0505", text));
        let outside = all(&set, &specs(&[&[3]]), 1).remove(0).unwrap_err();
        assert_eq!(outside.code().id(), "P0009");
    }

    #[test]
    fn transforms_that_do_not_fit_are_said_before_the_first_batch() {
        let chosen = [Chosen::new("resize", json!({"size": 8}))];
        let pipeline = Arc::new(Pipeline::build(&chosen, Key::new(1)).unwrap());
        let set = numbers(Numbers { len: 3, ..Numbers::default() }, OnError::Stop);
        let batches: Vec<_> = stream(set, pipeline, specs(&[&[0], &[1]]), 2).collect();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].as_ref().unwrap_err().code().id(), "P0505");
    }

    #[test]
    fn dropping_ends_the_threads_and_few_batches_are_ahead() {
        let set = numbers(Numbers { len: 1000, ..Numbers::default() }, OnError::Stop);
        let wanted: Vec<BatchSpec> = (0..1000).flat_map(|row| specs(&[&[row]])).collect();
        let mut batches = stream(Arc::clone(&set), halves(), wanted, 4);
        assert!(batches.next().unwrap().is_ok());
        let shared = Arc::clone(batches.shared.as_ref().unwrap());
        assert!(shared.lock().slots.len() <= AHEAD);
        drop(batches);
        // Only the test still holds what the threads held.
        assert_eq!((Arc::strong_count(&shared), shared.lock().stopped), (1, true));
        assert!(shared.lock().next.0 <= 1 + AHEAD);
    }
}
