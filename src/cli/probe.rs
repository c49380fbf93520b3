//! `pipe __probe`: what `pipe` calls itself to load a model that nobody vouches for. Not for people.

use super::{Failure, Outcome, say};
use crate::diag::{Code, Diagnostic};
use crate::native::probe::{self, Confined, PROBE_MEMORY, PROBE_SECONDS};
use crate::spec::scalars;
use crate::world::{env, process};
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

/// Bytes that loading a model may take unless `PIPE_PROBE_MEMORY` says otherwise.
const MEMORY: u64 = 4 << 30;

/// What ONNX Runtime takes by itself, with some room.
const LEAST_MEMORY: u64 = 256 << 20;

/// Seconds that loading a model may take unless `PIPE_PROBE_SECONDS` says otherwise.
const SECONDS: u64 = 60;

/// Reads a request on standard input and answers on standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    memory: u64,
    #[arg(long)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Outcome {
    process::confine(args.memory, args.seconds)?;
    let mut request = Vec::new();
    std::io::stdin()
        .read_to_end(&mut request)
        .map_err(|error| Diagnostic::error(Code::Io, "cannot read standard input").note(error.to_string()))?;
    say(&probe::answer(&request));
    Ok(ExitCode::SUCCESS)
}

/// Lets models be probed by this executable in a process of its own.
pub(super) fn confine() -> Result<(), Failure> {
    let bytes = |text: &str| scalars::bytes(text).filter(|bytes| *bytes >= LEAST_MEMORY);
    let memory = limit(PROBE_MEMORY, MEMORY, bytes, "a number of bytes such as `8GiB`, at least `256MiB`")?;
    let whole = |text: &str| text.parse().ok().filter(|seconds| *seconds > 0);
    let seconds = limit(PROBE_SECONDS, SECONDS, whole, "a whole number of seconds such as `600`")?;
    if let Some(program) = env::executable() {
        probe::confine_probes(Confined { program, memory, time: Duration::from_secs(seconds) });
    }
    Ok(())
}

/// What a variable says.
fn limit(name: &env::Variable, usual: u64, read: impl Fn(&str) -> Option<u64>, what: &str) -> Result<u64, Failure> {
    let Some(text) = env::variable(name) else { return Ok(usual) };
    let value = text.to_str().and_then(|text| read(text.trim()));
    value.ok_or_else(|| {
        let problem = Diagnostic::error(Code::Usage, format!("`{name}` is `{}`", text.display()));
        Failure::spec(vec![problem.help(format!("it is {what}"))])
    })
}
