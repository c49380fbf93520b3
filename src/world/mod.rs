//! The only door to what lies outside the process: files, clock, environment; and the counted randomness.

pub mod env;
mod files;
pub mod process;
pub mod rng;

pub use files::{
    canonical, create_dir_all, is_file, is_folder, list_dir, read, read_head, read_limited, read_to_string,
    scratch_folder, sync_dir, write_atomic,
};
