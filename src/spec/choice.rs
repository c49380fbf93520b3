//! The places of a spec that have short forms: kinds, terms, penalties, freezing, transforms.

use super::place::join;
use super::scalars;
use super::shape::{Bounds, Choice, Field, KindShape, Record, Shape, article};
use super::tree::{Entry, Node, Yaml};
use super::walk::{Walker, called, fill, keys_help, not_supported};
use crate::diag::{Code, Diagnostic, nearest};
use serde_json::{Map, Value, json};

/// The kind that a name means.
struct Named<'k> {
    kind: &'k KindShape,
    /// Whether it has this name, and is not only the nearest one.
    sure: bool,
}

/// What the typed spec decodes as a `Chosen`.
fn chosen(kind: &KindShape, config: &Map<String, Value>, at: &str) -> Value {
    json!({ "kind": kind.name, "config": config, "at": at })
}

impl Walker {
    /// One kind, written at `at` and known to the typed spec as `typed`.
    pub(crate) fn choice(&mut self, choice: &Choice, node: &Node, at: &str, typed: &str) -> Option<Value> {
        match &node.yaml {
            Yaml::Scalar { text, .. } => {
                let Named { kind, sure } = self.kind(choice, text, at, false)?;
                let before = self.errors.len();
                let config = self.bare(kind, at);
                self.forget_unless(sure, before);
                let config = config?;
                if sure {
                    self.hear(kind, &config, at);
                }
                Some(wrap(choice, chosen(kind, &config, at), Map::new()))
            }
            Yaml::List(_) => self.wrong_type(&Shape::Choice(choice.clone()).noun(), node, at),
            Yaml::Map(entries) => self.choice_map(choice, entries, node, at, typed),
        }
    }

    fn choice_map(&mut self, choice: &Choice, entries: &[Entry], node: &Node, at: &str, typed: &str) -> Option<Value> {
        let is_beside = |key: &str| choice.beside.field(key).is_some() || choice.beside.later.contains(&key);
        let is_kind = |entry: &&Entry| choice.kinds.knows(&entry.key) && !is_beside(&entry.key);
        let kinds: Vec<&Entry> = entries.iter().filter(is_kind).collect();
        let mut strays: Vec<&Entry> =
            entries.iter().filter(|entry| !is_kind(entry) && !is_beside(&entry.key)).collect();
        let beside = self.beside(choice, node, at);
        let noun = choice.kinds.noun;
        let entry = match kinds.as_slice() {
            [entry] => *entry,
            // A misspelt kind is read as the one that was probably meant.
            [] => match strays.iter().position(|entry| is_near(choice, &entry.key)) {
                Some(index) => strays.remove(index),
                None if strays.len() == 1 => strays.remove(0),
                None => return self.no_kind(choice, &strays, at),
            },
            [first, second, ..] => {
                let message = format!("{} names two {noun}s: `{}` and `{}`", called(at), first.key, second.key);
                let diagnostic = Diagnostic::error(Code::Conflict, message)
                    .at_key(join(at, &first.key), "this one")
                    .at_key(join(at, &second.key), "and this one");
                self.error(diagnostic.help("keep one of them"));
                return None;
            }
        };
        let named = self.kind(choice, &entry.key, &join(at, &entry.key), true);
        let kind = named.as_ref().map(|named| named.kind);
        let mut meant = Vec::new();
        for stray in &strays {
            meant.extend(self.beside_stray(choice, kind, stray, &join(at, &stray.key)).map(|field| (*stray, field)));
        }
        let pointer = join(at, &entry.key);
        if let Some(slot) = choice.slot {
            self.places.alias(join(typed, slot), pointer.clone());
        }
        let Named { kind, sure } = named?;
        let before = self.errors.len();
        let read = self.config(kind, choice, &entry.value, &pointer, typed);
        // What is out of range would be told twice.
        let doubtful = !sure || self.errors[before..].iter().any(|error| error.code() == Code::OutOfRange);
        self.forget_unless(sure, before);
        let (mut config, inside) = read?;
        let mut siblings = beside?;
        siblings.extend(inside);
        // Reported, and read where they were meant to stand, so that nothing else seems to be missing.
        for (stray, field) in meant {
            let written = join(at, &stray.key);
            let Some(value) = self.guess(field, &stray.value, &written) else { continue };
            if kind.config.field(&field.name).is_some() {
                self.places.alias(join(&pointer, &field.name), written);
                config.insert(field.name.clone(), value);
            } else {
                self.places.alias(join(typed, &field.name), written);
                siblings.entry(field.name.clone()).or_insert(value);
            }
        }
        if !doubtful {
            self.hear(kind, &config, &pointer);
        }
        Some(wrap(choice, chosen(kind, &config, &pointer), siblings))
    }

    /// None of these keys is a kind or near one.
    fn no_kind(&mut self, choice: &Choice, strays: &[&Entry], at: &str) -> Option<Value> {
        for entry in strays {
            self.kind(choice, &entry.key, &join(at, &entry.key), true);
        }
        if strays.is_empty() {
            let noun = choice.kinds.noun;
            let message = format!("{} names no {noun}", called(at));
            let error = Diagnostic::error(Code::MissingKey, message).at(at, "the kind is missing");
            self.error(error.help(kinds_help(noun)));
        }
        None
    }

    /// Errors from `before` on count only if it is sure what was meant.
    fn forget_unless(&mut self, sure: bool, before: usize) {
        if !sure {
            self.errors.truncate(before);
        }
    }

    /// What the part itself objects to in a configuration of the right shape.
    fn hear(&mut self, kind: &KindShape, config: &Map<String, Value>, at: &str) {
        if self.builds
            && let Some(objection) = kind.builds.objection(&Value::Object(config.clone()))
        {
            self.error(objection.within(at));
        }
    }

    /// The kind of a name; an unknown one is reported at the key or the value under `at`, and the nearest one stands for it.
    fn kind<'a>(&mut self, choice: &'a Choice, name: &str, at: &str, key: bool) -> Option<Named<'a>> {
        if let Some(kind) = choice.kinds.get(name) {
            return Some(Named { kind, sure: true });
        }
        let noun = choice.kinds.noun;
        let place = |diagnostic: Diagnostic, text: String| {
            if key { diagnostic.at_key(at, text) } else { diagnostic.at(at, text) }
        };
        if choice.kinds.later.contains(&name) {
            self.error(place(not_supported(&format!("the {noun} `{name}`")), String::new()));
            return None;
        }
        let near = nearest(name, choice.kinds.kinds.iter().map(|kind| kind.name)).first().copied();
        let label = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("not {}", article(noun)),
        };
        let diagnostic = Diagnostic::error(Code::UnknownKind, format!("unknown {noun} `{name}`"));
        self.error(place(diagnostic, label).help(kinds_help(noun)));
        near.and_then(|near| choice.kinds.get(near)).map(|kind| Named { kind, sure: false })
    }

    /// The configuration of a kind that is only named.
    fn bare(&mut self, kind: &KindShape, at: &str) -> Option<Map<String, Value>> {
        let required: Vec<&str> =
            kind.config.fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
        if required.is_empty() {
            let mut config = Map::new();
            fill(&kind.config, &mut config);
            return Some(config);
        }
        let message = format!("`{}` needs {}", kind.name, listed(&required));
        let help = match kind.short {
            Some(short) if required == [short] => format!("write `{}: {}`", kind.name, short.to_uppercase()),
            _ => format!("write `{}: {{{}}}`", kind.name, required.join(": …, ") + ": …"),
        };
        self.error(Diagnostic::error(Code::MissingKey, message).at(at, "has no value").help(help));
        None
    }

    /// The configuration under the key of a kind, and the generic keys inside it.
    fn config(
        &mut self,
        kind: &KindShape,
        choice: &Choice,
        node: &Node,
        at: &str,
        typed: &str,
    ) -> Option<(Map<String, Value>, Map<String, Value>)> {
        if let Some(field) = short_form(kind, choice, node) {
            let value = self.walk(&field.shape, node, at);
            let mut config = Map::new();
            let others: Vec<_> =
                kind.config.fields.iter().filter(|other| other.required && other.name != field.name).collect();
            if !others.is_empty() {
                self.missing(&others, &format!("`{}`", kind.name), at);
                return None;
            }
            config.insert(field.name.clone(), value?);
            self.places.alias(join(at, &field.name), at.to_owned());
            fill(&kind.config, &mut config);
            return Some((config, Map::new()));
        }
        if node.is_null() {
            return self.bare(kind, at).map(|config| (config, Map::new()));
        }
        if node.entries().is_none() {
            let names: Vec<&str> = kind.config.fields.iter().map(|field| field.name.as_str()).collect();
            let message = format!("`{}` takes a map", kind.name);
            let help = keys_help(&names, &format!("`{}`", kind.name), true);
            self.error(Diagnostic::error(Code::WrongType, message).at(at, "expected a map").help(help));
            return None;
        }
        let mut fields = kind.config.fields.clone();
        fields.extend(choice.inside.iter().filter(|field| kind.config.field(&field.name).is_none()).cloned());
        let record = Record { fields, fill: true, is_kind: true, ..kind.config.clone() };
        let mut config = self.record(&record, node, at)?;
        let mut inside = Map::new();
        for field in &choice.inside {
            if let Some(value) = config.shift_remove(&field.name) {
                self.places.alias(join(typed, &field.name), join(at, &field.name));
                inside.insert(field.name.clone(), value);
            }
        }
        Some((config, inside))
    }

    /// A bare loss is a term called after its kind.
    pub(crate) fn terms(&mut self, choice: &Choice, node: &Node, at: &str) -> Option<Value> {
        let entries = match &node.yaml {
            Yaml::Map(entries) => entries,
            Yaml::Scalar { text, .. } => {
                let term = self.choice(choice, node, at, &join(at, text))?;
                return Some(json!({ text: term }));
            }
            Yaml::List(_) => return self.wrong_type("a loss or named terms", node, at),
        };
        if let Some(entry) = bare_term(choice, entries) {
            let typed = join(at, &entry.key);
            for beside in &choice.beside.fields {
                self.places.alias(join(&typed, &beside.name), join(at, &beside.name));
            }
            let term = self.choice(choice, node, at, &typed)?;
            return Some(json!({ &entry.key: term }));
        }
        if entries.is_empty() {
            let message = format!("{} has no terms", called(at));
            self.error(Diagnostic::error(Code::MissingKey, message).at(at, "expected a loss"));
            return None;
        }
        let mut out = Map::new();
        let mut clean = true;
        for entry in entries {
            let pointer = join(at, &entry.key);
            // A name with something that is no term is more likely a misspelt loss.
            let near = nearest(&entry.key, choice.kinds.kinds.iter().map(|kind| kind.name));
            let is_term = entry.value.entries().is_some_and(|inner| inner.iter().any(|e| choice.kinds.knows(&e.key)));
            if entries.len() == 1 && !near.is_empty() && !is_term {
                self.kind(choice, &entry.key, &pointer, true);
                return None;
            }
            match self.walk(&Shape::Choice(choice.clone()), &entry.value, &pointer) {
                Some(term) => drop(out.insert(entry.key.clone(), term)),
                None => clean = false,
            }
        }
        clean.then_some(Value::Object(out))
    }

    pub(crate) fn penalties(&mut self, choice: &Choice, node: &Node, at: &str) -> Option<Value> {
        let Yaml::List(items) = &node.yaml else {
            let typed = join(at, "0");
            self.places.alias(typed.clone(), at.to_owned());
            return self.choice(choice, node, at, &typed).map(|penalty| Value::Array(vec![penalty]));
        };
        let walked = items.iter().enumerate();
        let values: Vec<Option<Value>> = walked
            .map(|(i, item)| {
                let pointer = join(at, &i.to_string());
                self.walk(&Shape::Choice(choice.clone()), item, &pointer)
            })
            .collect();
        values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    pub(crate) fn freeze(&mut self, record: &Record, node: &Node, at: &str) -> Option<Value> {
        match &node.yaml {
            Yaml::Scalar { text, .. } => match text.as_str() {
                "all" => Some(json!({ "params": ["*"] })),
                "none" => Some(json!({ "params": [] })),
                _ => self.wrong_type(&Shape::Freeze(record.clone()).noun(), node, at),
            },
            Yaml::List(_) => {
                let params = self.walk(&Shape::List(Box::new(Shape::Text), 0, None), node, at)?;
                self.places.alias(join(at, "params"), at.to_owned());
                Some(json!({ "params": params }))
            }
            Yaml::Map(_) => {
                if node.get("params").is_some() && node.get("all_but").is_some() {
                    let diagnostic = Diagnostic::error(Code::Conflict, "`params` and `all_but` cannot stand together")
                        .at_key(join(at, "params"), "what is frozen")
                        .at_key(join(at, "all_but"), "what is not");
                    self.error(diagnostic.help("keep one of them"));
                    return None;
                }
                let mut out = self.record(record, node, at)?;
                if let Some(Value::Array(but)) = out.shift_remove("all_but") {
                    self.places.alias(join(at, "params"), join(at, "all_but"));
                    // The first of the typed patterns is the `*` that the exceptions are taken from.
                    for i in 0..but.len() {
                        self.places.alias(format!("{at}/params/{}", i + 1), format!("{at}/all_but/{i}"));
                    }
                    self.places.alias(format!("{at}/params/0"), join(at, "all_but"));
                    let back = |pattern: &Value| {
                        let text = pattern.as_str().unwrap_or_default();
                        // What is taken back from the exception is frozen again.
                        Value::from(text.strip_prefix('!').map_or_else(|| format!("!{text}"), ToOwned::to_owned))
                    };
                    let params = std::iter::once(Value::from("*")).chain(but.iter().map(back)).collect();
                    out.insert("params".to_owned(), Value::Array(params));
                }
                Some(Value::Object(out))
            }
        }
    }

    pub(crate) fn transforming(&mut self, choice: &Choice, record: &Record, node: &Node, at: &str) -> Option<Value> {
        match &node.yaml {
            Yaml::List(_) => {
                let list = self.walk(&Shape::List(Box::new(Shape::Choice(choice.clone())), 0, None), node, at)?;
                self.places.alias(join(at, "train"), at.to_owned());
                self.places.alias(join(at, "eval"), at.to_owned());
                Some(json!({ "train": list, "eval": list }))
            }
            Yaml::Map(_) => self.record(record, node, at).map(Value::Object),
            Yaml::Scalar { .. } => self.wrong_type("a list of transforms or `{train, eval}`", node, at),
        }
    }

    pub(crate) fn weight(&mut self, record: &Record, node: &Node, at: &str) -> Option<Value> {
        match &node.yaml {
            Yaml::Map(_) => self.record(record, node, at).map(Value::Object),
            Yaml::Scalar { text, plain: true } if scalars::number(text).is_some() => {
                self.walk(&Shape::Number(Bounds::default()), node, at).map(|weight| json!({ "constant": weight }))
            }
            _ => self.wrong_type("a number or a ramp", node, at),
        }
    }

    pub(crate) fn dropout(&mut self, node: &Node, at: &str) -> Option<Value> {
        let probability = Bounds { min: Some(0.0), max: Some(1.0), open_min: false, open_max: true };
        match &node.yaml {
            Yaml::Scalar { text, .. } if matches!(text.as_str(), "keep" | "off") => Some(Value::from(text.as_str())),
            Yaml::Scalar { text, plain: true } => match scalars::number(text) {
                Some(p) => Some(json!({ "p": self.number(p, &probability, at) })),
                None => self.wrong_type(&Shape::Dropout.noun(), node, at),
            },
            _ => self.wrong_type(&Shape::Dropout.noun(), node, at),
        }
    }
}

/// The field that a configuration is the short form of, if it is one.
pub(crate) fn short_form<'k>(kind: &'k KindShape, choice: &Choice, node: &Node) -> Option<&'k Field> {
    let is_field = |key: &str| kind.config.field(key).is_some() || choice.inside.iter().any(|field| field.name == key);
    kind.short_field().filter(|field| match &node.yaml {
        _ if node.is_null() => false,
        Yaml::Map(entries) => takes_maps(&field.shape) && !entries.iter().any(|entry| is_field(&entry.key)),
        _ => true,
    })
}

/// The kind's entry if the map is one loss with its generic keys, and not a map of named terms.
pub(crate) fn bare_term<'a>(choice: &Choice, entries: &'a [Entry]) -> Option<&'a Entry> {
    let is_beside = |key: &str| choice.beside.field(key).is_some() || choice.beside.later.contains(&key);
    // A generic key that was meant to stand inside is told so; a term may have its name, but is a map.
    let strays =
        |entry: &Entry| choice.inside.iter().any(|field| field.name == entry.key) && entry.value.entries().is_none();
    let mut others = entries.iter().filter(|entry| !is_beside(&entry.key) && !strays(entry));
    let entry = others.next().filter(|entry| choice.kinds.knows(&entry.key))?;
    if others.next().is_some() {
        return None;
    }
    // `{mse: {cross_entropy: …}}`: a term that happens to be called after a loss.
    let config = choice.kinds.get(&entry.key);
    let is_kind = |inner: &Entry| {
        choice.kinds.knows(&inner.key) && config.is_none_or(|kind| kind.config.field(&inner.key).is_none())
    };
    let named = entries.len() == 1 && entry.value.entries().is_some_and(|inner| inner.iter().any(is_kind));
    (!named).then_some(entry)
}

fn wrap(choice: &Choice, chosen: Value, mut siblings: Map<String, Value>) -> Value {
    match choice.slot {
        None => chosen,
        Some(slot) => {
            siblings.shift_insert(0, slot.to_owned(), chosen);
            Value::Object(siblings)
        }
    }
}

fn takes_maps(shape: &Shape) -> bool {
    match shape {
        Shape::Any | Shape::Map(_) | Shape::Record(_) => true,
        Shape::Nullable(inner) | Shape::OneOrMany(inner) => takes_maps(inner),
        Shape::AnyOf(shapes) => shapes.iter().any(takes_maps),
        _ => false,
    }
}

/// Whether a name is nearly that of a kind.
fn is_near(choice: &Choice, name: &str) -> bool {
    !nearest(name, choice.kinds.kinds.iter().map(|kind| kind.name)).is_empty()
}

fn kinds_help(noun: &str) -> String {
    format!("`pipe explain {noun}` lists what there is")
}

/// `a`, `b`, `c`, the first ones of many.
pub(crate) fn listed(names: &[&str]) -> String {
    const MOST: usize = 30;
    let shown = names.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > MOST { format!("{shown} and {} more", names.len() - MOST) } else { shown }
}
