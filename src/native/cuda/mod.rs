//! The GPU: what its libraries are and where they lie, the driver's context and streams, memory, compiled kernels and convolutions.
//!
//! Everything runs on one stream, ONNX Runtime's work and ours; a second one copies batches up meanwhile. Nothing here is loaded before a
//! session asks for the device.

mod convolution;
mod cublas;
mod cudnn;
mod device;
pub mod libraries;
mod load;
mod memory;
mod module;
mod operator;
mod placement;
mod recorded;

pub use device::{Gpu, gpu, is_usable, ready};
pub use memory::{DeviceBuffer, Event, Pinned};
pub use module::{Function, compile, has_compiler};
pub(super) use operator::{Float, Form};
pub use placement::{Fallback, fallbacks};
pub use recorded::{Recorded, Refusal};
