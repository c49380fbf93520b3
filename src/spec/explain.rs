//! Pages about kinds, families and sections: text and a table of keys, from the description of the language.

use super::language::Language;
use super::shape::{Choice, Field, KindShape, Kinds, Record, Shape, alternatives};
use std::fmt::Write;

/// Something that has a page.
#[derive(Debug)]
pub struct Topic(Page);

#[derive(Debug)]
enum Page {
    Kind(&'static Kinds, &'static KindShape),
    Family(&'static Kinds),
    Section(&'static Field),
}

/// What is called so: kinds of one name may stand in several families.
pub fn topics(name: &str) -> Vec<Topic> {
    let language = Language::installed();
    let families = language.families.all().map(|kinds| &**kinds);
    let kinds = families.iter().filter_map(|kinds| kinds.get(name).map(|kind| Page::Kind(kinds, kind)));
    let family = families.iter().filter(|kinds| kinds.noun == name).map(|kinds| Page::Family(kinds));
    let section = language.spec.field(name).map(Page::Section);
    kinds.chain(family).chain(section).map(Topic).collect()
}

/// The names of all kinds, families and sections.
pub fn topic_names() -> Vec<String> {
    let language = Language::installed();
    let families = language.families.all();
    let kinds = families.iter().flat_map(|kinds| kinds.kinds.iter().map(|kind| kind.name).chain([kinds.noun]));
    let sections = language.spec.fields.iter().map(|field| field.name.as_str());
    kinds.chain(sections).map(ToOwned::to_owned).collect()
}

/// The kinds of every family, a line each.
pub fn families() -> String {
    Language::installed().families.all().iter().map(|kinds| family(kinds)).collect()
}

impl Topic {
    /// The page as plain text.
    pub fn page(&self) -> String {
        match &self.0 {
            Page::Family(kinds) => family(kinds),
            Page::Kind(kinds, kind) => {
                let mut out = format!("{} ({})\n\n{}\n", kind.name, kinds.noun, kind.doc.trim_end());
                if let Some(short) = kind.short {
                    let _ = write!(out, "\n`{}: X` is short for `{}: {{{short}: X}}`.\n", kind.name, kind.name);
                }
                out + &table(&kind.config.fields)
            }
            Page::Section(field) => {
                let mut out = format!("{} (section)\n\n{}\n", field.name, field.doc);
                for record in records(&field.shape) {
                    out.push_str(&table(&record.fields));
                }
                out
            }
        }
    }
}

fn family(kinds: &Kinds) -> String {
    let mut out = format!("{}\n", kinds.noun);
    let width = kinds.kinds.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
    for kind in &kinds.kinds {
        let _ = writeln!(out, "  {:width$}  {}", kind.name, kind.doc.lines().next().unwrap_or_default());
    }
    out
}

/// The keys that a section takes, where it is a map.
fn records(shape: &Shape) -> Vec<&Record> {
    match shape {
        Shape::Record(record) | Shape::Freeze(record) => vec![record],
        Shape::Map(inner) => records(inner),
        Shape::Choice(Choice { beside, .. })
        | Shape::Terms(Choice { beside, .. })
        | Shape::Penalties(Choice { beside, .. }) => {
            vec![beside]
        }
        _ => Vec::new(),
    }
}

/// Name, type, default and description of keys, in columns.
fn table(fields: &[Field]) -> String {
    if fields.is_empty() {
        return "\nIt takes no keys.\n".to_owned();
    }
    let default = |field: &Field| match (&field.default, field.required) {
        (Some(default), _) => default.to_string(),
        (None, true) => "required".to_owned(),
        (None, false) => "-".to_owned(),
    };
    let head = ["key", "type", "default", "meaning"].map(ToOwned::to_owned);
    let row = |field: &Field| [field.name.clone(), type_of(&field.shape), default(field), field.doc.replace('\n', " ")];
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(fields.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, kind, value) = (width(0), width(1), width(2));
    let mut out = String::from("\n");
    for [a, b, c, d] in &rows {
        let line = format!("  {a:name$}  {b:kind$}  {c:value$}  {d}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Such as `number, above 0`.
fn type_of(shape: &Shape) -> String {
    let bounded = |name: &str, bounds: &super::shape::Bounds| match bounds.describe() {
        text if text.is_empty() => name.to_owned(),
        text => format!("{name}, {text}"),
    };
    match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer(bounds) => bounded("whole number", bounds),
        Shape::Number(bounds) => bounded("number", bounds),
        Shape::Text => "text".to_owned(),
        Shape::Word(words) => {
            words.iter().filter(|word| !word.later).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" | ")
        }
        Shape::List(item, ..) => format!("list of {}", type_of(item)),
        Shape::Tuple(items) => format!("list of {}", items.len()),
        Shape::Map(values) => format!("map to {}", type_of(values)),
        Shape::Nullable(inner) | Shape::NoMap(inner, _) => type_of(inner),
        Shape::OneOrMany(inner) => format!("{}, or a list of them", type_of(inner)),
        Shape::AnyOf(shapes) => alternatives(&shapes.iter().map(type_of).collect::<Vec<_>>()),
        other => other.noun().trim_start_matches("a ").trim_start_matches("an ").replace('`', ""),
    }
}
