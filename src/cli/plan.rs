//! `pipe plan`

use super::Outcome;
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows the steps of a run: what is trained, where the frozen prefix is cut, what the cache will hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The spec.
    spec: PathBuf,
    /// Overrides a value of the spec, such as `schedule.batch=16`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let planned = super::run::plan(&args.spec, &args.sets)?;
    print!("{}", planned.plan.describe());
    Ok(ExitCode::SUCCESS)
}
