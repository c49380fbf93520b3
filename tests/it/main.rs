//! The integration tests, one binary.

mod errors;
mod gradients;
mod machine;
mod refusals;
mod rooms;
mod schema;
mod specs;
