//! `pipe render`

use super::{Failure, Outcome, complain, say};
use crate::plan;
use crate::spec;
use std::path::PathBuf;
use std::process::ExitCode;

/// Prints a spec with its bases and variables put in and every default written out: what a run computes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The spec.
    spec: PathBuf,
    /// Overrides a value of the spec, such as `schedule.batch=16`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let parsed = plan::load(&args.spec, &args.sets).map_err(|problem| Failure::spec(vec![problem]))?;
    let Some(spec) = &parsed.spec else { return Err(Failure::spec(parsed.diagnostics)) };
    complain(&parsed.diagnostics);
    say(&spec::to_yaml(spec)?);
    Ok(ExitCode::SUCCESS)
}
