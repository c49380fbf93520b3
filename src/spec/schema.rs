//! The language as a closed JSON Schema (draft 2020-12), short forms included: what editors complete and check with.
//!
//! What stands in several places is written once, under `$defs`. `doNotSuggest`, `patternErrorMessage` and `markdownDescription` are words
//! of editors, which other readers skip: a kind that can be named alone is not offered as a key of a list's item as well. A variable may stand for
//! any number, word or list; one that stands for a whole map is not foreseen, since everything would have two forms then.

use super::examples::{Examples, texts};
use super::language::Language;
use super::layout;
use super::pages;
use super::partial::with_partial;
use super::shape::{Bounds, Choice, Field, KindShape, Kinds, Record, Shape};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema of the language with the installed kinds.
pub fn schema() -> Value {
    of(Language::installed())
}

/// The schema as `pipe schema` prints it.
pub fn schema_text() -> String {
    layout::text(&schema())
}

pub(crate) fn of(language: &Language) -> Value {
    let examples = Examples::of(language);
    let mut writer = Writer { examples: &examples, definitions: Map::new(), keys: BTreeMap::new() };
    for (name, pattern, expected) in TEXTS {
        let text = json!({ "pattern": pattern, "patternErrorMessage": format!("Expected {expected}.") });
        writer.definitions.insert(format!("{TEXT}{name}"), text);
    }
    let mut root = writer.record(&language.spec, "");
    if let Some(object) = root.as_object_mut() {
        object.shift_insert(0, "$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.shift_insert(1, "description".to_owned(), json!("A spec of pipe, version 1 of the language."));
        if let Some(version) = object.get_mut("properties").and_then(|properties| properties.get_mut("version")) {
            *version = json!({ "const": 1, "description": "Language version." });
        }
        object.insert("$defs".to_owned(), Value::Object(writer.definitions));
    }
    with_partial(root)
}

/// How a value that is one variable is written; it may become any.
const VARIABLE: &str = r"^\$\{[^}]+\}$";

/// How the names of definitions of texts begin.
pub(super) const TEXT: &str = "text.";

/// Texts that may stand for a value of another type: a variable, and what YAML takes for text, such as `5%`. With each goes what is said about
/// any other text.
const TEXTS: &[(&str, &str, &str)] = &[
    ("bool", VARIABLE, "true or false"),
    ("integer", VARIABLE, "a whole number"),
    ("number", r"^[-+]?[0-9.]+([eE][-+]?[0-9]+)?%?$|^\$\{[^}]+\}$", "a number such as 1e-3 or 5%"),
    ("bytes", r"^[0-9.]+ ?([kKMGT]i?)?B?$|^\$\{[^}]+\}$", "a number of bytes such as 10GiB"),
];

/// A value of a type, or one of the texts of that name that stand for one.
fn typed(name: &str, text: &str) -> Value {
    json!({ "type": [name, "string"], "$ref": format!("#/$defs/{TEXT}{text}") })
}

/// What editors show beside a name: its meaning, and the first example of its page.
fn shown(doc: &str, page: &str) -> Option<Value> {
    let example = texts(page).first().copied()?;
    Some(json!(format!("{doc}\n\n```yaml\n{example}```")))
}

/// Examples that editors can offer as values; maps are shown, not offered.
fn is_offered(value: &Value) -> bool {
    let is_plain = |value: &Value| !value.is_object() && !value.is_array() && !value.is_null();
    match value {
        Value::Array(items) => items.iter().all(is_plain),
        value => is_plain(value),
    }
}

/// Writes shapes; `path` is where they stand, such as `schedule.phases`, or the kind that they belong to.
struct Writer<'a> {
    examples: &'a Examples,
    definitions: Map<String, Value>,
    /// The keys that each definition of [`Writer::shared`] was written with.
    keys: BTreeMap<String, Vec<String>>,
}

impl Writer<'_> {
    /// Refers to a definition, which is written where it is met first. A place of the same name with other keys has a definition of its own.
    fn shared(
        &mut self,
        name: &str,
        keys: Vec<String>,
        path: &str,
        write: impl FnOnce(&mut Self, &str) -> Value,
    ) -> Value {
        let known = self.keys.get(name).is_none_or(|known| *known == keys);
        let name = if known { name.to_owned() } else { format!("{name} of {path}") };
        if self.keys.insert(name.clone(), keys).is_none() {
            let schema = write(self, path);
            self.definitions.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// The value under the key of a kind: its map, its short form, or nothing if nothing is required.
    fn config(&mut self, kind: &KindShape, fields: &[&Field], path: &str) -> Value {
        let mut map = self.fields(fields, path);
        if fields.iter().all(|field| !field.required) {
            map["type"] = json!(["object", "null"]);
        }
        let mut forms = vec![map];
        if let Some(short) = kind.short_field() {
            forms.push(self.shape(&short.shape, path));
        }
        let mut schema = either(forms);
        if let Some(object) = schema.as_object_mut() {
            let doc = kind.doc.split("\n\n").next().unwrap_or_default();
            object.shift_insert(0, "description".to_owned(), json!(doc));
            object.extend(shown(doc, kind.doc).map(|text| ("markdownDescription".to_owned(), text)));
            let examples: Vec<&Value> = self.examples.of_kind(path).iter().filter(|value| is_offered(value)).collect();
            if !examples.is_empty() {
                object.insert("examples".to_owned(), json!(examples));
            }
        }
        schema
    }

    fn record(&mut self, record: &Record, path: &str) -> Value {
        self.fields(&record.fields.iter().collect::<Vec<_>>(), path)
    }

    fn fields(&mut self, fields: &[&Field], path: &str) -> Value {
        let required: Vec<&str> =
            fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
        let properties: Map<String, Value> = fields.iter().map(|field| self.property(field, path)).collect();
        let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    fn property(&mut self, field: &Field, path: &str) -> (String, Value) {
        let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        let mut schema = self.shape(&field.shape, &path);
        if let Some(object) = schema.as_object_mut() {
            if !field.doc.is_empty() {
                object.shift_insert(0, "description".to_owned(), json!(field.doc));
            }
            if let Some(default) = &field.default {
                object.insert("default".to_owned(), default.clone());
            }
            let new = |example: &&Value| is_offered(example) && field.default.as_ref() != Some(*example);
            let example = self.examples.of_key(&path).filter(new);
            object.extend(example.map(|example| ("examples".to_owned(), json!([example]))));
            let page = pages::section(&path).and_then(|page| shown(&field.doc, page));
            object.extend(page.map(|text| ("markdownDescription".to_owned(), text)));
        }
        (field.name.clone(), schema)
    }

    fn shape(&mut self, shape: &Shape, path: &str) -> Value {
        match shape {
            Shape::Any => json!({}),
            Shape::Bool => typed("boolean", "bool"),
            Shape::Integer(bounds) => bounded(typed("integer", "integer"), bounds),
            Shape::Number(bounds) => bounded(typed("number", "number"), bounds),
            Shape::Text | Shape::Path => json!({ "type": ["string", "number"] }),
            Shape::Word(words) => {
                let now = words.iter().filter(|word| !word.later);
                let mut forms = if words.iter().all(|word| word.doc.is_empty() || word.later) {
                    vec![json!({ "enum": now.map(|word| word.text.as_str()).collect::<Vec<_>>() })]
                } else {
                    now.map(|word| json!({ "const": word.text, "description": word.doc })).collect()
                };
                forms.push(json!({ "type": "string", "pattern": VARIABLE }));
                either(forms)
            }
            Shape::Bytes => bounded(typed("integer", "bytes"), &Bounds::least(0.0)),
            Shape::List(item, least, most) => list(&self.item(item, path), *least, *most),
            Shape::Tuple(items) => {
                let items: Vec<Value> = items.iter().map(|item| self.shape(item, path)).collect();
                let mut schema = list(&json!({}), items.len(), Some(items.len()));
                schema["prefixItems"] = json!(items);
                schema
            }
            Shape::OneOrMany(item) => {
                let item = self.shape(item, path);
                either(vec![item.clone(), list(&item, 1, None)])
            }
            Shape::Map(values) => json!({ "type": "object", "additionalProperties": self.shape(values, path) }),
            Shape::Record(record) => self.record(record, path),
            Shape::Nullable(inner) => either(vec![self.shape(inner, path), json!({ "type": "null" })]),
            Shape::AnyOf(shapes) => either(shapes.iter().map(|shape| self.shape(shape, path)).collect()),
            Shape::Choice(choice) => self.choice(choice, false, path),
            Shape::Terms(choice) => {
                let term = self.choice(choice, false, path);
                let named = json!({ "type": "object", "minProperties": 1, "additionalProperties": term.clone() });
                // A term cannot be called like a kind; editors offer what is said to be a property.
                let kinds = choice.kinds.kinds.iter();
                let known: Map<String, Value> =
                    kinds.map(|kind| (kind.name.to_owned(), self.kind(&choice.kinds, kind, &choice.inside))).collect();
                json!({ "properties": known, "anyOf": [term, named] })
            }
            Shape::Penalties(choice) => {
                let one = self.choice(choice, false, path);
                either(vec![one.clone(), list(&one, 0, None)])
            }
            Shape::Freeze(record) => self.shared("freeze", keys(&record.fields), path, |writer, path| {
                let mut map = writer.record(record, path);
                map["not"] = json!({ "required": ["params", "all_but"] });
                either(vec![json!({ "enum": ["all", "none"] }), list(&json!({ "type": "string" }), 0, None), map])
            }),
            Shape::Transforming(choice, record) => {
                self.shared("transforms", keys(&record.fields), path, |writer, path| {
                    let item = writer.choice(choice, true, path);
                    either(vec![list(&item, 0, None), writer.record(record, path)])
                })
            }
            Shape::Weight(record) => {
                let number = self.shape(&Shape::Number(Bounds::default()), path);
                either(vec![number, self.record(record, path)])
            }
            Shape::Dropout => either(vec![
                json!({ "enum": ["keep", "off"] }),
                bounded(typed("number", "number"), &Bounds { open_min: false, ..Bounds::between(0.0, 1.0) }),
            ]),
            Shape::NoMap(inner, _) => self.shape(inner, path),
        }
    }

    fn item(&mut self, item: &Shape, path: &str) -> Value {
        match item {
            Shape::Choice(choice) => self.choice(choice, true, path),
            other => self.shape(other, path),
        }
    }

    /// A bare kind, or a map with one kind and the generic keys of the place.
    fn choice(&mut self, choice: &Choice, in_list: bool, path: &str) -> Value {
        let mut known = keys(&choice.beside.fields);
        known.extend(keys(&choice.inside));
        self.shared(choice.kinds.noun, known, path, |writer, path| {
            let kinds = &choice.kinds;
            let bare: Vec<&str> = kinds.kinds.iter().filter(|kind| is_bare(kind)).map(|kind| kind.name).collect();
            let mut properties = Map::new();
            for kind in &kinds.kinds {
                let mut schema = writer.kind(kinds, kind, &choice.inside);
                if is_bare(kind) && (in_list || kind.config.fields.is_empty()) {
                    schema["doNotSuggest"] = json!(true);
                }
                properties.insert(kind.name.to_owned(), schema);
            }
            properties.extend(choice.beside.fields.iter().map(|field| writer.property(field, path)));
            let one: Vec<Value> = kinds.kinds.iter().map(|kind| json!({ "required": [kind.name] })).collect();
            let mut map = json!({ "type": "object", "additionalProperties": false, "properties": properties });
            if !one.is_empty() {
                map["oneOf"] = Value::Array(one);
            }
            if bare.is_empty() { map } else { either(vec![json!({ "enum": bare }), map]) }
        })
    }

    fn kind(&mut self, kinds: &Kinds, kind: &KindShape, inside: &[Field]) -> Value {
        let generic = inside.iter().filter(|field| kind.config.field(&field.name).is_none());
        let fields: Vec<&Field> = kind.config.fields.iter().chain(generic).collect();
        let known = fields.iter().map(|field| field.name.clone()).collect();
        let name = format!("{}.{}", kinds.noun, kind.name);
        self.shared(&name, known, &name, |writer, path| writer.config(kind, &fields, path))
    }
}

/// Whether the name of a kind says all that is needed.
fn is_bare(kind: &KindShape) -> bool {
    kind.config.fields.iter().all(|field| !field.required)
}

fn keys(fields: &[Field]) -> Vec<String> {
    fields.iter().map(|field| field.name.clone()).collect()
}

/// One of several forms; forms of forms are told apart side by side, which editors complete better.
fn either(forms: Vec<Value>) -> Value {
    let mut flat = Vec::new();
    for mut form in forms {
        match form.get_mut("anyOf").map(Value::take) {
            Some(Value::Array(inner)) => flat.extend(inner),
            _ => flat.push(form),
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { json!({ "anyOf": flat }) }
}

fn bounded(mut schema: Value, bounds: &Bounds) -> Value {
    let value =
        |bound: f64| if bound.fract() == 0.0 && bound.abs() < 9e15 { json!(bound as i64) } else { json!(bound) };
    if let Some(min) = bounds.min {
        schema[if bounds.open_min { "exclusiveMinimum" } else { "minimum" }] = value(min);
    }
    if let Some(max) = bounds.max {
        schema[if bounds.open_max { "exclusiveMaximum" } else { "maximum" }] = value(max);
    }
    schema
}

fn list(item: &Value, least: usize, most: Option<usize>) -> Value {
    // Editors do not look for items behind a reference.
    let mut schema = json!({ "type": ["array", "string"], "pattern": VARIABLE, "items": item });
    if least > 0 {
        schema["minItems"] = json!(least);
    }
    if let Some(most) = most {
        schema["maxItems"] = json!(most);
    }
    schema
}
