//! The door to ONNX Runtime: locate, session, probe, own operators.

pub mod locate;
pub mod provision;

pub use locate::{Found, locate};
