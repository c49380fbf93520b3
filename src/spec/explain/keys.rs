//! The keys of sections and kinds, those of the maps in them included, as rows of a table.

use super::super::language::Language;
use super::super::shape::{Field, Record, Shape};
use super::super::walk::lower;
use super::examples;
use super::types::{takes, words};
use serde_json::Value;
use std::fmt::Write;

/// A key as the reference shows it.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where it stands in its section or kind, such as `phases[].epochs` or `sets.<name>.limit`.
    pub name: String,
    /// Its path for `pipe explain`, such as `schedule.phases.epochs`.
    pub path: String,
    /// What it takes, in words.
    pub takes: String,
    /// The value that it has when it is not written; `required` if it has to be.
    pub default: String,
    /// What it means, the words that it takes included.
    pub doc: String,
    /// A value as it is written.
    pub example: Option<String>,
}

impl Key {
    pub(super) fn new(name: String, path: &str, field: &Field) -> Self {
        let default = match (&field.default, field.required) {
            (Some(default), _) => written(default),
            (None, true) => "required".to_owned(),
            (None, false) => "-".to_owned(),
        };
        let mut doc = field.doc.replace('\n', " ");
        for (word, meaning) in words(&field.shape) {
            let _ = write!(doc, " `{word}`: {}.", lower(meaning));
        }
        let example = examples().of_key(path).map(written);
        Self { name, path: path.to_owned(), takes: takes(field), default, doc, example }
    }
}

/// A value in one line of YAML.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{key}: {}", written(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

/// Whether a text means itself without quotes, wherever it stands.
fn plain(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ');
    text.chars().all(word) && text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '.' | '/' | '_'))
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The keys under a place; `path` and `name` say where that is.
pub(super) fn below<'a>(shape: &'a Shape, path: &str, name: &str) -> Vec<(String, String, &'a Field)> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    visit(shape, path, name, &mut seen, &mut found);
    found
}

fn visit<'a>(
    shape: &'a Shape,
    path: &str,
    name: &str,
    seen: &mut Vec<&'a str>,
    found: &mut Vec<(String, String, &'a Field)>,
) {
    match shape {
        Shape::Record(record) | Shape::Freeze(record) | Shape::Weight(record) | Shape::Transforming(_, record) => {
            fields(&record.fields, path, name, seen, found);
        }
        Shape::Nullable(inner) | Shape::NoMap(inner, _) | Shape::OneOrMany(inner) => {
            visit(inner, path, name, seen, found);
        }
        Shape::List(inner, ..) => visit(inner, path, &format!("{name}[]"), seen, found),
        Shape::Map(inner) => visit(inner, path, &join(name, "<name>"), seen, found),
        Shape::Choice(choice) => fields(&choice.beside.fields, path, name, seen, found),
        Shape::Terms(choice) => fields(&choice.beside.fields, path, &join(name, "<name>"), seen, found),
        Shape::Penalties(choice) => fields(&choice.beside.fields, path, &format!("{name}[]"), seen, found),
        Shape::AnyOf(shapes) => shapes.iter().for_each(|shape| visit(shape, path, name, seen, found)),
        _ => {}
    }
}

fn fields<'a>(
    fields: &'a [Field],
    path: &str,
    name: &str,
    seen: &mut Vec<&'a str>,
    found: &mut Vec<(String, String, &'a Field)>,
) {
    let known = seen.len();
    for field in fields {
        let (path, name) = (join(path, &field.name), join(name, &field.name));
        found.push((path.clone(), name.clone(), field));
        // What has a section of its own, or stands further out too, is not written out again.
        let again = is_section(&field.name) || seen.contains(&field.name.as_str());
        if has_keys(&field.shape) && !again {
            seen.extend(fields.iter().map(|field| field.name.as_str()));
            visit(&field.shape, &path, &name, seen, found);
            seen.truncate(known);
        }
    }
}

fn is_section(name: &str) -> bool {
    Language::installed().spec.field(name).is_some()
}

fn has_keys(shape: &Shape) -> bool {
    match shape {
        Shape::Record(_) | Shape::Freeze(_) | Shape::Weight(_) | Shape::Transforming(..) => true,
        Shape::Choice(choice) | Shape::Terms(choice) | Shape::Penalties(choice) => !choice.beside.fields.is_empty(),
        Shape::Nullable(inner)
        | Shape::NoMap(inner, _)
        | Shape::OneOrMany(inner)
        | Shape::List(inner, ..)
        | Shape::Map(inner) => has_keys(inner),
        Shape::AnyOf(shapes) => shapes.iter().any(has_keys),
        _ => false,
    }
}

/// Rows for the keys under a place of a section.
pub(super) fn rows(shape: &Shape, path: &str) -> Vec<Key> {
    below(shape, path, "").into_iter().map(|(path, name, field)| Key::new(tidy(&name), &path, field)).collect()
}

/// A list at the root has no name to stand behind.
fn tidy(name: &str) -> String {
    name.trim_start_matches("[].").to_owned()
}

/// Rows for the keys of a kind.
pub(super) fn of_record(record: &Record, path: &str) -> Vec<Key> {
    let mut found = Vec::new();
    fields(&record.fields, path, "", &mut Vec::new(), &mut found);
    found.into_iter().map(|(path, name, field)| Key::new(name, &path, field)).collect()
}

/// Every key below a section or in a kind, with its path.
pub(super) fn all(language: &'static Language) -> Vec<(String, &'static Field)> {
    let mut found = Vec::new();
    for field in &language.spec.fields {
        found.extend(below(&field.shape, &field.name, "").into_iter().map(|(path, _, field)| (path, field)));
    }
    for kinds in language.families.all() {
        for kind in &kinds.kinds {
            let mut keys = Vec::new();
            fields(&kind.config.fields, &format!("{}.{}", kinds.noun, kind.name), "", &mut Vec::new(), &mut keys);
            found.extend(keys.into_iter().map(|(path, _, field)| (path, field)));
        }
    }
    found
}

/// The paths of the keys of all sections.
#[cfg(test)]
pub(in super::super) fn paths_of(language: &Language) -> Vec<String> {
    let mut found: Vec<String> = language.spec.fields.iter().map(|field| field.name.clone()).collect();
    for field in &language.spec.fields {
        found.extend(below(&field.shape, &field.name, "").into_iter().map(|(path, ..)| path));
    }
    found
}
