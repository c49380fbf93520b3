//! The integration tests, one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod errors;
mod gradients;
mod machine;
mod refusals;
mod rooms;
mod schema;
mod specs;
