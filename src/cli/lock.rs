//! `pipe lock`

use super::{Failure, Outcome, complain, say};
use crate::diag::Diagnostic;
use crate::plan::{self, Lock, Verdict};
use crate::spec::{Parsed, Spec};
use crate::world;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Writes down what specs stand on, to `SPEC.lock`: hashes of the model, of all data and of the resolved spec, versions.
///
/// With the lock in git, `--locked` refuses to check, plan or run anything else.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The specs.
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<PathBuf>,
    /// Writes nothing, and fails where something is not as the lock says.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut failure = Failure::spec(Vec::new());
    let mut good = true;
    for path in &args.specs {
        let done = if args.check { check(path) } else { write(path) };
        if let Err(failed) = done {
            good = false;
            failure.status = failed.status;
            complain(&failed.diagnostics);
        }
    }
    if good { Ok(ExitCode::SUCCESS) } else { Err(failure) }
}

fn check(path: &Path) -> Result<(), Failure> {
    let (parsed, spec) = read(path)?;
    refuse(path, &parsed, &spec, false)?;
    say(&format!("{}: as locked\n", path.display()));
    Ok(())
}

/// Writes the lock anew if anything changed, and says what.
fn write(path: &Path) -> Result<(), Failure> {
    let (parsed, spec) = read(path)?;
    let base = plan::folder(path);
    let file = plan::lock_path(path);
    // A lock that cannot be read is written anew.
    let old = Lock::read(&file).unwrap_or_else(|problem| {
        complain(&[Diagnostic::warning(problem.code(), problem.message())]);
        None
    });
    let found = plan::facts(&spec, &base, &plan::declared(&spec, &base), old.as_ref())
        .map_err(|problem| Failure { diagnostics: vec![parsed.locate(problem)], status: 1 })?;
    if !found.absent.is_empty() {
        let why = found.absent.into_iter().map(|absent| absent.why).collect();
        return Err(Failure { diagnostics: parsed.locate_all(why), status: 1 });
    }
    let name = file.display();
    let Some(old) = old else {
        found.lock.write(&file)?;
        say(&format!("{name}: new\n"));
        return Ok(());
    };
    let differences = old.differences(&found.lock);
    if differences.is_empty() {
        say(&format!("{name}: unchanged\n"));
        return Ok(());
    }
    found.lock.write(&file)?;
    let lines: Vec<String> = differences.iter().map(|difference| format!("  {difference}\n")).collect();
    say(&format!("{name}: changed\n{}", lines.concat()));
    Ok(())
}

fn read(path: &Path) -> Result<(Parsed, Spec), Failure> {
    let parsed = plan::load(path, &[]).map_err(|problem| Failure::spec(vec![problem]))?;
    let Some(spec) = parsed.spec.clone() else { return Err(Failure::spec(parsed.diagnostics)) };
    world::remember_digests(&plan::folder(path).join(super::run::CACHE).join("digests"));
    Ok((parsed, spec))
}

/// `--locked`: an error if anything is not as the lock of a spec says. What is not on this machine is a note, or, where it is `needed`, an
/// error.
pub(super) fn refuse(path: &Path, parsed: &Parsed, spec: &Spec, needed: bool) -> Result<(), Failure> {
    let verdict = plan::locked(path, spec, &plan::folder(path), needed);
    let Verdict { refused, notes } = verdict.map_err(|problem| Failure::spec(vec![parsed.locate(problem)]))?;
    for note in notes {
        eprintln!("note: {note}");
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::spec(parsed.locate_all(refused))) }
}
