//! The integration tests, one binary.

mod gradients;
mod machine;
mod refusals;
mod rooms;
