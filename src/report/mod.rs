//! Events folded into terminal and files.
//!
//! `metrics.jsonl` holds no clock and no path, so that two runs of one spec are the same bytes; seconds go to `timing.jsonl`.

mod diff;
mod findings;
mod jsonl;
mod profile;
mod sweep;
mod terminal;

use crate::diag::Result;
use crate::runtime::{Event, RunFolder, Sink, Summary};
pub use diff::{Compared, Differences, Fact, Score, Side, SpecChange, diff, text as diff_text};
pub use findings::{Findings, github, json_lines, sarif};
use jsonl::{Metrics, Timing};
pub use profile::profile;
use std::path::Path;
pub use sweep::sweep_table;
pub use terminal::Terminal;

/// All sinks of a run.
pub struct Reporter {
    metrics: Metrics,
    timing: Timing,
    terminal: Terminal,
}

impl Reporter {
    /// Opens the files of a run. With `resume`, metrics go on after `metrics_bytes` of the checkpoint.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn new(folder: &RunFolder, resume: Option<u64>, quiet: bool) -> Result<Self> {
        Ok(Self {
            metrics: Metrics::open(&folder.file("metrics.jsonl"), resume)?,
            timing: Timing::open(&folder.file("timing.jsonl"), resume.is_some())?,
            terminal: Terminal::new(quiet),
        })
    }

    /// Prints the final table.
    pub fn finish(&mut self, summary: &Summary, folder: &Path) {
        self.terminal.finish(summary, folder);
    }
}

impl Sink for Reporter {
    fn event(&mut self, event: &Event) -> Result<()> {
        self.metrics.event(event)?;
        self.timing.event(event)?;
        self.terminal.event(event)
    }

    fn flush(&mut self) -> Result<u64> {
        self.timing.flush()?;
        self.metrics.flush()
    }
}
