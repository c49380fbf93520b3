//! `pipe plan`

use super::run::{CACHE, Planned};
use super::{Outcome, complain, say};
use crate::plan::{Outlook, Plan};
use crate::spec::{Spec, Trial};
use crate::world::{self, Store};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows the steps of a run: what is trained, where the frozen prefix is cut, what is cached, what will run and why.
///
/// With a GPU also the memory that the steps take there, and which of their nodes it does not run; the latter only where there is one.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// The spec.
    spec: PathBuf,
    /// Overrides a value of the spec, such as `schedule.batch=16`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Where the steps run, as `--set runtime.device=…`.
    #[arg(long, value_name = "DEVICE", value_parser = super::run::DEVICES)]
    device: Option<String>,
    /// Refuses whatever is not as `SPEC.lock` says.
    #[arg(long)]
    locked: bool,
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
    let loaded = super::run::load(&args.spec, &super::run::overrides(&args.sets, args.device.as_deref()))?;
    if args.locked {
        super::lock::refuse(&args.spec, &loaded.parsed, &loaded.spec, true)?;
    }
    let trials = loaded.parsed.trials.clone();
    let Planned { plan, base, .. } = super::run::plan_by(Plan::show, loaded)?;
    let mut outlook = Outlook::of(&plan, &Store::at(base.join(CACHE)))?;
    let mut misplaced = None;
    if !args.dot && !args.mermaid {
        let placement = plan.placement()?;
        misplaced = placement.problem(plan.spec.runtime.strict);
        outlook = outlook.placed(placement);
    }
    world::keep_digests();
    say(&if args.json {
        format!("{:#}\n", plan.to_json(&outlook)?)
    } else if args.dot {
        plan.to_dot(&outlook)
    } else if args.mermaid {
        plan.to_mermaid(&outlook)
    } else {
        sweep(&plan.spec, &trials) + &plan.describe_with(&outlook)?
    });
    match misplaced {
        Some(problem) if plan.spec.runtime.strict => Err(problem.into()),
        problem => {
            complain(problem.as_slice());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The trials of a sweep; what follows is the plan of the spec without them.
fn sweep(spec: &Spec, trials: &[Trial]) -> String {
    let Some(sweep) = &spec.sweep else { return String::new() };
    let names: Vec<String> = trials.iter().map(|trial| format!("           {}\n", trial.name())).collect();
    let (shown, more) = names.split_at(names.len().min(20));
    let more = if more.is_empty() { String::new() } else { format!("           and {} more\n", more.len()) };
    format!("sweep      {} trials, ranked by {}\n{}{more}", trials.len(), sweep.metric, shown.concat())
}
