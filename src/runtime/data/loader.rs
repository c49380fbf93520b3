//! The loader: batches decoded in the background, in order, a bounded number ahead.
//!
//! A few feeders take the batches in turn; each hands the rows of its batch to the pool one by one and waits for all of them, so that
//! the pool works on the next batch while the last rows of one are decoded. Feeders offer batches in order and stop when the
//! stream is dropped.

use super::batch::{fill, label, together};
use super::{Batch, BatchSpec, Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Result};
use crate::spec::OnError;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How a stream works; none of it changes what batches hold.
#[derive(Clone)]
pub struct Options {
    /// The threads that decode.
    pub pool: Arc<ThreadPool>,
    /// Batches that are decoded ahead, at least 1.
    pub prefetch: usize,
    /// What happens to samples that cannot be read.
    pub on_error: OnError,
}

/// A pool of `threads` workers, at least one.
///
/// # Errors
/// `P0606` when threads cannot be started.
pub fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|i| format!("loader-{i}"))
        .build()
        .map(Arc::new)
        .map_err(|error| Diagnostic::error(Code::OutOfMemory, "cannot start threads").note(error.to_string()))
}

/// What feeders share.
struct Shared {
    dataset: Arc<Dataset>,
    pipeline: Arc<Pipeline>,
    row_shape: Vec<usize>,
    options: Options,
    /// Batches not yet taken by a feeder.
    turn: Mutex<usize>,
    turned: Condvar,
    stop: AtomicBool,
    /// Buffers that came back.
    spare: Mutex<Vec<Vec<f32>>>,
}

/// Batches in order; dropping it stops the work.
pub struct Stream {
    shared: Arc<Shared>,
    /// One a feeder, the one whose batch is next in front.
    ready: VecDeque<Receiver<Result<Batch>>>,
    feeders: Vec<JoinHandle<()>>,
    left: usize,
}

/// Starts to decode `batches` of a dataset.
///
/// # Errors
/// `P0505` when the transforms do not make arrays of one shape of what the source gives.
pub fn stream(
    dataset: Arc<Dataset>,
    pipeline: Arc<Pipeline>,
    batches: Vec<BatchSpec>,
    options: Options,
) -> Result<Stream> {
    let row_shape = pipeline.output_shape(&dataset.shape())?;
    let feeders = options.prefetch.max(1).min(batches.len());
    let left = batches.len();
    let mut queues: Vec<Vec<(usize, BatchSpec)>> = (0..feeders).map(|_| Vec::new()).collect();
    for (number, batch) in batches.into_iter().enumerate() {
        queues[number % feeders].push((number, batch));
    }
    let shared = Arc::new(Shared {
        dataset,
        pipeline,
        row_shape,
        options,
        turn: Mutex::new(0),
        turned: Condvar::new(),
        stop: AtomicBool::new(false),
        spare: Mutex::new(Vec::new()),
    });
    let mut this = Stream { shared: Arc::clone(&shared), ready: VecDeque::new(), feeders: Vec::new(), left };
    for queue in queues {
        // A rendezvous: a feeder starts its next batch only when the last one was taken.
        let (sender, receiver) = sync_channel(0);
        let shared = Arc::clone(&shared);
        let feeder = std::thread::Builder::new().name("feeder".to_owned()).spawn(move || feed(&shared, queue, &sender));
        let feeder = feeder
            .map_err(|error| Diagnostic::error(Code::OutOfMemory, "cannot start threads").note(error.to_string()))?;
        this.ready.push_back(receiver);
        this.feeders.push(feeder);
    }
    Ok(this)
}

impl Stream {
    /// Gives a batch back so that its memory is used again.
    pub fn recycle(&self, batch: Batch) {
        lock(&self.shared.spare).push(batch.x);
    }

    /// Shape of a row.
    pub fn row_shape(&self) -> &[usize] {
        &self.shared.row_shape
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let receiver = self.ready.pop_front()?;
        let batch =
            receiver.recv().unwrap_or_else(|_| Err(Diagnostic::error(Code::Internal, "a feeder of the loader died")));
        self.ready.push_back(receiver);
        if batch.is_err() {
            self.left = 0;
        }
        Some(batch)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.ready.clear();
        {
            let _turn = lock(&self.shared.turn);
            self.shared.turned.notify_all();
        }
        for feeder in self.feeders.drain(..) {
            // A feeder that panicked has already been reported as a dead channel.
            let _ = feeder.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn feed(shared: &Shared, queue: Vec<(usize, BatchSpec)>, sender: &SyncSender<Result<Batch>>) {
    for (number, spec) in queue {
        let batch = make(shared, number, spec);
        if shared.stop.load(Ordering::Relaxed) || sender.send(batch).is_err() {
            return;
        }
    }
}

/// Waits until all earlier batches have handed their rows to the pool, so that rows are decoded in the order of the batches.
fn wait_for_turn(shared: &Shared, number: usize) {
    let mut turn = lock(&shared.turn);
    while *turn != number && !shared.stop.load(Ordering::Relaxed) {
        turn = shared.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
    }
}

fn make(shared: &Shared, number: usize, spec: BatchSpec) -> Result<Batch> {
    let Shared { dataset, pipeline, row_shape, .. } = shared;
    let row_size: usize = row_shape.iter().product();
    let mut x = lock(&shared.spare).pop().unwrap_or_default();
    x.resize(spec.rows.len() * row_size, 0.0);
    let failed = Mutex::new(Vec::new());
    wait_for_turn(shared, number);
    shared.options.pool.in_place_scope_fifo(|scope| {
        for (slot, row) in x.chunks_exact_mut(row_size.max(1)).zip(&spec.rows) {
            let (failed, pass) = (&failed, spec.pass);
            match row {
                None => slot.fill(0.0),
                Some(position) => scope.spawn_fifo(move |_| {
                    if shared.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(error) = fill(dataset, pipeline, row_shape, *position, pass, slot) {
                        lock(failed).push((*position, error));
                    }
                }),
            }
        }
        *lock(&shared.turn) += 1;
        shared.turned.notify_all();
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(position, _)| *position);
    if shared.options.on_error == OnError::Stop
        && let Some(error) = together(failed.clone())
    {
        return Err(error);
    }
    let bad = |position: usize| failed.iter().any(|(p, _)| *p == position);
    let weights = spec.rows.iter().map(|row| if row.is_some_and(|p| !bad(p)) { 1.0 } else { 0.0 }).collect();
    for (position, error) in &failed {
        dataset.report(*position, error);
    }
    let shape = std::iter::once(spec.rows.len()).chain(row_shape.iter().copied()).collect();
    let mut batch = Batch { x, shape, weights, rows: spec.rows, skipped: failed, ..Batch::default() };
    label(dataset, &mut batch);
    Ok(batch)
}
