//! The door to ONNX Runtime: locate, session, probe, own operators. Nothing else in the crate names the `ort` crate.

mod locate;
mod operator;
mod probe;
mod session;

pub use probe::probe;
pub use session::{Buffer, Level, Options, Outputs, Session, build_info};
