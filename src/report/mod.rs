//! Events folded into terminal and files.
//!
//! Absence: nothing here changes a run, and only `timing` and `terminal` look at the clock.

mod event;
mod jsonl;
mod terminal;
mod timing;

pub use event::{Event, Measure, Measures};
pub use jsonl::JsonLines;
pub use terminal::Terminal;
pub use timing::Timing;

use crate::diag::Result;

/// Something that events are told to.
pub trait Sink {
    /// Takes in an event.
    ///
    /// # Errors
    /// `P0002` when a file cannot be written.
    fn event(&mut self, event: &Event) -> Result<()>;

    /// Writes out what is held back; called before a checkpoint is committed.
    ///
    /// # Errors
    /// `P0002` when a file cannot be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
