//! The integration tests, one binary.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod averages;
mod bad_input;
mod balanced;
mod bench;
mod checking;
mod differing;
mod errors;
mod expansions;
mod exports;
mod extending;
mod formatting;
mod fuzzing;
mod goldens;
mod gradients;
mod hostile;
mod locking;
mod machine;
mod onnx_cases;
mod operators;
mod own_forms;
mod pages;
mod pooling;
mod quickstart;
mod refusals;
mod resume;
mod rooms;
mod runs;
mod scene;
mod schema;
mod specs;
mod steps;
mod sweeps;
mod training;
