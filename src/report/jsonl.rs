//! `metrics.jsonl` and `timing.jsonl`: one JSON object a line.

use crate::diag::{Code, Diagnostic, Result};
use crate::runtime::Event;
use crate::world::{self, Appender, Entry, clock};
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
        let keep = resume.unwrap_or(0);
        match world::entry(path) {
            Some(Entry::File(size)) if size < keep => {
                let message = format!("`{}` lacks what was written before the checkpoint", path.display());
                Err(Diagnostic::error(Code::CheckpointBad, message)
                    .note(format!("it has {size} bytes, the checkpoint vouches for {keep}"))
                    .help("put it back, or start a new run"))
            }
            None if keep > 0 => {
                let message = format!("`{}` is gone, the checkpoint vouches for {keep} bytes of it", path.display());
                Err(Diagnostic::error(Code::CheckpointBad, message).help("put it back, or start a new run"))
            }
            _ => Ok(Self { file: Appender::open(path, keep)? }),
        }
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Phase { .. }
            | Event::Extended { .. }
            | Event::Step { .. }
            | Event::Evaluated { .. }
            | Event::Stopped { .. } => self.file.write(&encode(event)?),
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
        // A process that died may have left half a line.
        let whole = |bytes: Vec<u8>| bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1);
        let keep = if resume && world::is_file(path) { whole(world::read(path)?) } else { 0 };
        Ok(Self { file: Appender::open(path, keep)?, start: clock::now() })
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
