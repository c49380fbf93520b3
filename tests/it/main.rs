//! The integration tests, one binary.

mod gradients;
mod machine;
mod rooms;
mod specs;
