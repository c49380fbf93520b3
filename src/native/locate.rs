//! Where ONNX Runtime lies.
use crate::diag::{Code, Diagnostic, Result};
use std::path::PathBuf;
pub struct Found {
    pub path: PathBuf,
}
pub fn locate() -> Result<Found> {
    std::env::var_os("ORT_DYLIB_PATH")
        .map(|p| Found { path: p.into() })
        .ok_or_else(|| Diagnostic::error(Code::RuntimeMissing, "ONNX Runtime was not found"))
}
