//! Diagnostics of many specs for programs: JSON lines, SARIF for code scanning, and the commands that GitHub turns into annotations.

use crate::diag::{ALL, Diagnostic, Label, Severity, Source};
use crate::world::env;
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// What is said of a spec.
#[derive(Debug, Default)]
pub struct Findings {
    /// The file, as it was named.
    pub file: String,
    /// In the order of the text.
    pub found: Vec<Diagnostic>,
    /// What could not be looked at on this machine; no fault of the spec.
    pub notes: Vec<String>,
}

fn level(diagnostic: &Diagnostic) -> &'static str {
    if diagnostic.severity() == Severity::Error { "error" } else { "warning" }
}

/// Line and column of a byte, both from 1; columns in characters.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// The spans of a diagnostic with their texts.
fn spans(diagnostic: &Diagnostic) -> impl Iterator<Item = (&Source, &Range<usize>, &str)> {
    diagnostic.labels().iter().filter_map(|label| match label {
        Label::Span { source, range, text } => Some((source.as_ref(), range, text.as_str())),
        Label::Pointer { .. } => None,
    })
}

/// The spans that lie in files: a program cannot show the others.
fn in_files(diagnostic: &Diagnostic) -> impl Iterator<Item = (&Source, &Range<usize>, &str)> {
    spans(diagnostic).filter(|(source, _, _)| source.is_file())
}

/// A path as it is seen from the current folder, with `/` between its parts.
fn shown(path: &str) -> String {
    let path = env::from_here(Path::new(path)).to_string_lossy().replace('\\', "/");
    path.strip_prefix("./").map_or(path.clone(), str::to_owned)
}

/// One JSON object a diagnostic, and one a note.
pub fn json_lines(findings: &[Findings]) -> String {
    let mut out = String::new();
    for Findings { file, found, notes } in findings {
        for diagnostic in found {
            let _ = writeln!(out, "{}", as_json(file, diagnostic));
        }
        for note in notes {
            let _ = writeln!(out, "{}", json!({ "file": file, "severity": "note", "message": note }));
        }
    }
    out
}

fn as_json(file: &str, diagnostic: &Diagnostic) -> Value {
    let label = |label: &Label| match label {
        Label::Span { source, range, text } => {
            let (line, column) = position(&source.text, range.start);
            json!({ "source": source.name, "line": line, "column": column, "start": range.start, "end": range.end, "text": text })
        }
        Label::Pointer { pointer, text, .. } => json!({ "pointer": pointer, "text": text }),
    };
    json!({
        "file": file,
        "code": diagnostic.code().id(),
        "severity": level(diagnostic),
        "message": diagnostic.message(),
        "labels": diagnostic.labels().iter().map(label).collect::<Vec<_>>(),
        "help": diagnostic.help_text(),
        "notes": diagnostic.notes(),
    })
}

/// Message, notes and help as one text, with what was wrong on the command line, which has no place in a file.
fn full(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message().to_owned();
    for label in in_files(diagnostic).map(|(_, _, text)| text).filter(|text| !text.is_empty()).take(1) {
        let _ = write!(text, ": {label}");
    }
    for (source, _, label) in spans(diagnostic).filter(|(source, _, _)| !source.is_file()) {
        let label = if label.is_empty() { String::new() } else { format!(": {label}") };
        let _ = write!(text, "\n`--set {}`{label}", source.text);
    }
    for note in diagnostic.notes() {
        let _ = write!(text, "\n{note}");
    }
    if let Some(help) = diagnostic.help_text() {
        let _ = write!(text, "\nhelp: {help}");
    }
    text
}

/// A path as a URI: relative to the current folder, or of scheme `file`.
fn uri(path: &str) -> String {
    let path = shown(path);
    let mut out = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// SARIF 2.1.0, which code scanning reads.
pub fn sarif(findings: &[Findings]) -> Value {
    let rules: Vec<Value> = ALL
        .iter()
        .map(|info| {
            json!({
                "id": info.id,
                "name": format!("{:?}", info.code),
                "shortDescription": { "text": info.title },
                "help": { "text": info.page, "markdown": info.page },
            })
        })
        .collect();
    let result = |file: &str, diagnostic: &Diagnostic| {
        let place = |source: &str, text: &str, range: &Range<usize>| {
            let ((line, column), (end_line, end_column)) = (position(text, range.start), position(text, range.end));
            json!({
                "artifactLocation": { "uri": uri(source) },
                "region": { "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column },
            })
        };
        let mut places: Vec<Value> = in_files(diagnostic)
            .map(|(source, range, label)| {
                let mut value = json!({ "physicalLocation": place(&source.name, &source.text, range) });
                if !label.is_empty() {
                    value["message"] = json!({ "text": label });
                }
                value
            })
            .collect();
        if places.is_empty() {
            places.push(json!({ "physicalLocation": { "artifactLocation": { "uri": uri(file) } } }));
        }
        let related = places.split_off(1);
        json!({
            "ruleId": diagnostic.code().id(),
            "ruleIndex": ALL.iter().position(|info| info.code == diagnostic.code()),
            "level": level(diagnostic),
            "message": { "text": full(diagnostic) },
            "locations": places,
            "relatedLocations": related,
        })
    };
    let note = |file: &str, note: &str| {
        json!({
            "level": "note",
            "message": { "text": note },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(file) } } }],
        })
    };
    let mut results: Vec<Value> = Vec::new();
    for Findings { file, found, notes } in findings {
        results.extend(found.iter().map(|diagnostic| result(file, diagnostic)));
        results.extend(notes.iter().map(|text| note(file, text)));
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "pipe", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// Workflow commands of GitHub Actions: an annotation a diagnostic, and a notice a note.
pub fn github(findings: &[Findings]) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for Findings { file, found, notes } in findings {
        let file = property(&shown(file));
        for diagnostic in found {
            let place = match in_files(diagnostic).next() {
                Some((source, range, _)) => {
                    let ((line, column), (end_line, end_column)) =
                        (position(&source.text, range.start), position(&source.text, range.end));
                    let file = property(&shown(&source.name));
                    format!("file={file},line={line},endLine={end_line},col={column},endColumn={end_column}")
                }
                None => format!("file={file}"),
            };
            let code = diagnostic.code().id();
            let _ = writeln!(out, "::{} {place},title={code}::{}", level(diagnostic), data(&full(diagnostic)));
        }
        for note in notes {
            let _ = writeln!(out, "::notice file={file}::{}", data(note));
        }
    }
    out
}
