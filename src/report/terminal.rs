//! What a person sees: one moving line on a terminal, a line an epoch elsewhere, and the final table.
#![expect(clippy::print_stderr, reason = "this file is the terminal")]

use crate::diag::{self, Result};
use crate::runtime::{Event, Scores, Sink, Summary};
use crate::world::clock;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

/// Prints events on standard error, results on standard output.
pub struct Terminal {
    quiet: bool,
    bar: ProgressBar,
    start: clock::Instant,
    epoch: Epoch,
    /// Warnings that were printed.
    warned: BTreeSet<String>,
}

/// What was summed up in an epoch.
#[derive(Default)]
struct Epoch {
    phase: usize,
    number: u64,
    steps: u64,
    samples: usize,
    loss: f64,
    regularizer: f64,
    /// Steps that were left out.
    skipped: u64,
    began: f64,
}

impl Terminal {
    /// A terminal; a quiet one prints warnings only.
    pub fn new(quiet: bool) -> Self {
        let visible = !quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            quiet,
            bar: ProgressBar::with_draw_target(None, target),
            start: clock::now(),
            epoch: Epoch::default(),
            warned: BTreeSet::new(),
        }
    }

    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.bar.is_hidden() { say(text) } else { self.bar.suspend(|| say(text)) }
    }

    fn begin(&mut self, what: &str, total: u64) {
        self.bar.reset();
        if total > 0 {
            self.bar.set_length(total);
            if let Ok(style) = ProgressStyle::with_template("{prefix:<24} {bar:32} {pos}/{len}  {msg}  {eta} left") {
                self.bar.set_style(style.progress_chars("━━─"));
            }
        } else if let Ok(style) = ProgressStyle::with_template("{prefix:<24} {spinner}") {
            self.bar.set_style(style);
        }
        self.bar.set_message("");
        self.bar.set_prefix(what.to_owned());
    }

    fn end_epoch(&mut self) {
        let epoch = std::mem::take(&mut self.epoch);
        if epoch.steps == 0 {
            return;
        }
        let seconds = self.start.seconds() - epoch.began;
        let mut text =
            format!("phase {} epoch {:>3}  loss {:.4}", epoch.phase, epoch.number, epoch.loss / epoch.steps as f64);
        if epoch.regularizer > 0.0 {
            let _ = write!(text, "  regularizer {:.4}", epoch.regularizer / epoch.steps as f64);
        }
        if epoch.skipped > 0 {
            let _ = write!(text, "  {} of {} steps left out", epoch.skipped, epoch.steps);
        }
        let _ = write!(text, "  {:.0} samples/s", epoch.samples as f64 / seconds.max(1e-9));
        self.line(&text);
    }

    pub(super) fn finish(&mut self, summary: &Summary, folder: &Path) {
        self.end_epoch();
        self.bar.finish_and_clear();
        if self.quiet {
            return;
        }
        for (dataset, scores) in &summary.scores {
            say(&format!("{dataset:<12} {}", one_line(scores)));
            for (name, matrix) in &scores.matrices {
                say(&format!("{dataset} {name} (rows are true classes)"));
                for row in matrix {
                    let cells: Vec<String> = row.iter().map(|count| format!("{count:>6}")).collect();
                    say(&format!("  {}", cells.join("")));
                }
            }
        }
        say(&format!("{} steps in {:.1} s, results in {}", summary.steps, self.start.seconds(), folder.display()));
    }
}

impl Sink for Terminal {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Began { what, total } => {
                self.end_epoch();
                self.begin(what, *total);
                if *total > 0 {
                    self.line(&format!("{what}: {total} samples"));
                }
            }
            Event::Progress { done } => self.bar.set_position(*done),
            Event::Cached { what, .. } => {
                self.end_epoch();
                self.line(&format!("{what}: cached"));
            }
            Event::Waiting { what } => self.line(&format!("{what}: another run makes it, waiting")),
            Event::Phase { phase, trained, steps } => {
                self.end_epoch();
                self.begin(&format!("train phase {phase}"), *steps);
                self.line(&format!("train phase {phase}: {trained} parameters, {steps} steps"));
            }
            Event::Extended { phase, steps } => self.line(&format!("train phase {phase}: now {steps} steps")),
            Event::Step { phase, epoch, loss, regularizer, samples, skipped, .. } => {
                if (self.epoch.phase, self.epoch.number) != (*phase, *epoch) {
                    self.end_epoch();
                    let began = self.start.seconds();
                    self.epoch = Epoch { phase: *phase, number: *epoch, began, ..Epoch::default() };
                }
                self.epoch.steps += 1;
                self.epoch.samples += samples;
                self.epoch.loss += loss;
                self.epoch.regularizer += regularizer;
                self.epoch.skipped += u64::from(*skipped);
                let rate = self.epoch.samples as f64 / (self.start.seconds() - self.epoch.began).max(1e-9);
                self.bar.set_message(format!("epoch {epoch}  loss {loss:.4}  {rate:.0} samples/s"));
                self.bar.inc(1);
            }
            Event::Evaluated { epoch, dataset, scores, last, .. } => {
                self.end_epoch();
                if !last {
                    self.line(&format!("        epoch {epoch:>3}  {dataset}: {}", one_line(scores)));
                }
            }
            Event::Stopped { epoch, watch, best, .. } => {
                self.line(&format!("stopped after epoch {epoch}: `{watch}` was best at {best:.4}"));
            }
            Event::Warning(diagnostic) => {
                // A sample that cannot be read is met again in every epoch, and told once.
                if self.warned.insert(diagnostic.message().to_owned()) {
                    let text = diag::render(std::slice::from_ref(diagnostic), false);
                    self.bar.suspend(|| eprintln!("{text}"));
                }
            }
            Event::Profiled { phase, file, table } => {
                self.line(&format!("profile of phase {phase}, trace in {file}\n{}", super::profile(table)));
            }
            Event::Trial { trial, of, name, text } => self.line(&format!("trial {trial:>3}/{of}  {name}  {text}")),
            Event::Wrote { .. } => {}
        }
        Ok(())
    }
}

/// A line on standard output. Whoever reads it may stop reading, as `head` does, and its disk may be full: no reason to stop training.
fn say(line: &str) {
    drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{line}\n")));
}

fn one_line(scores: &Scores) -> String {
    let parts: Vec<String> = scores.numbers.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    parts.join("  ")
}
