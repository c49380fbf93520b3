//! The only door to what lies outside the process: files, clock, environment; and the counted randomness.

pub mod clock;
mod digests;
mod entries;
pub mod env;
mod files;
mod lfs;
mod lock;
pub mod process;
mod reserved;
pub mod rng;
mod store;
mod within;

pub use digests::{digest, keep_digests, remember_digests};
pub use entries::{Entry, entry, exists, is_file, is_folder, list_dir, list_entries, open};
pub use files::{
    Appender, Mapped, UNFINISHED, canonical, create_dir, create_dir_all, map, read, read_between, read_head,
    read_limited, read_to_string, remove, rewrite_atomic, scratch_folder, write_atomic,
};
pub use lfs::sha256;
pub use lock::{Lock, lock, wait};
pub use reserved::Reserved;
pub use store::{Collected, Key as StoreKey, Store, Stored};
pub use within::{FileWithin, open_within};
