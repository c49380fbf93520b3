//! `pipe run`

use super::{Failure, Outcome, complain};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Plan, Reuse};
use crate::report::Reporter;
use crate::runtime::{RunFolder, RunOptions, execute, resumed_bytes};
use crate::spec;
use crate::world;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a spec: trains, evaluates, exports.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// The spec.
    spec: PathBuf,
    /// Overrides a value of the spec, such as `schedule.batch=16`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Folder of the run instead of `runs/<name>/<number>` beside the spec.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Goes on from the last checkpoint of the last run.
    #[arg(long)]
    resume: bool,
    /// Times every operator over the first 20 batches of each phase: a table here, a Chrome trace in the run's folder.
    #[arg(long)]
    profile: bool,
    /// Runs every step, also those whose results the cache holds.
    #[arg(long)]
    fresh: bool,
    /// Prints nothing but diagnostics.
    #[arg(long, short)]
    quiet: bool,
}

/// Where the cache lies, from the folder of the spec.
pub(super) const CACHE: &str = ".pipe/cache";

/// A checked spec with its plan.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) base: PathBuf,
}

/// Reads, checks and plans a spec; warnings are printed, errors returned with their places.
pub(super) fn plan(path: &Path, sets: &[String]) -> Result<Planned, Failure> {
    let text = world::read_to_string(path).map_err(|problem| Failure::spec(vec![problem]))?;
    let parsed = spec::parse(&text, &path.display().to_string(), sets);
    let Some(spec) = &parsed.spec else { return Err(Failure::spec(parsed.diagnostics)) };
    complain(&parsed.diagnostics);
    super::probe::confine()?;
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let plan = Plan::build(spec, &base).map_err(|problems| {
        // A missing library is a failure of the machine, not of the spec; a file that the spec names is the spec's.
        let machine = problems.iter().any(|problem| match problem.code() {
            Code::RuntimeMissing | Code::RuntimeWrong => true,
            Code::Io => problem.labels().is_empty(),
            _ => false,
        });
        Failure { diagnostics: parsed.locate_all(problems), status: if machine { 1 } else { 2 } }
    })?;
    complain(&parsed.locate_all(plan.warnings.clone()));
    world::remember_digests(&base.join(CACHE).join("digests"));
    Ok(Planned { plan, base })
}

pub(crate) fn run(args: &Args) -> Outcome {
    let Planned { plan, base } = plan(&args.spec, &args.sets)?;
    let folder = match (&args.out, args.resume) {
        (Some(out), resume) => RunFolder::at(out, resume)?,
        (None, true) => RunFolder::last(&base, &plan.spec.name)?,
        (None, false) => RunFolder::next(&base, &plan.spec.name)?,
    };
    if args.resume && folder.finished() {
        if !args.quiet {
            println!("{} is finished", folder.path().display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let resolved = spec::to_yaml(&plan.spec)?;
    world::write_atomic(&folder.file("spec.yaml"), |out| out.write_all(resolved.as_bytes()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // A second interrupt ends the process at once; without a handler the first one would.
    let handler = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = handler {
        return Err(Diagnostic::error(Code::Internal, "cannot watch for interrupts").note(error.to_string()).into());
    }
    let threads = plan.spec.runtime.threads.unwrap_or_else(world::env::cores);
    let options = RunOptions {
        folder: folder.clone(),
        cache: base.join(CACHE),
        reuse: if args.fresh || args.profile { Reuse::Nothing } else { Reuse::All },
        threads,
        resume: args.resume,
        profile: args.profile,
        stop,
    };
    let vouched = if args.resume { Some(resumed_bytes(&folder)?) } else { None };
    let mut reporter = Reporter::new(&folder, vouched, args.quiet)?;
    let summary = execute(&plan, &options, &mut reporter).map_err(|diagnostics| Failure { diagnostics, status: 1 })?;
    world::keep_digests();
    reporter.finish(&summary, folder.path());
    Ok(ExitCode::SUCCESS)
}
