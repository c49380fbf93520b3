//! The intermediate representation: graphs of ONNX operators at one opset.
//!
//! Absence: nothing here runs a graph, reads a file or knows what a spec is.

mod builder;
mod dtype;
mod dump;
mod graph;
pub mod onnx;
mod tensor;
mod verify;

pub use builder::Builder;
pub use dtype::DType;
pub use graph::{Attr, Dim, Graph, Node, TensorType, Value, ValueId};
pub use tensor::{Element, Tensor};

/// The standard opset that graphs are normalised to and emitted at (FACTS: newer ones lack kernels in stock ONNX Runtime).
pub const OPSET: i64 = 18;

/// Domain of `pipe`'s own operators.
pub const DOMAIN: &str = "pipe";
