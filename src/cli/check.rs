//! `pipe check`

use super::{Failure, Outcome, complain, say};
use crate::diag::{Diagnostic, Label, Severity};
use crate::plan;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks specs without running anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Specs to check.
    #[arg(value_name = "SPEC", required = true)]
    files: Vec<PathBuf>,
    /// Overrides a value of the specs, such as `schedule.epochs=3`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
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
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut good = true;
    for path in &args.files {
        let name = path.display().to_string();
        let diagnostics = plan::load(path, &args.sets).map_or_else(|error| vec![error], |parsed| parsed.diagnostics);
        let denied =
            |diagnostic: &Diagnostic| diagnostic.severity() == Severity::Error || args.deny == Some(Deny::Warnings);
        let clean = !diagnostics.iter().any(denied);
        good &= clean;
        match args.format {
            Format::Human => {
                complain(&diagnostics);
                if clean {
                    say(&format!("ok {name}\n"));
                }
            }
            Format::Json => diagnostics.iter().for_each(|diagnostic| say(&format!("{}\n", as_json(&name, diagnostic)))),
        }
    }
    if good { Ok(ExitCode::SUCCESS) } else { Err(Failure::spec(Vec::new())) }
}

/// Lines and columns count from 1, columns in characters.
fn as_json(file: &str, diagnostic: &Diagnostic) -> Value {
    let labels: Vec<Value> = diagnostic.labels().iter().map(label).collect();
    let severity = if diagnostic.severity() == Severity::Error { "error" } else { "warning" };
    json!({
        "file": file,
        "code": diagnostic.code().id(),
        "severity": severity,
        "message": diagnostic.message(),
        "labels": labels,
        "help": diagnostic.help_text(),
        "notes": diagnostic.notes(),
    })
}

fn label(label: &Label) -> Value {
    match label {
        Label::Span { source, range, text } => {
            let before = source.text.get(..range.start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            json!({ "source": source.name, "line": line, "column": column, "start": range.start, "end": range.end, "text": text })
        }
        Label::Pointer { pointer, text, .. } => json!({ "pointer": pointer, "text": text }),
    }
}
