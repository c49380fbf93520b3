//! Walks a tree along its [`Shape`], collects every error, and gives the canonical JSON that the typed spec decodes.

use super::place::{Places, join};
use super::scalars;
use super::shape::{Field, Record, Shape};
use super::tree::{Node, Yaml};
use crate::diag::{Code, Diagnostic, nearest};
use serde_json::{Map, Value};

/// Names that people bring from elsewhere and what they are called here.
const SYNONYMS: &[(&str, &str)] = &[
    ("learning_rate", "lr"),
    ("batch_size", "batch"),
    ("num_epochs", "epochs"),
    ("max_epochs", "epochs"),
    ("max_steps", "steps"),
    ("betas", "beta1"),
    ("eps", "epsilon"),
    ("wd", "weight_decay"),
    ("datasets", "sets"),
    ("losses", "loss"),
    ("regularization", "regularizer"),
    ("optim", "optimizer"),
    ("path", "source"),
    ("gradient_accumulation", "accumulate"),
    ("max_norm", "clip_norm"),
    ("scheduler", "lr"),
    ("monitor", "watch"),
    ("num_classes", "units"),
    ("out_features", "units"),
    ("dtype", "precision"),
    ("workers", "threads"),
];

/// The walk so far.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    /// Everything that was wrong, with pointer labels.
    pub(crate) errors: Vec<Diagnostic>,
    /// Where things stand.
    pub(crate) places: Places,
    /// Whether parts are built, to hear what they object to; off for kinds that are not the installed ones.
    pub(crate) builds: bool,
}

impl Walker {
    pub(crate) fn new(builds: bool) -> Self {
        Self { builds, ..Self::default() }
    }
}

/// Fills the table of places from a tree.
pub(crate) fn index(node: &Node, places: &mut Places) {
    fn visit(node: &Node, at: String, key: Option<super::place::Place>, places: &mut Places) {
        match &node.yaml {
            Yaml::Scalar { .. } => {}
            Yaml::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    visit(item, join(&at, &i.to_string()), None, places);
                }
            }
            Yaml::Map(entries) => {
                for entry in entries {
                    visit(&entry.value, join(&at, &entry.key), Some(entry.key_place.clone()), places);
                }
            }
        }
        places.insert(at, key, node.place.clone());
    }
    visit(node, String::new(), None, places);
}

/// What a place is called in messages: its key, or the key of its list with an index.
pub(crate) fn called(at: &str) -> String {
    let steps: Vec<String> = at.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let indices = steps.iter().rev().take_while(|step| step.parse::<usize>().is_ok()).count();
    let Some(name) = steps.len().checked_sub(indices + 1).map(|at| &steps[at]) else { return "the spec".to_owned() };
    let indices: String = steps[steps.len() - indices..].iter().map(|index| format!("[{index}]")).collect();
    format!("`{name}{indices}`")
}

/// The written value for messages, shortened.
pub(super) fn shown(node: &Node) -> String {
    match &node.yaml {
        Yaml::List(_) => "a list".to_owned(),
        Yaml::Map(_) => "a map".to_owned(),
        Yaml::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        Yaml::Scalar { text, plain } => {
            let line = text.lines().next().unwrap_or_default();
            let short: String = line.chars().take(40).collect();
            let more = if short.len() < text.trim_end().len() { "…" } else { "" };
            if *plain { format!("`{short}{more}`") } else { format!("the text `{short}{more}`") }
        }
    }
}

impl Walker {
    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    pub(crate) fn wrong_type(&mut self, expected: &str, node: &Node, at: &str) -> Option<Value> {
        let message = format!("{} takes {expected}, not {}", called(at), shown(node));
        let diagnostic = Diagnostic::error(Code::WrongType, message).at(at, format!("expected {expected}"));
        self.error(match &node.yaml {
            _ if node.is_null() => diagnostic.help("give it a value, or remove the key"),
            Yaml::Scalar { text, plain: false } if scalars::number(text).is_some() && expected.contains("number") => {
                diagnostic.help("remove the quotes")
            }
            Yaml::Scalar { text, .. } if expected == "a list" => {
                diagnostic.help(format!("write a list of one: `[{}]`", quoted(text)))
            }
            Yaml::Scalar { text, plain: true } if expected.contains("`true`") => match text.to_lowercase().as_str() {
                "yes" | "on" | "y" => diagnostic.help("write `true`"),
                "no" | "off" | "n" => diagnostic.help("write `false`"),
                _ => diagnostic,
            },
            _ => diagnostic,
        });
        None
    }

    /// The canonical form of what stands at `at`, or nothing after reporting why not.
    pub(crate) fn walk(&mut self, shape: &Shape, node: &Node, at: &str) -> Option<Value> {
        if node.is_null() {
            return match shape {
                Shape::Nullable(_) | Shape::Any => Some(Value::Null),
                _ => self.wrong_type(&shape.noun(), node, at),
            };
        }
        match shape {
            Shape::Any => Some(untyped(node)),
            Shape::Nullable(inner) => self.walk(inner, node, at),
            Shape::Bool
            | Shape::Integer(_)
            | Shape::Number(_)
            | Shape::Text
            | Shape::Path
            | Shape::Word(_)
            | Shape::Bytes => self.scalar(shape, node, at),
            Shape::List(item, least, most) => self.list(shape, item, (*least, *most), node, at),
            Shape::Tuple(items) => self.tuple(items, node, at),
            Shape::OneOrMany(item) => match &node.yaml {
                Yaml::List(_) => self.list(shape, item, (1, None), node, at),
                _ => self.walk(item, node, at).map(|value| Value::Array(vec![value])),
            },
            Shape::Map(values) => self.map(shape, values, node, at),
            Shape::Record(record) => match node.entries() {
                Some(_) => self.record(record, node, at).map(Value::Object),
                None => self.wrong_type("a map", node, at),
            },
            Shape::AnyOf(shapes) => self.any_of(shape, shapes, node, at),
            Shape::Choice(choice) => self.choice(choice, node, at, at),
            Shape::Terms(choice) => self.terms(choice, node, at),
            Shape::Penalties(choice) => self.penalties(choice, node, at),
            Shape::Freeze(record) => self.freeze(record, node, at),
            Shape::Transforming(choice, record) => self.transforming(choice, record, node, at),
            Shape::Weight(record) => self.weight(record, node, at),
            Shape::Dropout => self.dropout(node, at),
            Shape::NoMap(inner, what) => match &node.yaml {
                Yaml::Map(_) => {
                    self.error(not_supported(what).at(at, ""));
                    None
                }
                _ => self.walk(inner, node, at),
            },
        }
    }

    fn list(
        &mut self,
        shape: &Shape,
        item: &Shape,
        (least, most): (usize, Option<usize>),
        node: &Node,
        at: &str,
    ) -> Option<Value> {
        let Yaml::List(items) = &node.yaml else { return self.wrong_type(&shape.noun(), node, at) };
        let fits = items.len() >= least && most.is_none_or(|most| items.len() <= most);
        if !fits {
            let expected = match most {
                Some(most) if most == least => format!("{least}"),
                Some(most) => format!("{least} to {most}"),
                None => format!("at least {least}"),
            };
            let message = format!("{} takes {expected} item{}, not {}", called(at), plural(&expected), items.len());
            self.error(Diagnostic::error(Code::OutOfRange, message).at(at, format!("expected {expected}")));
        }
        let values: Vec<Option<Value>> =
            items.iter().enumerate().map(|(i, node)| self.walk(item, node, &join(at, &i.to_string()))).collect();
        values.into_iter().collect::<Option<Vec<_>>>().filter(|_| fits).map(Value::Array)
    }

    fn tuple(&mut self, shapes: &[Shape], node: &Node, at: &str) -> Option<Value> {
        let expected = format!("a list of {}", shapes.len());
        let Yaml::List(items) = &node.yaml else { return self.wrong_type(&expected, node, at) };
        if items.len() != shapes.len() {
            let message = format!("{} takes {expected}, not of {}", called(at), items.len());
            self.error(Diagnostic::error(Code::OutOfRange, message).at(at, format!("expected {expected}")));
            return None;
        }
        let walked = shapes.iter().zip(items).enumerate();
        let values: Vec<Option<Value>> =
            walked.map(|(i, (shape, item))| self.walk(shape, item, &join(at, &i.to_string()))).collect();
        values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn map(&mut self, shape: &Shape, values: &Shape, node: &Node, at: &str) -> Option<Value> {
        let Some(entries) = node.entries() else { return self.wrong_type(&shape.noun(), node, at) };
        let mut out = Map::new();
        let mut clean = true;
        for entry in entries {
            match self.walk(values, &entry.value, &join(at, &entry.key)) {
                Some(value) => drop(out.insert(entry.key.clone(), value)),
                None => clean = false,
            }
        }
        clean.then_some(Value::Object(out))
    }

    /// The keys of a record; the caller has seen that the node is a map.
    pub(crate) fn record(&mut self, record: &Record, node: &Node, at: &str) -> Option<Map<String, Value>> {
        let owner = called(at);
        let mut out = Map::new();
        let mut clean = true;
        let mut meant = Vec::new();
        for entry in node.entries().unwrap_or_default() {
            let pointer = join(at, &entry.key);
            let Some(field) = record.field(&entry.key) else {
                let near = self.stray(&entry.key, record, &owner, &pointer);
                let near = near.filter(|name| node.get(name).is_none() && !meant.contains(name));
                // A misspelt key is read as the one that was meant, so that nothing seems to be missing because of it.
                if let Some(field) = near.as_ref().and_then(|name| record.field(name))
                    && let Some(value) = self.guess(field, &entry.value, &pointer)
                {
                    self.places.alias(join(at, &field.name), pointer);
                    out.insert(field.name.clone(), value);
                }
                meant.extend(near);
                continue;
            };
            match self.walk(&field.shape, &entry.value, &pointer) {
                Some(Value::Null) => {}
                Some(value) => drop(out.insert(field.name.clone(), value)),
                None => clean = false,
            }
        }
        // A required key that is there under a wrong name is reported once, with the name.
        let absent = |field: &&Field| field.required && node.get(&field.name).is_none() && !meant.contains(&field.name);
        let absent: Vec<&Field> = record.fields.iter().filter(absent).collect();
        if !absent.is_empty() {
            clean = false;
            self.missing(&absent, &owner, at);
        }
        fill(record, &mut out);
        clean.then_some(out)
    }

    /// What stands under a misspelt key as the value of the key that was probably meant; nothing is said if it cannot be that.
    pub(crate) fn guess(&mut self, field: &Field, node: &Node, at: &str) -> Option<Value> {
        let before = self.errors.len();
        let value = self.walk(&field.shape, node, at).filter(|value| !value.is_null());
        if value.is_none() {
            self.errors.truncate(before);
        }
        value
    }

    /// A key that the record does not have; gives the key that was probably meant.
    fn stray(&mut self, key: &str, record: &Record, owner: &str, pointer: &str) -> Option<String> {
        if record.later.contains(&key) {
            self.error(not_supported(&format!("`{key}`")).at_key(pointer, ""));
            return None;
        }
        let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
        let diagnostic = Diagnostic::error(Code::UnknownKey, format!("unknown key `{key}` in {owner}"));
        let synonym =
            SYNONYMS.iter().find(|(theirs, ours)| *theirs == key && names.contains(ours)).map(|(_, ours)| *ours);
        let near = synonym.or_else(|| nearest(key, names.iter().copied()).first().copied());
        let label = near.map_or_else(|| "not a key here".to_owned(), |near| format!("did you mean `{near}`?"));
        self.error(diagnostic.at_key(pointer, label).help(keys_help(&names, owner, record.is_kind)));
        near.map(ToOwned::to_owned)
    }

    /// Required keys that are not there.
    pub(crate) fn missing(&mut self, fields: &[&Field], owner: &str, at: &str) {
        let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
        let error = |message: String| Diagnostic::error(Code::MissingKey, message);
        self.error(match fields {
            [field] => {
                let name = &field.name;
                error(format!("{owner} needs the key `{name}`"))
                    .at_key(at, format!("`{name}` is missing"))
                    .help(format!("`{name}`: {}", lower(&field.doc)))
            }
            _ => error(format!("{owner} needs the keys {}", names.join(", "))).at_key(at, "they are missing"),
        });
    }

    /// The first shape that takes the node; if none does, the errors of the one that came nearest.
    fn any_of(&mut self, shape: &Shape, shapes: &[Shape], node: &Node, at: &str) -> Option<Value> {
        let before = self.errors.len();
        let mut best: Option<Vec<Diagnostic>> = None;
        for candidate in shapes {
            let value = self.walk(candidate, node, at);
            let errors = self.errors.split_off(before);
            if errors.is_empty() {
                return value;
            }
            let here =
                errors.iter().any(|error| error.code() == Code::WrongType && error.message().starts_with(&called(at)));
            if !here && best.as_ref().is_none_or(|best| errors.len() < best.len()) {
                best = Some(errors);
            }
        }
        match best {
            Some(errors) => self.errors.extend(errors),
            None => drop(self.wrong_type(&shape.noun(), node, at)),
        }
        None
    }
}

/// Fills in the defaults of a kind's configuration, so that leaving a default out and writing it are one spec.
pub(crate) fn fill(record: &Record, out: &mut Map<String, Value>) {
    if record.fill {
        for field in &record.fields {
            if let Some(default) = &field.default {
                out.entry(field.name.clone()).or_insert_with(|| default.clone());
            }
        }
    }
}

/// Part of the language that this version does not run.
pub(crate) fn not_supported(what: &str) -> Diagnostic {
    Diagnostic::error(Code::NotSupported, format!("{what} is not supported by this version"))
}

/// Which keys there are; those of a kind have a page of their own.
pub(crate) fn keys_help(names: &[&str], owner: &str, kind: bool) -> String {
    if kind && !names.is_empty() {
        return format!("`pipe explain {}` lists the keys of {owner}", owner.trim_matches('`'));
    }
    if names.is_empty() {
        return format!("{owner} takes no keys");
    }
    format!("keys of {owner}: {}", super::choice::listed(names))
}

/// Lowercase first letter and no full stop, as messages are written.
pub(crate) fn lower(doc: &str) -> String {
    let sentence = doc.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut chars = sentence.chars();
    let second_is_upper = sentence.chars().nth(1).is_some_and(char::is_uppercase);
    match chars.next() {
        Some(first) if !second_is_upper => first.to_lowercase().chain(chars).collect(),
        _ => sentence.to_owned(),
    }
}

fn plural(expected: &str) -> &'static str {
    if expected == "1" || expected == "at least 1" { "" } else { "s" }
}

fn quoted(text: &str) -> String {
    if text.contains(['*', '!', ',', ':', '#', '[', '{']) { format!("\"{text}\"") } else { text.to_owned() }
}

/// A value without a shape, as YAML 1.2 reads it.
pub(crate) fn untyped(node: &Node) -> Value {
    match &node.yaml {
        _ if node.is_null() => Value::Null,
        Yaml::Scalar { text, plain: true } => {
            let integer = text.parse::<i64>().ok().map(Value::from);
            let number = || scalars::number(text).map(Value::from);
            let boolean = || scalars::boolean(text).map(Value::from);
            integer.or_else(number).or_else(boolean).unwrap_or_else(|| Value::from(text.as_str()))
        }
        Yaml::Scalar { text, .. } => Value::from(text.as_str()),
        Yaml::List(items) => Value::Array(items.iter().map(untyped).collect()),
        Yaml::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), untyped(&entry.value))).collect())
        }
    }
}
