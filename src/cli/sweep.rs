//! `pipe run` of a spec with `sweep`.

use super::run::{Args, Loaded, options};
use super::{Failure, Outcome};
use crate::report::{Reporter, Terminal, sweep_table};
use crate::runtime::{RunFolder, Sink, run_sweep};
use crate::spec;
use crate::world;
use std::process::ExitCode;

pub(super) fn run(args: &Args, loaded: &Loaded) -> Outcome {
    let Loaded { parsed, spec, base } = loaded;
    let folder = args.folder(base, &spec.name)?;
    let _held = folder.hold()?;
    if args.resume && folder.finished() {
        if !args.quiet {
            super::say(&format!("{} is finished\n", folder.path().display()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let resolved = spec::to_yaml(spec)?;
    world::write_atomic(&folder.file("spec.yaml"), |out| out.write_all(resolved.as_bytes()))?;
    let options = options(args, spec, base, &folder)?;
    let mut terminal = Terminal::new(args.quiet);
    let sink_for =
        |folder: &RunFolder, vouched: Option<u64>| Ok(Box::new(Reporter::new(folder, vouched, true)?) as Box<dyn Sink>);
    let summary = run_sweep(spec, &parsed.trials, base, &options, &sink_for, &mut terminal)
        .map_err(|problem| Failure { diagnostics: vec![problem], status: 1 })?;
    world::keep_digests();
    if !args.quiet {
        super::say(&sweep_table(&summary));
        super::say(&format!("the best is trial {}, results in {}\n", summary.best, folder.path().display()));
    }
    Ok(ExitCode::SUCCESS)
}
