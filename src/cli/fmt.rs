//! `pipe fmt`

use super::{Failure, Outcome, complain, files, say};
use crate::diag::{Code, Diagnostic, Result};
use crate::plan::SPEC_BYTES;
use crate::spec;
use crate::world;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Puts the keys of specs in the order of the language. Comments stay with what they stand above or beside; nothing is written anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Specs: files, folders, or patterns such as `experiments/**/*.yaml`; `-` is standard input, written to standard output.
    #[arg(value_name = "SPEC", required = true)]
    files: Vec<PathBuf>,
    /// Writes nothing, lists the specs that would change, and ends with status 1 if there are any.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.files.iter().any(|file| file == Path::new("-")) {
        return standard_input(args);
    }
    let (paths, problems) = files::specs(&args.files);
    if !problems.is_empty() {
        return Err(Failure::spec(problems));
    }
    let (mut changed, mut failed) = (0, 0);
    for path in &paths {
        match one(path, args.check) {
            Ok(true) => {
                changed += 1;
                say(&format!("{} {}\n", if args.check { "would change" } else { "formatted" }, path.display()));
            }
            Ok(false) => {}
            Err(found) => {
                failed += 1;
                complain(&found);
            }
        }
    }
    let as_it_was = paths.len() - changed - failed;
    if paths.len() > 1 {
        let done = if args.check { "would change" } else { "formatted" };
        say(&format!("{} specs, {changed} {done}, {as_it_was} in order, {failed} with errors\n", paths.len()));
    }
    if failed > 0 {
        return Err(Failure::spec(Vec::new()));
    }
    Ok(status(args, changed > 0))
}

fn status(args: &Args, changes: bool) -> ExitCode {
    if args.check && changes { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether a spec is or would be changed.
fn one(path: &Path, check: bool) -> std::result::Result<bool, Vec<Diagnostic>> {
    let text = world::read_to_string(path).map_err(|problem| vec![problem])?;
    let formatted = spec::format(&text, &path.display().to_string())?;
    if formatted != text && !check {
        world::rewrite_atomic(path, formatted.as_bytes()).map_err(|problem| vec![problem])?;
    }
    Ok(formatted != text)
}

fn standard_input(args: &Args) -> Outcome {
    if args.files.len() > 1 {
        let error = Diagnostic::error(Code::Usage, "`-` stands beside other specs");
        return Err(Failure::spec(vec![error.help("format standard input in a call of its own")]));
    }
    let text = read().map_err(|problem| Failure::spec(vec![problem]))?;
    let formatted = spec::format(&text, "standard input").map_err(Failure::spec)?;
    let changes = formatted != text;
    if !args.check {
        say(&formatted);
    } else if changes {
        say("would change standard input\n");
    }
    Ok(status(args, changes))
}

/// Standard input.
fn read() -> Result<String> {
    let mut bytes = Vec::new();
    let failed = |why: String| Diagnostic::error(Code::Io, "cannot read standard input").note(why);
    std::io::stdin().lock().take(SPEC_BYTES).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}
