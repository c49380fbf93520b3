//! `pipe check`

use super::{Failure, Outcome, complain, files, say};
use crate::diag::{Code, Diagnostic, Severity};
use crate::plan::{self, Plan};
use crate::report::{Findings, github, json_lines, sarif};
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
    /// Reads models and data too: files, columns, labels, and every sample is decoded and transformed.
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
    let clean = |of: &Findings| {
        let denied = |found: &Diagnostic| found.severity() == Severity::Error || args.deny == Some(Deny::Warnings);
        !of.found.iter().any(denied)
    };
    let good = checked.iter().all(|checked| clean(&checked.findings));
    if args.format == Format::Human {
        for Checked { findings, samples } in &checked {
            complain(&findings.found);
            for note in &findings.notes {
                eprintln!("note: {note}");
            }
            if clean(findings) {
                say(&format!("ok {}{samples}\n", findings.file));
            }
        }
        if checked.len() > 1 || !good {
            say(&summary(&checked));
        }
    }
    let findings: Vec<Findings> = checked.into_iter().map(|checked| checked.findings).collect();
    match args.format {
        Format::Human => {}
        Format::Json => say(&json_lines(&findings)),
        Format::Sarif => say(&format!("{:#}\n", sarif(&findings))),
        Format::Github => say(&github(&findings)),
    }
    if good { Ok(ExitCode::SUCCESS) } else { Err(Failure::spec(Vec::new())) }
}

fn summary(checked: &[Checked]) -> String {
    let found = || checked.iter().flat_map(|checked| &checked.findings.found);
    let errors = found().filter(|found| found.severity() == Severity::Error).count();
    let of = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let warnings = found().count() - errors;
    format!("{}, {}, {}\n", of(checked.len(), "spec"), of(errors, "error"), of(warnings, "warning"))
}

/// What is said of one spec.
struct Checked {
    findings: Findings,
    /// Samples that were read, said behind its name.
    samples: String,
}

fn check(args: &Args, path: &Path) -> Checked {
    let findings = Findings { file: path.display().to_string(), ..Findings::default() };
    let mut checked = Checked { findings, samples: String::new() };
    let Findings { found, notes, .. } = &mut checked.findings;
    let parsed = match plan::load(path, &args.sets) {
        Ok(parsed) => parsed,
        Err(error) => {
            found.push(error);
            return checked;
        }
    };
    found.extend(parsed.diagnostics.iter().cloned());
    let Some(spec) = &parsed.spec else { return checked };
    let base = plan::folder(path);
    if args.locked {
        match plan::locked(path, spec, &base, args.data) {
            Ok(verdict) => {
                found.extend(parsed.locate_all(verdict.refused));
                notes.extend(verdict.notes);
            }
            Err(error) => found.push(parsed.locate(error)),
        }
    }
    if args.model || args.data {
        let absent = |found: &Diagnostic| {
            let of_data = matches!(found.code(), Code::DataMissing | Code::LfsPointer);
            of_data && found.severity() == Severity::Warning
        };
        let (said, samples) = deep(args, spec, &base);
        let (absent, said): (Vec<_>, Vec<_>) = said.into_iter().partition(absent);
        found.extend(parsed.locate_all(said));
        notes.extend(absent.iter().map(|note| note.message().to_owned()));
        checked.samples = samples;
    }
    checked
}

/// What model and data say, and the samples that were read.
fn deep(args: &Args, spec: &Spec, base: &Path) -> (Vec<Diagnostic>, String) {
    let made = if args.data { Plan::build(spec, base) } else { Plan::check(spec, base) };
    match made {
        Err(problems) => (problems, String::new()),
        Ok(plan) if !args.data => (plan.warnings, String::new()),
        Ok(plan) => {
            let scanned = plan.scan();
            let found = plan.warnings.into_iter().chain(scanned).collect();
            let counts = plan.sets.iter().map(|(name, set)| format!("`{name}` {}", set.len()));
            (found, format!(", samples read: {}", counts.collect::<Vec<_>>().join(", ")))
        }
    }
}
