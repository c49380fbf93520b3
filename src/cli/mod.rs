//! The command line: a file per command, a row per command here.
#![expect(clippy::print_stderr, reason = "the command line talks to the terminal")]

mod bench;
mod cache;
mod check;
mod completions;
mod diff;
mod doctor;
mod explain;
mod files;
mod fmt;
mod init;
mod inspect;
mod lock;
mod plan;
mod probe;
mod reference;
mod render;
mod reproduce;
mod run;
mod schema;
mod setup;
mod sweep;

use crate::diag::{self, Diagnostic};
use crate::world::env;
use clap::{Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Fine-tunes ONNX models from a YAML spec.
#[derive(Debug, Parser)]
#[command(name = "pipe", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    Bench(bench::Args),
    Check(check::Args),
    Fmt(fmt::Args),
    Diff(diff::Args),
    Plan(plan::Args),
    Lock(lock::Args),
    Cache(cache::Args),
    Render(render::Args),
    Inspect(inspect::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    Reference(reference::Args),
    Setup(setup::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    #[command(name = "__probe", hide = true)]
    Probe(probe::Args),
}

impl Command {
    /// Whether the time of each operator is wanted.
    fn profiles(&self) -> bool {
        match self {
            Self::Run(args) => args.profile,
            Self::Bench(args) => args.profile.is_some(),
            _ => false,
        }
    }
}

/// How a command ended: an exit status, or what was wrong with its status (1 a run failed, 2 the spec or the command line is wrong).
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// Diagnostics and the exit status that goes with them.
pub(crate) struct Failure {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) status: u8,
}

impl Failure {
    /// The spec or the command line is wrong.
    pub(crate) fn spec(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics, status: 2 }
    }
}

impl From<Diagnostic> for Failure {
    /// Something failed while it ran.
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], status: 1 }
    }
}

/// Whether standard error takes colours.
pub(crate) fn colour() -> bool {
    std::io::stderr().is_terminal() && env::variable(&env::NO_COLOR).is_none()
}

/// Prints on standard output. Whoever reads it may stop reading, as `head` does; that is no error.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints diagnostics on standard error.
pub(crate) fn complain(diagnostics: &[Diagnostic]) {
    if !diagnostics.is_empty() {
        eprintln!("{}", diag::render(diagnostics, colour()));
    }
}

/// Reads the command line, runs the command, gives its exit status: 0 fine, 1 a run failed, 2 the spec or the command line is wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.profiles() {
        env::block_launches();
    }
    let outcome = match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Lock(args) => lock::run(args),
        Command::Cache(args) => cache::run(args),
        Command::Render(args) => render::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Reference(args) => reference::run(args),
        Command::Setup(args) => setup::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Probe(args) => probe::run(args),
    };
    match outcome {
        Ok(status) => status,
        Err(failure) => {
            complain(&failure.diagnostics);
            ExitCode::from(failure.status)
        }
    }
}
