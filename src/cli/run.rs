//! `pipe run`

use super::{Failure, Outcome, complain, say};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Plan, Reuse};
use crate::report::Reporter;
use crate::runtime::{Resumption, RunFolder, RunOptions, execute};
use crate::spec::{self, Parsed, Spec};
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
    #[arg(required_unless_present = "reproduce")]
    spec: Option<PathBuf>,
    /// Overrides a value of the spec, such as `schedule.batch=16`; may stand several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Where the steps run, as `--set runtime.device=…`.
    #[arg(long, value_name = "DEVICE", value_parser = DEVICES)]
    device: Option<String>,
    /// Folder of the run instead of `runs/<name>/<number>` beside the spec.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Goes on from the last checkpoint of the last run; `epochs` and `steps` may have grown since, `schedule.stop` may have changed.
    #[arg(long)]
    pub(super) resume: bool,
    /// Times every operator over the first 20 batches of each phase: a table here, a Chrome trace in the run's folder. A GPU is waited for
    /// after each kernel then.
    #[arg(long)]
    pub(super) profile: bool,
    /// Runs every step, also those whose results the cache holds.
    #[arg(long)]
    fresh: bool,
    /// Refuses to run what is not as `SPEC.lock` says.
    #[arg(long)]
    locked: bool,
    /// Repeats a finished run from its own folder and compares the numbers; a run is a folder, `name/001` or `run://name`.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["spec", "sets", "resume", "profile", "locked"])]
    reproduce: Option<String>,
    /// Prints nothing but diagnostics.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// What `runtime.device` may be.
pub(super) const DEVICES: [&str; 3] = ["auto", "cpu", "cuda"];

/// Values that are overridden: those given, and the device.
pub(super) fn overrides(sets: &[String], device: Option<&str>) -> Vec<String> {
    sets.iter().cloned().chain(device.map(|word| format!("runtime.device={word}"))).collect()
}

/// Where the cache lies, from the folder of the spec.
pub(super) const CACHE: &str = ".pipe/cache";

/// A checked spec.
pub(super) struct Loaded {
    pub(super) parsed: Parsed,
    pub(super) spec: Spec,
    pub(super) base: PathBuf,
}

/// A checked spec with its plan.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) base: PathBuf,
    pub(super) parsed: Parsed,
}

/// Reads and checks a spec; warnings are printed, errors returned with their places.
pub(super) fn load(path: &Path, sets: &[String]) -> Result<Loaded, Failure> {
    let parsed = crate::plan::load(path, sets).map_err(|problem| Failure::spec(vec![problem]))?;
    let Some(spec) = parsed.spec.clone() else { return Err(Failure::spec(parsed.diagnostics)) };
    complain(&parsed.diagnostics);
    super::probe::confine()?;
    let base = crate::plan::folder(path);
    world::remember_digests(&base.join(CACHE).join("digests"));
    Ok(Loaded { parsed, spec, base })
}

/// Plans a checked spec; warnings are printed, errors returned with their places.
pub(super) fn plan(loaded: Loaded) -> Result<Planned, Failure> {
    plan_by(Plan::build, loaded)
}

/// The same, by one of the ways in which plans are made.
pub(super) fn plan_by(
    make: fn(&Spec, &Path) -> Result<Plan, Vec<Diagnostic>>,
    loaded: Loaded,
) -> Result<Planned, Failure> {
    let Loaded { parsed, spec, base } = loaded;
    let plan = make(&spec, &base).map_err(|problems| {
        // A missing library is a failure of the machine, not of the spec; a file that the spec names is the spec's.
        let machine = problems.iter().any(|problem| match problem.code() {
            Code::RuntimeMissing | Code::RuntimeWrong | Code::CudaMissing | Code::NoGpu => true,
            Code::Io => problem.labels().is_empty(),
            _ => false,
        });
        Failure { diagnostics: parsed.locate_all(problems), status: if machine { 1 } else { 2 } }
    })?;
    complain(&parsed.locate_all(plan.warnings.clone()));
    Ok(Planned { plan, base, parsed })
}

/// What there is to go on from, if the spec allows it.
fn resume(folder: &RunFolder, plan: &Plan, parsed: &Parsed) -> Result<Resumption, Failure> {
    let path = folder.file("spec.yaml");
    let started = world::exists(&path).then(|| world::read_to_string(&path)).transpose()?;
    let started = started.map(|text| spec::parse(&text, &path.display().to_string(), &[]));
    let resumed = Resumption::read(folder, plan, started.as_ref().and_then(|parsed| parsed.spec.as_ref()));
    let resumed = resumed.map_err(|problem| {
        // An edit beyond what a run may go on with is a fault of the spec.
        let status = if problem.code() == Code::ResumeChanged { 2 } else { 1 };
        Failure { diagnostics: vec![parsed.locate(problem)], status }
    })?;
    complain(&parsed.locate_all(resumed.warnings.clone()));
    Ok(resumed)
}

impl Args {
    /// The folder of the run.
    pub(super) fn folder(&self, base: &Path, name: &str) -> crate::diag::Result<RunFolder> {
        match (&self.out, self.resume) {
            (Some(out), resume) => RunFolder::at(out, resume),
            (None, true) => RunFolder::last(base, name),
            (None, false) => RunFolder::next(base, name),
        }
    }
}

/// How a spec is run; from now on an interrupt stops it at a step boundary.
pub(super) fn options(args: &Args, spec: &Spec, base: &Path, folder: &RunFolder) -> crate::diag::Result<RunOptions> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // A second interrupt ends the process at once; without a handler the first one would.
    let handler = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = handler {
        return Err(Diagnostic::error(Code::Internal, "cannot watch for interrupts").note(error.to_string()));
    }
    Ok(RunOptions {
        folder: folder.clone(),
        cache: base.join(CACHE),
        reuse: if args.fresh || args.profile { Reuse::Nothing } else { Reuse::All },
        threads: spec.runtime.threads.unwrap_or_else(world::env::cores),
        resume: args.resume,
        profile: args.profile,
        until: None,
        stop,
    })
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = match (&args.reproduce, &args.spec) {
        (Some(run), _) => return super::reproduce::run(args, run),
        (None, Some(path)) => path,
        (None, None) => return Err(Failure::spec(vec![Diagnostic::error(Code::Usage, "which spec is to be run?")])),
    };
    let loaded = load(path, &overrides(&args.sets, args.device.as_deref()))?;
    if args.locked {
        super::lock::refuse(path, &loaded.parsed, &loaded.spec, true)?;
    }
    if loaded.spec.sweep.is_some() {
        return super::sweep::run(args, &loaded);
    }
    let Planned { plan, base, parsed } = plan(loaded)?;
    let folder = args.folder(&base, &plan.spec.name)?;
    let _held = folder.hold()?;
    let resumed = if args.resume { Some(resume(&folder, &plan, &parsed)?) } else { None };
    if resumed.as_ref().is_some_and(|resumed| resumed.finished) {
        if !args.quiet {
            say(&format!("{} is finished\n", folder.path().display()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = options(args, &plan.spec, &base, &folder)?;
    carry_out(args, &plan, &options, resumed.map(|resumed| resumed.metrics_bytes))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a plan in a folder that this process holds. Of a run that goes on, so many bytes of its metrics are good.
pub(super) fn carry_out(args: &Args, plan: &Plan, options: &RunOptions, vouched: Option<u64>) -> Result<(), Failure> {
    let folder = &options.folder;
    // In this order: a run that dies in between is not taken for finished.
    folder.reopen()?;
    let resolved = spec::to_yaml(&plan.spec)?;
    world::write_atomic(&folder.file("spec.yaml"), |out| out.write_all(resolved.as_bytes()))?;
    let mut reporter = Reporter::new(folder, vouched, args.quiet)?;
    let summary = execute(plan, options, &mut reporter).map_err(|diagnostics| Failure { diagnostics, status: 1 })?;
    world::keep_digests();
    reporter.finish(&summary, folder.path());
    Ok(())
}
