//! The integration tests, one binary.

mod gradients;
mod rooms;
