//! `pipe diff`

use super::{Failure, Outcome, reproduce, say};
use crate::diag::{Code, Diagnostic};
use crate::report::{Side, diff, diff_text};
use crate::world;
use std::path::Path;
use std::process::ExitCode;

/// Compares two specs or two runs: spec, data, versions, machine, metrics, time. Status 0 when they are the same, 1 when they differ.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A spec, a run's folder, `name/001` below `runs`, or `run://name` for the last finished one.
    #[arg(value_name = "A")]
    a: String,
    /// Another one.
    #[arg(value_name = "B")]
    b: String,
    /// Prints the same as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (a, b) = match (open(&args.a), open(&args.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => return Err(Failure::spec([a.err(), b.err()].into_iter().flatten().flatten().collect())),
    };
    let found = diff(&a, &b);
    if args.json {
        let json = serde_json::to_string_pretty(&found);
        let error = |error: serde_json::Error| {
            Diagnostic::error(Code::Internal, "cannot print the differences").note(error.to_string())
        };
        say(&format!("{}\n", json.map_err(|problem| Failure::spec(vec![error(problem)]))?));
    } else {
        say(&diff_text(&found));
    }
    Ok(if found.same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(named: &str) -> Result<Side, Vec<Diagnostic>> {
    if world::is_file(Path::new(named)) {
        return Side::spec(Path::new(named));
    }
    let folder = reproduce::find(named).map_err(|missing| {
        let error = Diagnostic::error(Code::Usage, format!("`{named}` is neither a spec nor a run"));
        vec![if let Some(help) = missing.help_text() { error.help(help) } else { error }]
    })?;
    Side::run(&folder).map_err(|problem| vec![problem])
}
