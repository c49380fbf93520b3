//! `pipe doctor`

use super::Outcome;
use crate::diag::{Code, Diagnostic};

/// Shows what was found on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Outcome {
    Err(Diagnostic::error(Code::NotSupported, "this command is not there yet").into())
}
