//! What is said about one thing, for `pipe explain` as plain text and for the reference as parts.

use super::super::language::Language;
use super::super::pages;
use super::super::shape::{Choice, Field, KindShape, Kinds, Shape};
use super::keys::{self, Key};
use super::types::{takes, words};
use std::fmt::Write;

/// What is said about one thing.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Unique, and the same from version to version: `schedule`, `optimizer.sgd`, `schedule.epochs`.
    pub id: String,
    /// Its name in a spec.
    pub name: String,
    /// Such as `section` or `optimizer`.
    pub what: String,
    /// Text with YAML examples.
    pub text: String,
    /// Its keys.
    pub keys: Vec<Key>,
    /// Whether it has a table of keys, be it empty.
    pub has_keys: bool,
}

/// Entries that stand together.
#[derive(Debug, Clone)]
pub struct Group {
    /// Unique: `guide`, `sections`, `family.optimizer`.
    pub id: String,
    /// A heading.
    pub title: String,
    /// What is said about all of them.
    pub text: String,
    /// In order.
    pub entries: Vec<Entry>,
}

impl Group {
    pub(super) fn guide(page: &str, entries: Vec<Entry>) -> Self {
        let text = page.split("\n## ").next().unwrap_or_default().trim().to_owned();
        Self { id: "guide".to_owned(), title: "How a spec is read".to_owned(), text, entries }
    }

    pub(super) fn sections(entries: Vec<Entry>) -> Self {
        let required: Vec<String> = Language::installed()
            .spec
            .fields
            .iter()
            .filter(|field| field.required)
            .map(|field| format!("`{}`", field.name))
            .collect();
        let text =
            format!("Required in every spec, or in its bases: {}. The order does not matter.", required.join(", "));
        Self { id: "sections".to_owned(), title: "Sections".to_owned(), text, entries }
    }

    pub(super) fn family(kinds: &Kinds, entries: impl Iterator<Item = Entry>) -> Self {
        let places: Vec<String> = places(kinds).iter().map(|place| format!("`{place}`")).collect();
        let noun = kinds.noun;
        let title = format!("{}{}", noun[..1].to_uppercase(), plural(&noun[1..]));
        let text = format!("Kinds that stand in {}.", places.join(", "));
        Self { id: format!("family.{noun}"), title, text, entries: entries.collect() }
    }
}

fn plural(noun: &str) -> String {
    if noun.ends_with('s') { format!("{noun}es") } else { format!("{noun}s") }
}

/// Where the kinds of a family may stand.
fn places(kinds: &Kinds) -> Vec<String> {
    let language = Language::installed();
    let mut found = Vec::new();
    let fields = language.spec.fields.iter().map(|field| (field.name.clone(), field));
    let inner =
        language.spec.fields.iter().flat_map(|field| {
            keys::below(&field.shape, &field.name, "").into_iter().map(|(path, _, field)| (path, field))
        });
    for (path, field) in fields.chain(inner) {
        if choice_of(&field.shape).is_some_and(|choice| choice.kinds.noun == kinds.noun) {
            found.push(path);
        }
    }
    found
}

fn choice_of(shape: &Shape) -> Option<&Choice> {
    match shape {
        Shape::Choice(choice) | Shape::Terms(choice) | Shape::Penalties(choice) | Shape::Transforming(choice, _) => {
            Some(choice)
        }
        Shape::List(inner, ..) | Shape::Map(inner) | Shape::Nullable(inner) | Shape::NoMap(inner, _) => {
            choice_of(inner)
        }
        _ => None,
    }
}

pub(super) fn of_guide(name: &str, text: &str) -> Entry {
    Entry {
        id: name.to_owned(),
        name: name.to_owned(),
        what: "how a spec is read".to_owned(),
        text: format!("{text}\n"),
        keys: Vec::new(),
        has_keys: false,
    }
}

pub(super) fn of_family(kinds: &Kinds) -> Entry {
    let mut text = String::new();
    let width = kinds.kinds.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
    for kind in &kinds.kinds {
        let _ = writeln!(text, "  {:width$}  {}", kind.name, kind.doc.lines().next().unwrap_or_default());
    }
    let noun = kinds.noun.to_owned();
    Entry {
        id: format!("family.{noun}"),
        name: noun,
        what: "family".to_owned(),
        text,
        keys: Vec::new(),
        has_keys: false,
    }
}

pub(super) fn of_kind(kinds: &Kinds, kind: &KindShape) -> Entry {
    let id = format!("{}.{}", kinds.noun, kind.name);
    let mut text = format!("{}\n", kind.doc.trim_end());
    if let Some(short) = kind.short {
        let _ = write!(text, "\n`{}: X` is short for `{}: {{{short}: X}}`.\n", kind.name, kind.name);
    }
    if !kind.config.fields.is_empty() && kind.config.fields.iter().all(|field| !field.required) {
        let _ = write!(text, "\n`{}` alone takes every default.\n", kind.name);
    }
    let mut keys = keys::of_record(&kind.config, &id);
    let inside = generic(kinds).iter().filter(|field| kind.config.field(&field.name).is_none());
    keys.extend(inside.map(|field| Key::new(field.name.clone(), &keys::join(&id, &field.name), field)));
    Entry { id, name: kind.name.to_owned(), what: kinds.noun.to_owned(), text, keys, has_keys: true }
}

/// The generic keys that the place of a family puts inside its kinds.
pub(super) fn generic(kinds: &Kinds) -> &'static [Field] {
    let fields = &Language::installed().spec.fields;
    let choices = fields.iter().filter_map(|field| choice_of(&field.shape));
    choices
        .filter(|choice| choice.kinds.noun == kinds.noun)
        .map(|choice| choice.inside.as_slice())
        .next()
        .unwrap_or_default()
}

pub(super) fn of_section(field: &Field) -> Entry {
    let text = pages::section(&field.name).map_or_else(|| format!("{}\n", field.doc), ToOwned::to_owned);
    let keys = keys::rows(&field.shape, &field.name);
    let mut lead = facts(field, &field.name, false);
    lead.push('\n');
    let has_keys = !keys.is_empty();
    Entry {
        id: field.name.clone(),
        name: field.name.clone(),
        what: "section".to_owned(),
        text: text + "\n" + lead.trim_end() + "\n",
        keys,
        has_keys,
    }
}

pub(super) fn of_key(path: &str, field: &Field) -> Entry {
    let mut text = format!("{}\n\n{}", field.doc, facts(field, path, true));
    for (word, meaning) in words(&field.shape) {
        let _ = write!(text, "\n`{word}`: {}", super::super::walk::lower(meaning));
    }
    text.push('\n');
    let owner = path.rsplit_once('.').map_or(path, |(owner, _)| owner);
    let keys = keys::rows(&field.shape, path);
    let has_keys = !keys.is_empty();
    Entry { id: path.to_owned(), name: path.to_owned(), what: format!("key of {owner}"), text, keys, has_keys }
}

/// Type, default and example in a line each.
fn facts(field: &Field, path: &str, example: bool) -> String {
    let key = Key::new(field.name.clone(), path, field);
    let mut out = format!("Takes: {}.", takes(field));
    match key.default.as_str() {
        "required" => out.push_str(" Required."),
        "-" => {}
        default => {
            let _ = write!(out, " Default: `{default}`.");
        }
    }
    if let Some(example) = key.example.filter(|_| example) {
        let _ = write!(out, " Example: `{}: {example}`.", field.name);
    }
    out
}

impl Entry {
    /// The page as plain text.
    pub fn page(&self) -> String {
        if self.what == "family" {
            return format!("{}\n{}", self.name, self.text);
        }
        let mut out = format!("{} ({})\n\n{}", self.name, self.what, self.text);
        if self.has_keys {
            out.push_str(&self.table());
        }
        out
    }

    /// Name, type, default and meaning of its keys, in columns.
    fn table(&self) -> String {
        if self.keys.is_empty() {
            return "\nIt takes no keys.\n".to_owned();
        }
        let head = ["key", "type", "default", "meaning"].map(ToOwned::to_owned);
        let row = |key: &Key| [key.name.clone(), key.takes.clone(), key.default.clone(), key.doc.clone()];
        let rows: Vec<[String; 4]> = std::iter::once(head).chain(self.keys.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (name, takes, value) = (width(0), width(1), width(2));
        let mut out = String::from("\n");
        for [a, b, c, d] in &rows {
            let line = format!("  {a:name$}  {b:takes$}  {c:value$}  {d}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }
}
