//! `pipe check`

use super::{Failure, Outcome, complain, files, say};
use crate::diag::{Code, Diagnostic, Severity};
use crate::plan::{self, Plan};
use crate::report::{github, json_lines, sarif};
use crate::spec::Spec;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks specs without running anything: the text alone, and deeper with `--model` and `--data`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Specs to check: files, folders, or patterns such as `experiments/**/*.yaml`.
    #[arg(value_name = "SPEC", required = true)]
    files: Vec<PathBuf>,
    /// Overrides a value of the specs, such as `schedule.epochs=3`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Reads the models too: names, patterns, shapes, gradients. Data that is not on this machine is a warning.
    #[arg(long)]
    model: bool,
    /// Reads models and data too: files, columns, labels, and every sample is decoded.
    #[arg(long)]
    data: bool,
    /// Refuses what differs from `<spec>.lock`.
    #[arg(long)]
    locked: bool,
    /// What else makes a spec wrong.
    #[arg(long, value_name = "WHAT")]
    deny: Option<Deny>,
    /// How diagnostics are printed.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Deny {
    /// Warnings are as bad as errors.
    Warnings,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Format {
    /// For people, on standard error.
    Human,
    /// One JSON object a diagnostic, on standard output.
    Json,
    /// SARIF 2.1.0, for code scanning, on standard output.
    Sarif,
    /// Annotations of GitHub Actions, on standard output.
    Github,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (paths, problems) = files::specs(&args.files);
    if !problems.is_empty() {
        return Err(Failure::spec(problems));
    }
    if args.model || args.data {
        super::probe::confine()?;
    }
    let one = |path: &PathBuf| check(args, path);
    let checked: Vec<Checked> = if args.model || args.data {
        // A model takes memory and its probes all cores: one after the other.
        paths.iter().map(one).collect()
    } else {
        paths.par_iter().map(one).collect()
    };
    let names = paths.iter().map(|path| path.display().to_string());
    let (notes, findings): (Vec<_>, Vec<_>) =
        names.zip(checked).map(|(name, checked)| (checked.notes, (name, checked.found))).unzip();
    let denied = |found: &&Diagnostic| found.severity() == Severity::Error || args.deny == Some(Deny::Warnings);
    let clean = |found: &[Diagnostic]| !found.iter().any(|found| denied(&found));
    match args.format {
        Format::Human => {
            for ((name, found), notes) in findings.iter().zip(&notes) {
                complain(found);
                for note in notes {
                    eprintln!("note: {note}");
                }
                if clean(found) {
                    say(&format!("ok {name}\n"));
                }
            }
            if findings.len() > 1 {
                say(&summary(&findings));
            }
        }
        Format::Json => say(&json_lines(&findings)),
        Format::Sarif => say(&format!("{:#}\n", sarif(&findings))),
        Format::Github => say(&github(&findings)),
    }
    let good = findings.iter().all(|(_, found)| clean(found));
    if good { Ok(ExitCode::SUCCESS) } else { Err(Failure::spec(Vec::new())) }
}

fn summary(findings: &[(String, Vec<Diagnostic>)]) -> String {
    let count =
        |severity| findings.iter().flat_map(|(_, found)| found).filter(|found| found.severity() == severity).count();
    format!("{} specs, {} errors, {} warnings\n", findings.len(), count(Severity::Error), count(Severity::Warning))
}

/// What is said of one spec.
#[derive(Default)]
struct Checked {
    /// In the order of the text.
    found: Vec<Diagnostic>,
    /// What could not be looked at on this machine; no fault of the spec.
    notes: Vec<String>,
}

fn check(args: &Args, path: &Path) -> Checked {
    let parsed = match plan::load(path, &args.sets) {
        Ok(parsed) => parsed,
        Err(error) => return Checked { found: vec![error], notes: Vec::new() },
    };
    let mut checked = Checked { found: parsed.diagnostics.clone(), notes: Vec::new() };
    if let Some(spec) = &parsed.spec {
        let base = plan::folder(path);
        if args.locked {
            match plan::locked(path, spec, &base, args.data) {
                Ok(verdict) => {
                    checked.found.extend(parsed.locate_all(verdict.refused));
                    checked.notes.extend(verdict.notes);
                }
                Err(error) => checked.found.push(parsed.locate(error)),
            }
        }
        if args.model || args.data {
            let absent = |found: &Diagnostic| {
                let of_data = matches!(found.code(), Code::DataMissing | Code::LfsPointer);
                of_data && found.severity() == Severity::Warning
            };
            let (notes, found): (Vec<_>, Vec<_>) = deep(args, spec, &base).into_iter().partition(absent);
            checked.found.extend(parsed.locate_all(found));
            checked.notes.extend(notes.iter().map(|note| note.message().to_owned()));
        }
    }
    checked
}

/// What model and data say.
fn deep(args: &Args, spec: &Spec, base: &Path) -> Vec<Diagnostic> {
    let made = if args.data { Plan::build(spec, base) } else { Plan::check(spec, base) };
    match made {
        Err(problems) => problems,
        Ok(plan) => {
            let mut found = plan.warnings;
            // The validation set is a part of another one.
            let own = plan.sets.iter().filter(|_| args.data);
            found.extend(own.filter_map(|(name, set)| {
                let at = spec.data.sets.get(name).map_or("/data/validation".to_owned(), |set| set.source.at.clone());
                set.scan().map(|problem| problem.at(at, ""))
            }));
            found
        }
    }
}
