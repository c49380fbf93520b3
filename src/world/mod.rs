//! The only door to what lies outside the process: files, clock, environment; and the counted randomness.

mod files;
pub mod rng;
mod within;

pub use files::{create_dir_all, list_dir, read, read_limited, read_to_string, sync_dir, write_atomic};
pub use within::{FileWithin, open_within};
