//! The integration tests, one binary.

mod machine;
mod rooms;
