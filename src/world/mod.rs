//! The only door to what lies outside the process: files, clock, environment; and the counted randomness.

mod clock;
mod files;
mod lines;
pub mod rng;

pub use clock::Clock;
pub use files::{create_dir_all, list_dir, read, read_limited, read_to_string, sync_dir, write_atomic};
pub use lines::LineFile;
