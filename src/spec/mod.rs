//! The spec: text → spanned tree → typed spec.
//!
//! [`parse`] does it all and collects every error on the way. Invariants: no file is read here, and no model; a spec that
//! decodes has been found clean by the walker first.

mod beside;
mod changes;
mod choice;
mod examples;
mod explain;
mod extends;
#[cfg(test)]
mod fixture;
mod format;
mod import;
mod language;
mod layout;
mod merge;
mod pages;
mod partial;
pub mod pattern;
mod place;
pub(crate) mod scalars;
mod schema;
mod sets;
mod shape;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod validate;
mod values;
mod vars;
mod walk;
mod write;

pub use changes::{Change, changes};
pub use explain::{Entry, Group, Key, Topic, contents, reference, topic_names, topics};
pub use extends::{Base, Bases};
pub use format::format;
pub use pattern::Patterns;
pub use place::Places;
pub(crate) use place::join;
pub use schema::{schema, schema_text};
pub use sweep::Trial;
pub use types::*;
pub use write::{leaves, to_yaml};

use language::Language;

use crate::diag::{Code, Diagnostic, Label, Severity, Source};
use serde_json::Value;
use shape::Record;
use std::sync::Arc;
use tree::{Node, Yaml};
use walk::Walker;

/// What a text gave.
#[derive(Debug)]
pub struct Parsed {
    /// The typed spec; there if and only if there are no errors.
    pub spec: Option<Spec>,
    /// What `sweep` asks for: the spec with other values, once for each trial.
    pub trials: Vec<Trial>,
    /// The spec without short forms and variables, as far as it could be read; `null` if not at all.
    pub canonical: Value,
    /// Errors and warnings in the order of the text, with spans.
    pub diagnostics: Vec<Diagnostic>,
    /// Places of keys and values by JSON pointer.
    pub places: Places,
    /// The texts of the specs that it extends, the nearest first.
    pub bases: Vec<Arc<Source>>,
}

impl Parsed {
    /// Turns the pointer labels of a later diagnostic into spans.
    pub fn locate(&self, diagnostic: Diagnostic) -> Diagnostic {
        diagnostic.locate(|pointer, key| self.places.find(pointer, key))
    }

    /// The same for all that a later stage found, in the order of the text.
    pub fn locate_all(&self, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut located: Vec<Diagnostic> = diagnostics.into_iter().map(|found| self.locate(found)).collect();
        located.sort_by_key(|diagnostic| self.position(diagnostic));
        located
    }

    /// File and start of the first span, the spec before its bases; what has none comes last.
    fn position(&self, diagnostic: &Diagnostic) -> (usize, usize) {
        let start = |label: &Label| match label {
            Label::Span { source, range, .. } => {
                let base = self.bases.iter().position(|base| Arc::ptr_eq(base, source));
                Some((base.map_or(0, |base| base + 1), range.start))
            }
            Label::Pointer { .. } => None,
        };
        diagnostic.labels().iter().find_map(start).unwrap_or((usize::MAX, usize::MAX))
    }
}

/// What a spec computes, as one line of JSON with sorted keys: two specs with the same identity give the same bytes.
/// Places, the description and `runtime` are left out, but for the numbers that a GPU computes in where they are not those of the processor.
pub fn identity(spec: &Spec) -> String {
    canonical(&identified(spec))
}

/// The sections that say what is computed, places included.
fn identified(spec: &Spec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Value::Object(sections) = &mut value {
        sections.retain(|section, _| !matches!(section.as_str(), "description" | "runtime"));
        if spec.runtime.precision != Precision::F32 {
            sections.insert("runtime".to_owned(), serde_json::json!({"precision": spec.runtime.precision}));
        }
    }
    value
}

/// A part of a spec as one line of JSON with sorted keys and without places.
pub fn canonical(part: &impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(part).unwrap_or_default();
    forget_places(&mut value);
    value.sort_all_objects();
    value.to_string()
}

/// Takes `at` out of every chosen kind.
fn forget_places(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.contains_key("kind") && map.contains_key("config") {
                map.shift_remove("at");
            }
            map.values_mut().for_each(forget_places);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_places),
        _ => {}
    }
}

/// Reads a spec. `file` is its name in diagnostics; `sets` are overrides such as `schedule.epochs=3`. A base is an error, since a text alone
/// has no folder that it could lie in: see [`parse_over`].
pub fn parse(text: &str, file: &str, sets: &[String]) -> Parsed {
    parse_with(Language::installed(), text, file, sets, None)
}

/// Reads a spec that may extend others.
pub fn parse_over(text: &str, file: &str, sets: &[String], bases: &Bases<'_>) -> Parsed {
    parse_with(Language::installed(), text, file, sets, Some(bases))
}

fn parse_with(language: &Language, text: &str, file: &str, sets: &[String], bases: Option<&Bases<'_>>) -> Parsed {
    let source = Arc::new(Source { name: file.to_owned(), text: text.to_owned() });
    let mut diagnostics = Vec::new();
    let (root, bases) = tree_of(language, &source, bases, &mut diagnostics);
    let mut walker = Walker::new(language.builds);
    let mut canonical = None;
    let mut spec = None;
    let mut swept = None;
    if let Some(mut root) = root {
        diagnostics.extend(sets::apply(&mut root, sets));
        diagnostics.extend(extends::refuse(&mut root));
        swept = root.get("sweep").is_some().then(|| root.clone());
        let shown = shown(&mut root, &mut diagnostics);
        walk::index(&root, &mut walker.places);
        if shown {
            canonical = read(&mut walker, &language.spec, &root);
        }
    }
    let locate = |diagnostic: Diagnostic| diagnostic.locate(|pointer, key| walker.places.find(pointer, key));
    let errors: Vec<Diagnostic> = std::mem::take(&mut walker.errors).into_iter().map(locate).collect();
    let news =
        errors.into_iter().filter(|error| !diagnostics.iter().any(|cause| follows(error, cause))).collect::<Vec<_>>();
    diagnostics.extend(news);
    if let Some(value) = &canonical {
        let good = clean(&diagnostics);
        match serde_json::from_value::<Spec>(value.clone()) {
            Ok(decoded) => {
                // Where something is wrong already, what else is said of the same place follows from it.
                let known: Vec<Diagnostic> = if good { Vec::new() } else { diagnostics.clone() };
                let found = validate::validate(&decoded).into_iter().map(locate);
                diagnostics.extend(found.filter(|found| !known.iter().any(|cause| overlap(found, cause))));
                spec = Some(decoded).filter(|_| clean(&diagnostics));
            }
            Err(error) if good => diagnostics.push(
                Diagnostic::error(Code::Internal, "the walker let through what the typed spec does not take")
                    .note(error.to_string()),
            ),
            // What is wrong has been said.
            Err(_) => {}
        }
    }
    let trials = match (&spec, swept) {
        (Some(spec), Some(root)) => sweep::trials(language, spec, &root, &mut diagnostics),
        _ => Vec::new(),
    };
    let spec = spec.filter(|_| clean(&diagnostics));
    let canonical = canonical.unwrap_or_default();
    let mut parsed = Parsed { spec, trials, canonical, diagnostics: vec![], places: walker.places, bases };
    parsed.diagnostics = parsed.locate_all(diagnostics);
    // What an alias repeats stands in one place and is said once.
    parsed.diagnostics.dedup_by(|a, b| a.message() == b.message() && a.labels() == b.labels());
    parsed
}

/// The tree of a text, laid over its bases.
fn tree_of(
    language: &Language,
    source: &Arc<Source>,
    bases: Option<&Bases<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Option<Node>, Vec<Arc<Source>>) {
    let (root, mut errors) = tree::read(source);
    if root.is_none() && errors.is_empty() {
        errors.push(tree::absent(&source.name));
    }
    diagnostics.append(&mut errors);
    root.map(|root| extends::resolve(language, root, bases, diagnostics)).unwrap_or_default()
}

/// Variables go in; `false` if the root is not a map or of another version, so that nothing else can be said.
fn shown(root: &mut Node, diagnostics: &mut Vec<Diagnostic>) -> bool {
    if !matches!(root.yaml, Yaml::Map(_)) {
        let error = Diagnostic::error(Code::WrongType, "a spec is a map of sections");
        diagnostics.push(root.place.first_line().on(error, "expected a map"));
        return false;
    }
    diagnostics.extend(vars::substitute(root));
    match root.get("version") {
        Some(version) if version.value.text().and_then(scalars::integer).is_some_and(|version| version != 1) => {
            let written = version.value.text().unwrap_or_default();
            let error = Diagnostic::error(
                Code::WrongVersion,
                format!("this pipe reads version 1 of the language, not {written}"),
            );
            diagnostics
                .push(version.value.place.on(error, "another version").help("write `version: 1`, or use another pipe"));
            false
        }
        _ => true,
    }
}

fn read(walker: &mut Walker, record: &Record, root: &Node) -> Option<Value> {
    let mut canonical = walker.record(record, root, "")?;
    canonical.shift_remove("vars");
    Some(Value::Object(canonical))
}

/// Whether an error of the walk only repeats what a tag, an alias or a variable has broken in the same place.
fn follows(error: &Diagnostic, cause: &Diagnostic) -> bool {
    let breaks = [Code::YamlTag, Code::YamlAlias, Code::UnknownVariable, Code::WrongType].contains(&cause.code());
    breaks && overlap(error, cause)
}

/// Whether two diagnostics are first of all about one place.
fn overlap(a: &Diagnostic, b: &Diagnostic) -> bool {
    match (a.labels().first(), b.labels().first()) {
        (Some(Label::Span { source: of, range: a, .. }), Some(Label::Span { source: same, range: b, .. })) => {
            Arc::ptr_eq(of, same) && a.start < b.end && b.start < a.end
        }
        _ => false,
    }
}

fn clean(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().all(|diagnostic| diagnostic.severity() != Severity::Error)
}
