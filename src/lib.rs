//! `pipe` fine-tunes ONNX models from a YAML spec on stock ONNX Runtime.
//!
//! Data flows one way through the rooms: `spec` → `graph` → `autodiff` → `plan` → `runtime` → `report`.
//! `ARCHITECTURE.md` says what each room may and may not do.

pub mod diag;
pub mod ir;
pub mod parts;
pub mod spec;
pub mod world;
