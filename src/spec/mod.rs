//! The spec: text → spanned tree → typed spec.

mod types;

pub use types::*;
