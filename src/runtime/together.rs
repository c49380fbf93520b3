//! Independent steps side by side: who runs with how many threads, and how their events become one stream.

use super::event::{Event, Sink};
use crate::diag::{Code, Diagnostic, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

/// How the time of a step falls with its threads: with t of them it takes 1/t^0.9 of the time. Measured on sessions of ONNX Runtime with
/// a loader; only which of two ways to share a machine is faster hangs on it.
const SCALING: f64 = 0.9;

/// Something to do on some threads.
pub(super) struct Job<'j, T> {
    /// What is told of it, such as `features train`.
    pub(super) what: String,
    /// Units of progress, which are taken for its length too.
    pub(super) work: u64,
    /// Bytes of memory it takes at most.
    pub(super) bytes: u64,
    /// Does it, with so many threads; asks whether it is to stop.
    #[expect(clippy::type_complexity, reason = "it is written once")]
    pub(super) run: Box<dyn FnOnce(usize, &dyn Fn() -> bool, &mut dyn Sink) -> Result<T> + Send + 'j>,
}

/// How many jobs to run at once so that all are done soonest: threads are shared out evenly, and memory holds them.
pub(super) fn lanes(work: &[u64], bytes: &[u64], threads: usize, memory: u64) -> usize {
    let largest = bytes.iter().copied().max().unwrap_or(0).max(1);
    let most = work.len().min(threads).min(usize::try_from(memory / largest).unwrap_or(usize::MAX)).max(1);
    let span = |lanes: usize| {
        let speed = (threads as f64 / lanes as f64).powf(SCALING);
        let mut ends = vec![0.0f64; lanes];
        for work in work {
            // Each goes to the lane that is free first, as it will.
            if let Some(first) = ends.iter_mut().min_by(|a, b| a.total_cmp(b)) {
                *first += *work as f64 / speed;
            }
        }
        ends.into_iter().fold(0.0f64, f64::max)
    };
    (1..=most).min_by(|a, b| span(*a).total_cmp(&span(*b))).unwrap_or(1)
}

/// Events of a job on their way to the thread that tells them.
struct Remote {
    job: usize,
    to: Sender<(usize, Event)>,
}

impl Sink for Remote {
    fn event(&mut self, event: &Event) -> Result<()> {
        // Whoever listened has ended with an error of its own.
        let _ = self.to.send((self.job, event.clone()));
        Ok(())
    }
}

/// Runs jobs, several at once where that is faster; results in their order. When one fails the others stop at their next question.
pub(super) fn together<T: Send>(
    jobs: Vec<Job<'_, T>>,
    threads: usize,
    memory: u64,
    stop: &AtomicBool,
    sink: &mut dyn Sink,
) -> Result<Vec<T>> {
    let work: Vec<u64> = jobs.iter().map(|job| job.work).collect();
    let bytes: Vec<u64> = jobs.iter().map(|job| job.bytes).collect();
    let lanes = lanes(&work, &bytes, threads, memory);
    if lanes == 1 {
        let asked = || stop.load(Ordering::Relaxed);
        return jobs.into_iter().map(|job| (job.run)(threads, &asked, sink)).collect();
    }
    let names: Vec<String> = jobs.iter().map(|job| job.what.clone()).collect();
    let failed = AtomicBool::new(false);
    let asked = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
    let count = jobs.len();
    let queue = std::sync::Mutex::new(jobs.into_iter().enumerate().collect::<std::collections::VecDeque<_>>());
    let (to, events) = channel();
    let mut results: Vec<Option<Result<T>>> = (0..count).map(|_| None).collect();
    let told = std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for lane in 0..lanes {
            let share = threads / lanes + usize::from(lane < threads % lanes);
            let (to, queue, failed, asked) = (to.clone(), &queue, &failed, &asked);
            workers.push(scope.spawn(move || {
                let mut made = Vec::new();
                while let Some((index, job)) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
                    let result = (job.run)(share, asked, &mut Remote { job: index, to: to.clone() });
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    made.push((index, result));
                }
                made
            }));
        }
        drop(to);
        let told = tell(&names, &work, events, sink);
        if told.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        for worker in workers {
            for (index, result) in worker.join().unwrap_or_default() {
                results[index] = Some(result);
            }
        }
        told
    });
    told?;
    let lost = || Err(Diagnostic::error(Code::Internal, "a worker thread ended before its work"));
    // What failed by itself is said rather than that others were stopped for it.
    let stopped = |result: &Option<Result<T>>| matches!(result, Some(Err(error)) if error.code() != Code::Interrupted || stop.load(Ordering::Relaxed));
    if let Some(at) = results.iter().position(stopped)
        && let Some(Err(error)) = results.swap_remove(at)
    {
        return Err(error);
    }
    results.into_iter().map(|result| result.unwrap_or_else(lost)).collect()
}

/// One stream of events: the beginnings become one, progress is added up.
fn tell(
    names: &[String],
    work: &[u64],
    events: std::sync::mpsc::Receiver<(usize, Event)>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut done = vec![0u64; names.len()];
    let mut begun = false;
    for (job, event) in events {
        match event {
            Event::Began { .. } => {
                if !std::mem::replace(&mut begun, true) {
                    sink.event(&Event::Began { what: names.join(", "), total: work.iter().sum() })?;
                }
            }
            Event::Progress { done: part } => {
                done[job] = part;
                sink.event(&Event::Progress { done: done.iter().sum() })?;
            }
            other => sink.event(&other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'j>(work: u64, run: impl FnOnce(usize, &dyn Fn() -> bool) -> Result<u64> + Send + 'j) -> Job<'j, u64> {
        let run = Box::new(move |threads: usize, asked: &dyn Fn() -> bool, sink: &mut dyn Sink| {
            sink.event(&Event::Began { what: String::new(), total: work })?;
            sink.event(&Event::Progress { done: work })?;
            run(threads, asked)
        });
        Job { what: format!("job {work}"), work, bytes: 1, run }
    }

    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Sink for Heard {
        fn event(&mut self, event: &Event) -> Result<()> {
            if let Event::Began { what, total } = event {
                self.0.push(format!("{what}: {total}"));
            }
            Ok(())
        }
    }

    #[test]
    fn equal_work_runs_side_by_side_and_unequal_work_one_after_the_other() {
        assert_eq!(lanes(&[100, 100], &[1, 1], 2, 100), 2);
        assert_eq!(lanes(&[200, 100], &[1, 1], 2, 100), 1, "one thread would be idle for half the time");
        assert_eq!(lanes(&[200, 100, 100], &[1, 1, 1], 2, 100), 2);
        assert_eq!(lanes(&[100; 8], &[1; 8], 16, 100), 8);
        assert_eq!(lanes(&[100; 8], &[30; 8], 16, 100), 2, "of three one would run alone at the end");
        assert_eq!(lanes(&[100; 2], &[101; 2], 2, 100), 1, "memory");
        assert_eq!(lanes(&[], &[], 2, 100), 1);
    }

    #[test]
    fn results_come_in_order_and_beginnings_are_one() {
        let mut heard = Heard::default();
        let jobs = (0..4).map(|i| job(5, move |threads, _| Ok(10 * i + threads as u64))).collect();
        let made = together(jobs, 5, 100, &AtomicBool::new(false), &mut heard).unwrap();
        let parts: Vec<(u64, u64)> = made.iter().map(|made| (made / 10, made % 10)).collect();
        assert!(parts.iter().enumerate().all(|(i, (job, threads))| i as u64 == *job && (1..=2).contains(threads)));
        assert_eq!(heard.0, ["job 5, job 5, job 5, job 5: 20"]);
    }

    #[test]
    fn one_that_fails_stops_the_others_and_is_the_one_that_is_told() {
        let stopped = |asked: &dyn Fn() -> bool| {
            while !asked() {
                std::thread::yield_now();
            }
            Err(Diagnostic::error(Code::Interrupted, "stopped"))
        };
        let jobs = vec![
            job(5, move |_, asked| stopped(asked)),
            job(5, |_, _| Err(Diagnostic::error(Code::DataCorrupt, "broken"))),
        ];
        let error = together(jobs, 2, 100, &AtomicBool::new(false), &mut ()).unwrap_err();
        assert_eq!(error.code(), Code::DataCorrupt);
    }
}
