//! Walks the plan: sessions, features, training, evaluation, checkpoints, export.
//!
//! Absence: nothing here parses a spec or prints; what happens is told as [`Event`]s.

mod average;
mod bench;
mod checkpoint;
mod device;
mod evaluate;
mod event;
mod execute;
mod export;
mod features;
mod feed;
mod folder;
mod gradients;
mod length;
mod not_finite;
mod pass;
mod prefix;
mod profile;
mod random;
mod replay;
mod reproduce;
mod resume;
mod saved;
mod serve;
mod step;
mod sweep;
mod together;
mod train;
pub mod update;
mod weights;

pub use bench::{BenchOptions, BenchReport, Spread, bench};
#[doc(hidden)]
pub use checkpoint::read_checkpoint;
pub use event::{Event, Scores, Sink};
pub use execute::{RunOptions, Summary, execute};
pub use folder::{Held, RunFolder};
#[doc(hidden)]
pub use gradients::read_feeds;
pub use gradients::{Feeds, Gradients};
pub use profile::{ProfileRow, ProfileTable};
pub use reproduce::{Comparison, Original, compare, machine};
pub use resume::Resumption;
pub use sweep::{SinkFor, SweepSummary, TrialRow, TrialState, number, run_sweep};
