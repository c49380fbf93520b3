//! `pipe schema`

use super::{Outcome, say};
use crate::diag::{Code, Diagnostic};
use std::process::ExitCode;

/// Prints the JSON Schema of the spec language.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Outcome {
    let schema = serde_json::to_string_pretty(&crate::spec::schema())
        .map_err(|error| Diagnostic::error(Code::Internal, "the schema cannot be written").note(error.to_string()))?;
    say(&(schema + "\n"));
    Ok(ExitCode::SUCCESS)
}
