//! The only door to what lies outside the process: files, clock, environment; and the counted randomness.

mod entries;
mod files;
pub mod rng;

pub use entries::{Entry, entry, list_entries, open};
pub use files::{create_dir_all, list_dir, read, read_limited, read_to_string, sync_dir, write_atomic};
