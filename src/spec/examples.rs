//! Examples of kinds and keys, read from the YAML on their pages: what a page shows is what the schema and the reference show.

use super::language::Language;
use super::pages;
use super::shape::{Choice, KindShape, Record, Shape};
use super::tree;
use super::walk::untyped;
use crate::diag::Source;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Examples by what they are of.
#[derive(Debug, Default)]
pub(crate) struct Examples {
    /// `optimizer.sgd` → the maps that pages show under `sgd:`.
    kinds: BTreeMap<String, Vec<Value>>,
    /// `optimizer.sgd.lr`, `schedule.epochs` → the value that is shown first.
    keys: BTreeMap<String, Value>,
}

impl Examples {
    /// What the pages of a language show; the page of a kind goes before those of sections.
    pub(crate) fn of(language: &Language) -> Self {
        let mut examples = Self::default();
        for kinds in language.families.all() {
            for kind in &kinds.kinds {
                let path = format!("{}.{}", kinds.noun, kind.name);
                for block in blocks(kind.doc) {
                    examples.find(kind, &path, &block);
                }
            }
        }
        // A page is first of all about its own section.
        for field in &language.spec.fields {
            for mut block in blocks(pages::section(&field.name).unwrap_or_default()) {
                if let Value::Object(sections) = &mut block {
                    sections.retain(|name, _| *name == field.name);
                }
                examples.record(&language.spec, &block, "");
            }
        }
        for block in pages::all().flat_map(blocks) {
            examples.record(&language.spec, &block, "");
        }
        examples
    }

    /// Maps that are written under the name of a kind, in the order of the pages.
    pub(crate) fn of_kind(&self, path: &str) -> &[Value] {
        self.kinds.get(path).map_or(&[], Vec::as_slice)
    }

    /// A value of a key.
    pub(crate) fn of_key(&self, path: &str) -> Option<&Value> {
        self.keys.get(path)
    }

    /// Looks for a kind anywhere in the example on its page.
    fn find(&mut self, kind: &KindShape, path: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.find(kind, path, item)),
            Value::Object(map) => {
                for (key, value) in map {
                    if key == kind.name {
                        self.config(kind, path, value);
                    }
                    self.find(kind, path, value);
                }
            }
            _ => {}
        }
    }

    fn config(&mut self, kind: &KindShape, path: &str, value: &Value) {
        let known = self.kinds.entry(path.to_owned()).or_default();
        if !value.is_null() && !known.contains(value) {
            known.push(value.clone());
        }
        match (value.as_object(), kind.short_field()) {
            (Some(map), _) => self.record(&kind.config, &Value::Object(map.clone()), path),
            (None, Some(short)) if !value.is_null() => {
                self.keys.entry(format!("{path}.{}", short.name)).or_insert_with(|| value.clone());
            }
            _ => {}
        }
    }

    fn record(&mut self, record: &Record, value: &Value, path: &str) {
        let Some(map) = value.as_object() else { return };
        for (key, value) in map {
            // An empty value takes a key of a base away.
            let Some(field) = record.field(key).filter(|_| !value.is_null()) else { continue };
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.keys.entry(path.clone()).or_insert_with(|| value.clone());
            self.shape(&field.shape, value, &path);
        }
    }

    fn shape(&mut self, shape: &Shape, value: &Value, path: &str) {
        match (shape, value) {
            (Shape::List(item, ..), Value::Array(items)) => {
                for value in items {
                    self.shape(item, value, path);
                }
            }
            (Shape::Map(item), Value::Object(map)) => map.values().for_each(|value| self.shape(item, value, path)),
            (Shape::Nullable(inner) | Shape::NoMap(inner, _), value) => self.shape(inner, value, path),
            (Shape::Record(record) | Shape::Freeze(record) | Shape::Weight(record), value) => {
                self.record(record, value, path);
            }
            (Shape::Transforming(_, record), Value::Object(_)) => self.record(record, value, path),
            (Shape::Choice(choice) | Shape::Penalties(choice), Value::Object(map)) => self.choice(choice, map, path),
            (Shape::Terms(choice), Value::Object(map)) => {
                let is_term = map.keys().any(|key| choice.kinds.get(key).is_some());
                if is_term {
                    self.choice(choice, map, path);
                } else {
                    map.values().filter_map(Value::as_object).for_each(|term| self.choice(choice, term, path));
                }
            }
            (Shape::Penalties(choice) | Shape::Transforming(choice, _), Value::Array(items)) => {
                items.iter().filter_map(Value::as_object).for_each(|item| self.choice(choice, item, path));
            }
            _ => {}
        }
    }

    fn choice(&mut self, choice: &Choice, map: &Map<String, Value>, path: &str) {
        self.record(&choice.beside, &Value::Object(map.clone()), path);
        for (key, value) in map {
            let Some(kind) = choice.kinds.get(key) else { continue };
            let path = format!("{}.{key}", choice.kinds.noun);
            self.config(kind, &path, value);
            let inside = Record::new(choice.inside.clone());
            self.record(&inside, value, &path);
        }
    }
}

/// The blocks of YAML of a page that are maps.
pub(crate) fn blocks(page: &str) -> Vec<Value> {
    texts(page)
        .iter()
        .filter_map(|text| {
            let source = Arc::new(Source { name: "example".to_owned(), text: (*text).to_owned() });
            tree::read(&source).0.map(|root| untyped(&root))
        })
        .collect()
}

/// The texts of those blocks.
pub(crate) fn texts(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(text, _)| text)).collect()
}
