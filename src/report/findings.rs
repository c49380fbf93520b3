//! Diagnostics of many specs for programs: JSON lines, SARIF for code scanning, and the commands that GitHub turns into annotations.

use crate::diag::{ALL, Diagnostic, Label, Severity, Source};
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::Range;

/// A file, as it was named, and what is said of it.
pub type Findings = [(String, Vec<Diagnostic>)];

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

/// One JSON object a diagnostic.
pub fn json_lines(findings: &Findings) -> String {
    let each = findings.iter().flat_map(|(file, found)| found.iter().map(move |diagnostic| as_json(file, diagnostic)));
    each.map(|value| format!("{value}\n")).collect()
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

/// Message, notes and help as one text.
fn full(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message().to_owned();
    for label in spans(diagnostic).map(|(_, _, text)| text).filter(|text| !text.is_empty()).take(1) {
        let _ = write!(text, ": {label}");
    }
    for note in diagnostic.notes() {
        let _ = write!(text, "\n{note}");
    }
    if let Some(help) = diagnostic.help_text() {
        let _ = write!(text, "\nhelp: {help}");
    }
    text
}

/// A path as SARIF and GitHub want it: relative, with `/`.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    path.strip_prefix("./").unwrap_or(&path).replace('%', "%25").replace(' ', "%20")
}

/// SARIF 2.1.0, which code scanning reads.
pub fn sarif(findings: &Findings) -> Value {
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
        let mut places: Vec<Value> = spans(diagnostic)
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
    let results: Vec<Value> =
        findings.iter().flat_map(|(file, found)| found.iter().map(|diagnostic| result(file, diagnostic))).collect();
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

/// Workflow commands of GitHub Actions: an annotation a diagnostic.
pub fn github(findings: &Findings) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for (file, diagnostic) in findings.iter().flat_map(|(file, found)| found.iter().map(move |found| (file, found))) {
        let place = match spans(diagnostic).next() {
            Some((source, range, _)) => {
                let ((line, column), (end_line, end_column)) =
                    (position(&source.text, range.start), position(&source.text, range.end));
                let file = property(source.name.trim_start_matches("./"));
                format!("file={file},line={line},endLine={end_line},col={column},endColumn={end_column}")
            }
            None => format!("file={}", property(file.trim_start_matches("./"))),
        };
        let code = diagnostic.code().id();
        let _ = writeln!(out, "::{} {place},title={code}::{}", level(diagnostic), data(&full(diagnostic)));
    }
    out
}
