//! `pipe completions`

use super::{Cli, Outcome, say};
use crate::diag::{Code, Diagnostic};
use clap::CommandFactory;
use clap_complete::Shell;
use std::process::ExitCode;

/// Prints what a shell needs to complete the commands and switches of `pipe`, such as `pipe completions bash > ~/.bash_completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pipe", &mut out);
    let text = String::from_utf8(out)
        .map_err(|error| Diagnostic::error(Code::Internal, "the completions are no text").note(error.to_string()))?;
    say(&text);
    Ok(ExitCode::SUCCESS)
}
