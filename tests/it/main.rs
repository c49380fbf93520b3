//! The integration tests, one binary.

mod errors;
mod gradients;
mod machine;
mod rooms;
mod schema;
mod specs;
