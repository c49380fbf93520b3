//! `pipe run --reproduce`

use super::run::{Args, CACHE, Loaded, Planned, carry_out, options, plan as planned};
use super::{Failure, Outcome, say};
use crate::diag::{Code, Diagnostic, Result};
use crate::plan::{self, Difference, Lock, Reuse};
use crate::runtime::{Original, RunOptions, compare, machine};
use crate::spec::{self, Spec};
use crate::world;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn run(args: &Args, named: &str) -> Outcome {
    let original = Original::open(&find(named)?).map_err(|problem| Failure::spec(vec![problem]))?;
    let path = original.folder.join("spec.yaml");
    let text = world::read_to_string(&path)?;
    let parsed = spec::parse(&text, &path.display().to_string(), &[]);
    let Some(spec) = parsed.spec.clone() else { return Err(Failure::spec(parsed.diagnostics)) };
    let base = original.base.clone();
    super::probe::confine()?;
    world::remember_digests(&base.join(CACHE).join("digests"));
    // Told first: it may be why the rest fails.
    let differences = environment(&original, &spec)?;
    for difference in &differences {
        say(&format!("differs      {difference}\n"));
    }
    let Planned { plan, base, .. } = planned(Loaded { parsed, spec, base })?;
    let folder = args.folder(&base, &plan.spec.name)?;
    let _held = folder.hold()?;
    let options = options(args, &plan.spec, &base, &folder)?;
    // Nothing is served from the cache: what it holds may be what the first run made.
    let options = RunOptions { reuse: Reuse::Nothing, threads: original.threads, ..options };
    carry_out(args, &plan, &options, None)?;
    let found = compare(&original.folder, &folder)?;
    for (name, text) in &found.lines {
        say(&format!("{name:<12} {text}\n"));
    }
    let (run, new) = (original.folder.display(), folder.path().display());
    if found.same {
        say(&format!("{run} is reproduced in {new}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let why = if differences.is_empty() { ", and nothing that is known differs" } else { "" };
    say(&format!("{run} is not reproduced in {new}{why}\n"));
    Ok(ExitCode::FAILURE)
}

/// The folder of a run: a path, `name/001` below `runs`, or `run://name` for the last finished one.
pub(super) fn find(named: &str) -> Result<PathBuf> {
    let missing = || {
        Diagnostic::error(Code::Usage, format!("there is no run `{named}`"))
            .help("name a run's folder, such as `runs/name/001`, or `run://name` for the last one of that name")
    };
    if let Some(name) = named.strip_prefix("run://") {
        return crate::plan::runs::latest_finished(Path::new("."), name).ok_or_else(missing);
    }
    let places = [PathBuf::from(named), Path::new("runs").join(named)];
    places.into_iter().find(|place| world::is_folder(place)).ok_or_else(missing)
}

/// What is not as it was when the run was made.
fn environment(original: &Original, spec: &Spec) -> Result<Vec<Difference>> {
    let data = plan::declared(spec, &original.base);
    // What is wrong with the model or the data, the plan will say better.
    let found = plan::facts(spec, &original.base, &data, Some(&original.lock)).ok();
    let Some(found) = found else { return Ok(Vec::new()) };
    let mut now: Lock = found.lock;
    machine(&mut now, original.threads)?;
    let differences = original.lock.differences(&now);
    Ok(differences.into_iter().filter(|difference| difference.section != "run").collect())
}
