//! `pipe setup`

use super::Outcome;
use crate::diag::{Code, Diagnostic};

/// Installs ONNX Runtime into the user's data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Outcome {
    Err(Diagnostic::error(Code::NotSupported, "this command is not there yet").into())
}
