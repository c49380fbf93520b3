//! `pipe plan`

use super::run::CACHE;
use super::{Outcome, say};
use crate::plan::Outlook;
use crate::world::{self, Store};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows the steps of a run: what is trained, where the frozen prefix is cut, what is cached, what will run and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The spec.
    spec: PathBuf,
    /// Overrides a value of the spec, such as `schedule.batch=16`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Prints JSON.
    #[arg(long, conflicts_with_all = ["dot", "mermaid"])]
    json: bool,
    /// Prints a drawing for Graphviz.
    #[arg(long, conflicts_with = "mermaid")]
    dot: bool,
    /// Prints a drawing for Mermaid.
    #[arg(long)]
    mermaid: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let planned = super::run::plan(&args.spec, &args.sets)?;
    let plan = planned.plan;
    let outlook = Outlook::of(&plan, &Store::at(planned.base.join(CACHE)))?;
    world::keep_digests();
    say(&if args.json {
        format!("{:#}\n", plan.to_json(&outlook))
    } else if args.dot {
        plan.to_dot(&outlook)
    } else if args.mermaid {
        plan.to_mermaid(&outlook)
    } else {
        plan.describe_with(&outlook)
    });
    Ok(ExitCode::SUCCESS)
}
