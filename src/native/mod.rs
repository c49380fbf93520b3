//! The door to ONNX Runtime: locate, provision, session, probe, own operators, libraries of CUDA. Nothing else in the crate names the `ort` crate.

mod arena;
mod binding;
pub mod cuda;
#[cfg(test)]
mod disk;
mod failure;
mod heap;
pub mod locate;
mod operator;
mod places;
pub mod probe;
mod profile;
pub mod provision;
mod session;

pub use binding::{Binding, Place};
pub use locate::{Found, locate, locate_cuda};
pub use probe::{probe, probe_untrusted};
pub use profile::{NodeTime, Profile};
pub use session::{Buffer, Cuda, Level, Options, Outputs, Session, TensorType, build_info, prefer_cuda};
