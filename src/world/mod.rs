//! The only door to what lies outside the process: files, clock, environment; and the counted randomness.

mod files;
pub mod rng;

pub use files::{
    Mapped, create_dir_all, exists, list_dir, map, read, read_limited, read_to_string, remove, sync_dir, write_atomic,
};
