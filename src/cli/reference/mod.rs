//! `pipe reference`: the whole language on one page, from the texts that `pipe explain` prints and from the command line itself.

mod commands;
mod escape;
mod html;
mod links;
mod page;

use super::{Outcome, say};
use std::process::ExitCode;

/// Prints the reference of the whole language: sections, kinds, diagnostics, commands.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One self-contained HTML page with a search instead of Markdown.
    #[arg(long)]
    html: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "a command like the others")]
pub(crate) fn run(args: &Args) -> Outcome {
    let page = page::markdown();
    say(&if args.html { html::page(&page) } else { page });
    Ok(ExitCode::SUCCESS)
}
