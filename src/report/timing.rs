//! `timing.jsonl`: when things happened, in seconds since the process began; kept apart so that metrics stay repeatable.

use super::{Event, Sink};
use crate::diag::Result;
use crate::world::{Clock, LineFile};
use serde_json::json;
use std::path::Path;

/// The sink that writes `timing.jsonl`; a resumed run continues the file, its seconds start at 0 again.
#[derive(Debug)]
pub struct Timing {
    file: LineFile,
    clock: Clock,
}

impl Timing {
    /// Appends to the file.
    ///
    /// # Errors
    /// `P0002` when it cannot be written.
    pub fn open(path: &Path, clock: Clock) -> Result<Self> {
        Ok(Self { file: LineFile::append(path)?, clock })
    }
}

impl Sink for Timing {
    fn event(&mut self, event: &Event) -> Result<()> {
        let seconds = self.clock.seconds();
        let (line, last) = match event {
            Event::RunStarted { .. } => (json!({"event": "run_started", "seconds": seconds}), true),
            Event::PhaseStarted { phase, .. } => {
                (json!({"event": "phase_started", "phase": phase, "seconds": seconds}), true)
            }
            Event::Step { step, samples, .. } => {
                (json!({"event": "step", "step": step, "samples": samples, "seconds": seconds}), false)
            }
            Event::EpochEnded { step, .. } => (json!({"event": "epoch_ended", "step": step, "seconds": seconds}), true),
            Event::Finished { step, .. } => (json!({"event": "finished", "step": step, "seconds": seconds}), true),
            Event::Warning { .. } | Event::Exported { .. } => return Ok(()),
        };
        self.file.line(&line.to_string())?;
        if last { self.file.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Measures;
    use crate::world::read_to_string;

    #[test]
    fn a_second_process_continues_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timing.jsonl");
        for step in [3, 6] {
            let mut sink = Timing::open(&path, Clock::stopped()).unwrap();
            sink.event(&Event::Finished { step, metrics: Measures::new() }).unwrap();
        }
        assert_eq!(
            read_to_string(&path).unwrap(),
            "{\"event\":\"finished\",\"step\":3,\"seconds\":0.0}\n{\"event\":\"finished\",\"step\":6,\"seconds\":0.0}\n"
        );
    }
}
