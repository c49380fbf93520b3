//! What there is to explain: kinds, families, sections, keys and the parts of the guide, by name or by path of keys.

mod entry;
mod keys;
mod types;

pub use entry::{Entry, Group};
pub use keys::Key;

use super::examples::Examples;
use super::language::Language;
use super::pages;
use super::shape::{Choice, Field, KindShape, Kinds, Record, Shape};
use entry::{generic, of_family, of_guide, of_key, of_kind, of_section};
use std::fmt::Write;
use std::sync::OnceLock;

#[cfg(test)]
pub(super) use keys::paths_of;

/// Something that has a page.
#[derive(Debug)]
pub struct Topic(Page);

#[derive(Debug)]
enum Page {
    Kind(&'static Kinds, &'static KindShape),
    Family(&'static Kinds),
    Section(&'static Field),
    Key(String, &'static Field),
    Guide(&'static str, &'static str),
}

/// The examples of the installed language, read once.
fn examples() -> &'static Examples {
    static EXAMPLES: OnceLock<Examples> = OnceLock::new();
    EXAMPLES.get_or_init(|| Examples::of(Language::installed()))
}

fn families() -> impl Iterator<Item = &'static Kinds> {
    Language::installed().families.all().into_iter().map(|kinds| &**kinds)
}

/// What is called so: kinds of one name may stand in several families. A path such as `schedule.epochs` or `sgd.lr` leads to a key; the
/// name of a key alone is every key of that name, if it is the name of nothing else.
pub fn topics(name: &str) -> Vec<Topic> {
    let kinds = families().filter_map(|kinds| kinds.get(name).map(|kind| Page::Kind(kinds, kind)));
    let family = families().filter(|kinds| kinds.noun == name).map(Page::Family);
    let section = Language::installed().spec.field(name).map(Page::Section);
    let guide = pages::guide().filter(|(part, _)| *part == name).map(|(part, text)| Page::Guide(part, text));
    let mut found: Vec<Page> = section.into_iter().chain(kinds).chain(family).chain(guide).collect();
    if found.is_empty() {
        found = if name.contains('.') { at_path(name) } else { called(name) };
    }
    found.into_iter().map(Topic).collect()
}

/// The names of all kinds, families, sections and parts of the guide, and the paths of all keys.
pub fn topic_names() -> Vec<String> {
    let language = Language::installed();
    let kinds = families().flat_map(|kinds| kinds.kinds.iter().map(|kind| kind.name).chain([kinds.noun]));
    let sections = language.spec.fields.iter().map(|field| field.name.as_str());
    let guide = pages::guide().map(|(name, _)| name);
    let names = kinds.chain(sections).chain(guide).map(ToOwned::to_owned);
    names.chain(keys::all(language).into_iter().map(|(path, _)| path)).collect()
}

/// Sections, kinds of every family and parts of the guide, a line each.
pub fn contents() -> String {
    let mut out = String::from("sections\n");
    let fields = &Language::installed().spec.fields;
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in fields {
        let _ = writeln!(out, "  {:width$}  {}", field.name, field.doc);
    }
    for kinds in families() {
        out.push_str(&of_family(kinds).page());
    }
    let guide: Vec<&str> = pages::guide().map(|(name, _)| name).collect();
    let _ = writeln!(out, "how a spec is read\n  {}", guide.join(", "));
    out.push_str("a key of a section or of a kind\n  by its path, such as `schedule.epochs` or `sgd.lr`\n");
    out
}

/// Everything, in the order of the reference: how a spec is read, the sections, and the kinds of each family.
pub fn reference() -> Vec<Group> {
    let mut groups = vec![
        Group::guide(pages::GUIDE, pages::guide().map(|(name, text)| of_guide(name, text)).collect()),
        Group::sections(Language::installed().spec.fields.iter().map(of_section).collect()),
    ];
    groups.extend(families().map(|kinds| Group::family(kinds, kinds.kinds.iter().map(|kind| of_kind(kinds, kind)))));
    groups
}

impl Topic {
    /// What is said about it.
    pub fn entry(&self) -> Entry {
        match &self.0 {
            Page::Family(kinds) => of_family(kinds),
            Page::Kind(kinds, kind) => of_kind(kinds, kind),
            Page::Section(field) => of_section(field),
            Page::Key(path, field) => of_key(path, field),
            Page::Guide(name, text) => of_guide(name, text),
        }
    }

    /// The page as plain text.
    pub fn page(&self) -> String {
        self.entry().page()
    }
}

/// Every key of that name.
fn called(name: &str) -> Vec<Page> {
    let all = keys::all(Language::installed());
    all.into_iter().filter(|(_, field)| field.name == name).map(|(path, field)| Page::Key(path, field)).collect()
}

/// What a path of keys leads to, from the root of a spec, from a family or from a kind. Names that the spec gives and numbers of items may
/// be left out.
fn at_path(path: &str) -> Vec<Page> {
    let steps: Vec<&str> = path.split('.').collect();
    let root = Language::installed();
    let mut found: Vec<Page> = in_record(&root.spec, &steps, "").into_iter().collect();
    for kinds in families() {
        let (own, rest) = match steps.as_slice() {
            [noun, rest @ ..] if *noun == kinds.noun => (rest.first(), rest),
            rest => (rest.first(), rest),
        };
        if let Some(kind) = own.and_then(|name| kinds.get(name)) {
            found.extend(in_kind(kinds, kind, &rest[1..]));
        }
    }
    let mut seen = Vec::new();
    found.retain(|page| {
        let id = Topic::id(page);
        let new = !seen.contains(&id);
        seen.push(id);
        new
    });
    found
}

fn in_kind(kinds: &'static Kinds, kind: &'static KindShape, steps: &[&str]) -> Option<Page> {
    let path = format!("{}.{}", kinds.noun, kind.name);
    match steps {
        [] => Some(Page::Kind(kinds, kind)),
        [key, ..] => in_record(&kind.config, steps, &path).or_else(|| {
            let field = generic(kinds).iter().find(|field| field.name == *key)?;
            Some(Page::Key(keys::join(&path, key), field))
        }),
    }
}

fn in_record(record: &'static Record, steps: &[&str], path: &str) -> Option<Page> {
    let (first, rest) = steps.split_first()?;
    let field = record.field(first)?;
    let path = keys::join(path, &field.name);
    if rest.is_empty() {
        return Some(if path.contains('.') { Page::Key(path, field) } else { Page::Section(field) });
    }
    in_shape(&field.shape, rest, &path)
}

fn in_shape(shape: &'static Shape, steps: &[&str], path: &str) -> Option<Page> {
    let or_skip = |inner: &'static Shape| {
        in_shape(inner, steps, path).or_else(|| in_shape(inner, steps.get(1..).filter(|rest| !rest.is_empty())?, path))
    };
    match shape {
        Shape::Record(record) | Shape::Freeze(record) | Shape::Weight(record) => in_record(record, steps, path),
        Shape::Nullable(inner) | Shape::NoMap(inner, _) => in_shape(inner, steps, path),
        Shape::List(inner, ..) | Shape::Map(inner) | Shape::OneOrMany(inner) => or_skip(inner),
        Shape::Transforming(choice, record) => {
            in_record(record, steps, path).or_else(|| in_choice(choice, steps, path)).or_else(|| {
                let rest = steps.get(1..).filter(|rest| !rest.is_empty())?;
                in_choice(choice, rest, path)
            })
        }
        Shape::Choice(choice) => in_choice(choice, steps, path),
        Shape::Terms(choice) | Shape::Penalties(choice) => in_choice(choice, steps, path)
            .or_else(|| in_choice(choice, steps.get(1..).filter(|rest| !rest.is_empty())?, path)),
        Shape::AnyOf(shapes) => shapes.iter().find_map(|shape| in_shape(shape, steps, path)),
        _ => None,
    }
}

fn in_choice(choice: &'static Choice, steps: &[&str], path: &str) -> Option<Page> {
    let (first, rest) = steps.split_first()?;
    if let Some(kind) = choice.kinds.get(first) {
        return in_kind(&choice.kinds, kind, rest);
    }
    in_record(&choice.beside, steps, path)
}

impl Topic {
    fn id(page: &Page) -> String {
        match page {
            Page::Kind(kinds, kind) => format!("{}.{}", kinds.noun, kind.name),
            Page::Family(kinds) => kinds.noun.to_owned(),
            Page::Section(field) => field.name.clone(),
            Page::Key(path, _) => path.clone(),
            Page::Guide(name, _) => (*name).to_owned(),
        }
    }
}
