//! The integration tests, one binary.

mod errors;
mod exports;
mod goldens;
mod gradients;
mod machine;
mod refusals;
mod rooms;
mod runs;
mod scene;
mod schema;
mod specs;
mod training;
