//! `pipe schema`

use super::{Outcome, say};
use crate::spec;
use std::process::ExitCode;

/// Prints the JSON Schema of the spec language.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[expect(clippy::unnecessary_wraps, reason = "a command like the others")]
pub(crate) fn run(_args: &Args) -> Outcome {
    say(&spec::schema_text());
    Ok(ExitCode::SUCCESS)
}
