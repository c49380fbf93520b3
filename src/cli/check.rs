//! `pipe check`

use super::Outcome;
use crate::diag::{Code, Diagnostic};

/// Checks specs without running anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Outcome {
    Err(Diagnostic::error(Code::NotSupported, "this command is not there yet").into())
}
