//! The terminal: a progress line where someone watches, a line for each epoch elsewhere, a table of metrics at the end.

use super::{Event, Measure, Measures, Sink};
use crate::diag::{Code, Diagnostic, Result};
use crate::world::Clock;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write as _;
use std::io::Write;

/// The sink that people look at.
pub struct Terminal {
    out: Box<dyn Write + Send>,
    clock: Clock,
    bar: Option<ProgressBar>,
    phase: String,
    steps: u64,
    epochs: u64,
    done: u64,
    epoch: Tally,
    last: Option<(u64, Measures)>,
}

/// Sums over the steps of an epoch.
#[derive(Default)]
struct Tally {
    began: f64,
    steps: u64,
    samples: u64,
    objective: f64,
    lr: f64,
}

impl Terminal {
    /// Writes lines to `out`; `watched` adds a progress line on the error stream.
    pub fn new(out: Box<dyn Write + Send>, watched: bool, clock: Clock) -> Self {
        let bar = watched.then(ProgressBar::hidden);
        let began = clock.seconds();
        let epoch = Tally { began, ..Tally::default() };
        Self { out, clock, bar, phase: String::new(), steps: 0, epochs: 0, done: 0, epoch, last: None }
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let out = &mut self.out;
        let mut write = || writeln!(out, "{text}").and_then(|()| out.flush());
        let written = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        match written {
            // Whoever read the other end of a pipe has gone; the run goes on.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Diagnostic::error(Code::Io, "cannot write to the terminal").note(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Samples a second since the epoch began.
    fn rate(&self) -> Option<f64> {
        let seconds = self.clock.seconds() - self.epoch.began;
        (seconds > 0.0 && self.epoch.samples > 0).then(|| self.epoch.samples as f64 / seconds)
    }

    fn start_phase(&mut self, phase: usize, phases: usize, steps: u64, per_epoch: u64) {
        self.phase = if phases > 1 { format!("phase {}/{phases}  ", phase + 1) } else { String::new() };
        (self.steps, self.epochs, self.done) = (steps, steps.div_ceil(per_epoch.max(1)), 0);
        self.epoch = Tally { began: self.clock.seconds(), ..Tally::default() };
        if let Some(old) = self.bar.take() {
            old.finish_and_clear();
            let style = ProgressStyle::with_template("{prefix}{bar:24.cyan/dim} {pos}/{len}  {msg}  {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━─");
            let bar = ProgressBar::new(steps).with_style(style);
            bar.set_prefix(self.phase.clone());
            self.bar = Some(bar);
        }
    }

    fn show_progress(&self, epoch: u64, objective: f64) {
        let Some(bar) = &self.bar else { return };
        let mut text = format!("loss {}", number(objective));
        if let Some(rate) = self.rate() {
            let _ = write!(text, "  {rate:.0} samples/s");
        }
        bar.set_prefix(format!("{}epoch {epoch}/{}  ", self.phase, self.epochs));
        bar.set_message(text);
        bar.set_position(self.done);
    }

    fn end_epoch(&mut self, epoch: u64, metrics: &Measures) -> Result<()> {
        let width = self.epochs.to_string().len();
        let mut text = format!("{}epoch {epoch:>width$}/{}", self.phase, self.epochs);
        if self.epoch.steps > 0 {
            let objective = number(self.epoch.objective / self.epoch.steps as f64);
            let _ = write!(text, "  loss {objective}  lr {}", number(self.epoch.lr));
        }
        for (dataset, values) in metrics {
            for (metric, value) in values {
                if let Measure::Number(value) = value {
                    let _ = write!(text, "  {dataset}.{metric} {}", number(*value));
                }
            }
        }
        if let Some(rate) = self.rate() {
            let seconds = self.clock.seconds() - self.epoch.began;
            let _ = write!(text, "  {seconds:.1} s, {rate:.0} samples/s");
        }
        self.epoch = Tally { began: self.clock.seconds(), ..Tally::default() };
        self.say(&text)
    }
}

impl Sink for Terminal {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::RunStarted { name, resumed_at, trainable, frozen } => {
                let resumed =
                    if *resumed_at > 0 { format!(", resumed after step {resumed_at}") } else { String::new() };
                self.say(&format!(
                    "{name}: {} parameters trained, {} frozen{resumed}",
                    count(*trainable),
                    count(*frozen)
                ))
            }
            Event::PhaseStarted { phase, phases, steps, per_epoch } => {
                self.start_phase(*phase, *phases, *steps, *per_epoch);
                Ok(())
            }
            Event::Step { epoch, samples, objective, lr, .. } => {
                self.done += 1;
                self.epoch.steps += 1;
                self.epoch.samples += samples;
                self.epoch.objective += objective;
                self.epoch.lr = *lr;
                self.show_progress(*epoch, self.epoch.objective / self.epoch.steps as f64);
                Ok(())
            }
            Event::EpochEnded { epoch, step, metrics, .. } => {
                self.last = Some((*step, metrics.clone()));
                self.end_epoch(*epoch, metrics)
            }
            Event::Warning { code, message, help } => {
                let help = help.as_ref().map_or(String::new(), |help| format!("\n  help: {help}"));
                self.say(&format!("{code} warning: {message}{help}"))
            }
            Event::Exported { file } => self.say(&format!("wrote {file}")),
            Event::Finished { metrics, .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                let metrics = match &self.last {
                    Some((_, last)) if metrics.is_empty() => last.clone(),
                    _ => metrics.clone(),
                };
                if metrics.is_empty() { Ok(()) } else { self.say(&format!("\n{}", table(&metrics))) }
            }
        }
    }
}

/// Metrics down, datasets across; matrices are left to the files.
fn table(metrics: &Measures) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in metrics.values().flatten().filter(|(_, value)| matches!(value, Measure::Number(_))) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort_by_key(|name| (*name != "loss", *name));
    let first = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![" ".repeat(first)];
    lines.extend(names.iter().map(|name| format!("{name:<first$}")));
    for (dataset, values) in metrics {
        let cells: Vec<String> = std::iter::once(dataset.clone())
            .chain(names.iter().map(|name| match values.get(*name) {
                Some(Measure::Number(value)) => number(*value),
                _ => "–".to_owned(),
            }))
            .collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            let _ = write!(line, "  {cell:>width$}");
        }
    }
    lines.join("\n")
}

/// Four digits after the point, or as a power of ten where that says little.
fn number(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else if value == 0.0 || (1e-2..1e5).contains(&value.abs()) {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    }
}

/// `1.2 M` and the like.
fn count(value: u64) -> String {
    match value {
        0..10_000 => value.to_string(),
        10_000..1_000_000 => format!("{:.1} k", value as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", value as f64 / 1e6),
        _ => format!("{:.1} G", value as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn step(epoch: u64, objective: f64) -> Event {
        let loss = BTreeMap::from([("task".to_owned(), objective)]);
        Event::Step {
            phase: 0,
            epoch,
            step: 1,
            samples: 8,
            loss,
            regularizer: 0.0,
            objective,
            lr: 1e-3,
            grad_norm: 1.0,
        }
    }

    fn measures(accuracy: f64) -> Measures {
        let values = |loss| {
            BTreeMap::from([
                ("accuracy".to_owned(), Measure::Number(accuracy)),
                ("confusion_matrix".to_owned(), Measure::Matrix(vec![vec![1]])),
                ("loss".to_owned(), Measure::Number(loss)),
            ])
        };
        Measures::from([("test".to_owned(), values(0.5)), ("validation".to_owned(), values(f64::NAN))])
    }

    fn told(watched: bool, pace: std::time::Duration) -> String {
        let out = Shared::default();
        let mut terminal = Terminal::new(Box::new(out.clone()), watched, Clock::stopped());
        let mut tell = |event| terminal.event(&event).unwrap();
        tell(Event::RunStarted { name: "digits".to_owned(), resumed_at: 0, trainable: 5130, frozen: 23_508_032 });
        tell(Event::warning(&Diagnostic::warning(Code::FoldedBatchNorm, "BatchNorm was folded").help("export again")));
        tell(Event::PhaseStarted { phase: 0, phases: 1, steps: 20, per_epoch: 10 });
        for epoch in 1..=2 {
            for i in 0..10 {
                std::thread::sleep(pace);
                tell(step(epoch, 2.0 - f64::from(i) * 0.1));
            }
            tell(Event::EpochEnded { phase: 0, epoch, step: epoch, metrics: measures(0.25 * epoch as f64) });
        }
        tell(Event::Exported { file: "model.onnx".to_owned() });
        tell(Event::Finished { step: 20, metrics: Measures::new() });
        let bytes = out.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const TOLD: &str = "\
digits: 5130 parameters trained, 23.5 M frozen
P0311 warning: BatchNorm was folded
  help: export again
epoch 1/2  loss 1.5500  lr 1.00e-3  test.accuracy 0.2500  test.loss 0.5000  validation.accuracy 0.2500  validation.loss –
epoch 2/2  loss 1.5500  lr 1.00e-3  test.accuracy 0.5000  test.loss 0.5000  validation.accuracy 0.5000  validation.loss –
wrote model.onnx

            test  validation
loss      0.5000           –
accuracy  0.5000      0.5000
";

    #[test]
    fn lines_are_the_same_watched_or_not() {
        assert_eq!(told(false, std::time::Duration::ZERO), TOLD);
        assert_eq!(told(true, std::time::Duration::ZERO), TOLD);
    }

    /// Run by hand in a terminal to look at the progress line.
    #[test]
    #[ignore = "takes seconds and is for the eye"]
    fn show() {
        told(true, std::time::Duration::from_millis(150));
    }
}
