//! The integration tests, one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod errors;
mod expansions;
mod exports;
mod goldens;
mod gradients;
mod machine;
mod operators;
mod own_forms;
mod quickstart;
mod refusals;
mod rooms;
mod runs;
mod scene;
mod schema;
mod specs;
mod training;
