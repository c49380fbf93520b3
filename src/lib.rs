//! `pipe` fine-tunes ONNX models from a YAML spec on stock ONNX Runtime.
//!
//! Data flows one way through the rooms: `spec` → `data` → `autodiff` → `graph` → `plan` → `runtime` → `report`.
//! `ARCHITECTURE.md` says what each room may and may not do.

pub mod autodiff;
pub mod cli;
pub mod data;
pub mod diag;
pub mod graph;
pub mod ir;
pub mod kernels;
pub mod native;
pub mod ops;
pub mod parts;
pub mod plan;
pub mod report;
pub mod runtime;
pub mod spec;
pub mod world;
