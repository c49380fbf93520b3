//! The door to ONNX Runtime: locate, provision, session, probe, own operators. Nothing else in the crate names the `ort` crate.

mod arena;
mod heap;
pub mod locate;
mod operator;
pub mod probe;
mod profile;
pub mod provision;
mod session;

pub use locate::{Found, locate};
pub use probe::{probe, probe_untrusted};
pub use profile::{NodeTime, Profile};
pub use session::{Buffer, Level, Options, Outputs, Session, TensorType, build_info};
