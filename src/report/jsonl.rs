//! `metrics.jsonl`: a line for each step and each evaluation, the same bytes for the same run.
//!
//! Lines are handed to the operating system every 64 steps, with every evaluation and before every checkpoint. What a killed process
//! wrote beyond its last checkpoint is cut off on resume.

use super::{Event, Sink};
use crate::diag::{Code, Diagnostic, Result};
use crate::world::{LineFile, read, write_atomic};
use serde_json::Value;
use std::path::Path;

/// Steps after which lines leave the process.
const HELD: u32 = 64;

/// The sink that writes `metrics.jsonl`.
#[derive(Debug)]
pub struct JsonLines {
    file: LineFile,
    held: u32,
}

impl JsonLines {
    /// A new file.
    ///
    /// # Errors
    /// `P0002` when it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self { file: LineFile::create(path)?, held: 0 })
    }

    /// Continues a file after `step`: later lines and a torn last one are cut off.
    ///
    /// # Errors
    /// `P0002` when it cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        let bytes = read(path)?;
        let mut kept = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.ends_with(b"\n");
            let done = serde_json::from_slice::<Value>(line).ok().and_then(|value| value.get("step")?.as_u64());
            if !whole || done.is_none_or(|done| done > step) {
                break;
            }
            kept += line.len();
        }
        if kept < bytes.len() {
            write_atomic(path, |file| file.write_all(&bytes[..kept]))?;
        }
        Ok(Self { file: LineFile::append(path)?, held: 0 })
    }
}

impl Sink for JsonLines {
    fn event(&mut self, event: &Event) -> Result<()> {
        if !matches!(event, Event::Step { .. } | Event::EpochEnded { .. }) {
            return Ok(());
        }
        self.file.line(&line(event)?)?;
        self.held += 1;
        if self.held >= HELD || matches!(event, Event::EpochEnded { .. }) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.held = 0;
        self.file.flush()
    }
}

/// An event as one line of JSON.
pub(super) fn line(event: &Event) -> Result<String> {
    serde_json::to_string(event)
        .map_err(|error| Diagnostic::error(Code::Internal, "an event cannot be written").note(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Measure, Measures};
    use crate::world::read_to_string;
    use std::collections::BTreeMap;

    fn step(step: u64) -> Event {
        Event::Step {
            phase: 0,
            epoch: 1,
            step,
            samples: 32,
            loss: BTreeMap::from([("task".to_owned(), 0.5)]),
            regularizer: 0.25,
            objective: 0.75,
            lr: 1e-4,
            grad_norm: 2.0,
        }
    }

    fn evaluation(step: u64) -> Event {
        let metrics = BTreeMap::from([
            ("accuracy".to_owned(), Measure::Number(0.5)),
            ("auroc".to_owned(), Measure::Number(f64::NAN)),
            ("confusion_matrix".to_owned(), Measure::Matrix(vec![vec![1, 0], vec![1, 2]])),
        ]);
        Event::EpochEnded { phase: 0, epoch: 1, step, metrics: Measures::from([("test".to_owned(), metrics)]) }
    }

    #[test]
    fn steps_and_evaluations_are_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut sink = JsonLines::create(&path).unwrap();
        sink.event(&Event::Exported { file: "model.onnx".to_owned() }).unwrap();
        sink.event(&step(1)).unwrap();
        sink.event(&evaluation(1)).unwrap();
        assert_eq!(
            read_to_string(&path).unwrap(),
            concat!(
                r#"{"event":"step","phase":0,"epoch":1,"step":1,"samples":32,"loss":{"task":0.5},"#,
                r#""regularizer":0.25,"objective":0.75,"lr":0.0001,"grad_norm":2.0}"#,
                "\n",
                r#"{"event":"epoch_ended","phase":0,"epoch":1,"step":1,"metrics":{"test":{"accuracy":0.5,"auroc":null,"#,
                r#""confusion_matrix":[[1,0],[1,2]]}}}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_resumed_file_is_that_of_a_run_without_a_break() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = (folder.path().join("a.jsonl"), folder.path().join("b.jsonl"));
        let mut sink = JsonLines::create(&whole).unwrap();
        for i in 1..=4 {
            sink.event(&step(i)).unwrap();
            sink.event(&evaluation(i)).unwrap();
        }
        let text = read(&whole).unwrap();
        // Killed in the middle of a line after step 3; the checkpoint was at step 2.
        for torn in [text.len() - 1, text.len() - 300, text.len() - 400] {
            write_atomic(&path, |file| file.write_all(&text[..torn])).unwrap();
            let mut sink = JsonLines::resume(&path, 2).unwrap();
            for i in 3..=4 {
                sink.event(&step(i)).unwrap();
                sink.event(&evaluation(i)).unwrap();
            }
            assert_eq!(read(&path).unwrap(), text);
        }
        assert!(JsonLines::resume(&folder.path().join("none"), 0).is_err());
    }
}
