//! `metrics.jsonl` and `timing.jsonl`: one JSON object a line.

use crate::diag::{Code, Diagnostic, Result};
use crate::runtime::Event;
use crate::world::{Appender, clock};
use serde_json::json;
use std::path::Path;

fn encode(event: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)
        .map_err(|error| Diagnostic::error(Code::Internal, "cannot encode an event").note(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

/// Steps and evaluations.
pub(super) struct Metrics {
    file: Appender,
}

impl Metrics {
    /// Starts the file, or goes on after the bytes that a checkpoint vouches for.
    pub(super) fn open(path: &Path, resume: Option<u64>) -> Result<Self> {
        Ok(Self { file: Appender::open(path, resume.unwrap_or(0))? })
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Phase { .. } | Event::Step { .. } | Event::Evaluated { .. } | Event::Stopped { .. } => {
                self.file.write(&encode(event)?)
            }
            Event::Cached { lines, .. } => self.file.write(lines),
            _ => Ok(()),
        }
    }

    /// Bytes that are safe on disk.
    pub(super) fn flush(&mut self) -> Result<u64> {
        self.file.sync()
    }
}

/// Seconds since the start at which things happened; each resumption starts at 0 again.
pub(super) struct Timing {
    file: Appender,
    start: clock::Instant,
}

impl Timing {
    pub(super) fn open(path: &Path, resume: bool) -> Result<Self> {
        let at = if resume { u64::MAX } else { 0 };
        Ok(Self { file: Appender::open(path, at)?, start: clock::now() })
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<()> {
        let seconds = self.start.seconds();
        let line = match event {
            Event::Began { what, .. } => json!({"seconds": seconds, "began": what}),
            Event::Cached { what, .. } => json!({"seconds": seconds, "cached": what}),
            Event::Waiting { what } => json!({"seconds": seconds, "waiting": what}),
            Event::Phase { phase, .. } => json!({"seconds": seconds, "phase": phase}),
            Event::Step { step, samples, .. } => json!({"seconds": seconds, "step": step, "samples": samples}),
            Event::Evaluated { dataset, epoch, .. } => {
                json!({"seconds": seconds, "evaluated": dataset, "epoch": epoch})
            }
            Event::Wrote { file } => json!({"seconds": seconds, "wrote": file}),
            _ => return Ok(()),
        };
        self.file.write(&encode(&line)?)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.sync().map(drop)
    }
}
