//! The language as a closed JSON Schema (draft 2020-12), short forms included: what editors complete and check with.

use super::language::Language;
use super::partial::with_partial;
use super::shape::{Bounds, Choice, Field, KindShape, Kinds, Record, Shape};
use serde_json::{Map, Value, json};

/// The schema of the language with the installed kinds.
pub fn schema() -> Value {
    of(Language::installed())
}

pub(crate) fn of(language: &Language) -> Value {
    let mut root = record(&language.spec);
    if let Some(object) = root.as_object_mut() {
        object.shift_insert(0, "$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.shift_insert(1, "title".to_owned(), json!("pipe spec, version 1"));
        if let Some(version) = object.get_mut("properties").and_then(|properties| properties.get_mut("version")) {
            *version = json!({ "const": 1, "description": "Language version." });
        }
        let families = language.families.all();
        let definitions: Map<String, Value> = families
            .iter()
            .flat_map(|kinds| kinds.kinds.iter().map(|kind| (name(kinds, kind), config(kind))))
            .chain([("percent".to_owned(), percent())])
            .collect();
        object.insert("$defs".to_owned(), Value::Object(definitions));
    }
    with_partial(root)
}

/// A share such as `5%` is text for YAML.
fn percent() -> Value {
    json!({ "type": "string", "pattern": "^[-+]?[0-9.]+([eE][-+]?[0-9]+)?%?$" })
}

fn name(kinds: &Kinds, kind: &KindShape) -> String {
    format!("{}.{}", kinds.noun, kind.name)
}

fn refer(kinds: &Kinds, kind: &KindShape) -> Value {
    json!({ "$ref": format!("#/$defs/{}", name(kinds, kind)) })
}

/// The value under the key of a kind: its map, its short form, or nothing if nothing is required.
fn config(kind: &KindShape) -> Value {
    let mut forms = vec![record(&kind.config)];
    forms.extend(kind.short_field().map(|field| shape(&field.shape)));
    if kind.config.fields.iter().all(|field| !field.required) {
        forms.push(json!({ "type": "null" }));
    }
    let mut schema = either(forms);
    if let Some(object) = schema.as_object_mut() {
        object.shift_insert(0, "description".to_owned(), json!(kind.doc.split("\n\n").next().unwrap_or_default()));
    }
    schema
}

fn record(record: &Record) -> Value {
    let required: Vec<&str> =
        record.fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
    let properties: Map<String, Value> = record.fields.iter().map(property).collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(field: &Field) -> (String, Value) {
    let mut schema = shape(&field.shape);
    if let Some(object) = schema.as_object_mut() {
        if !field.doc.is_empty() {
            object.shift_insert(0, "description".to_owned(), json!(field.doc));
        }
        if let Some(default) = &field.default {
            object.insert("default".to_owned(), default.clone());
        }
    }
    (field.name.clone(), schema)
}

fn either(mut forms: Vec<Value>) -> Value {
    if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) }
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(bounds) => number("integer", bounds),
        Shape::Number(bounds) => either(vec![number("number", bounds), json!({ "$ref": "#/$defs/percent" })]),
        Shape::Text | Shape::Path => json!({ "type": ["string", "number"] }),
        Shape::Word(words) => {
            let now = words.iter().filter(|word| !word.later);
            if words.iter().all(|word| word.doc.is_empty() || word.later) {
                return json!({ "enum": now.map(|word| word.text.as_str()).collect::<Vec<_>>() });
            }
            either(now.map(|word| json!({ "const": word.text, "description": word.doc })).collect())
        }
        Shape::Bytes => json!({ "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9.]+ ?([kKMGT]i?)?B?$" }),
        Shape::List(item, least, most) => list(&self::shape(item), *least, *most),
        Shape::Tuple(items) => {
            let items: Vec<Value> = items.iter().map(self::shape).collect();
            json!({ "type": "array", "prefixItems": items, "minItems": items.len(), "maxItems": items.len() })
        }
        Shape::OneOrMany(item) => either(vec![self::shape(item), list(&self::shape(item), 1, None)]),
        Shape::Map(values) => json!({ "type": "object", "additionalProperties": self::shape(values) }),
        Shape::Record(record) => self::record(record),
        Shape::Nullable(inner) => either(vec![self::shape(inner), json!({ "type": "null" })]),
        Shape::AnyOf(shapes) => either(shapes.iter().map(self::shape).collect()),
        Shape::Choice(choice) => self::choice(choice),
        Shape::Terms(choice) => {
            let term = self::choice(choice);
            either(vec![term.clone(), json!({ "type": "object", "minProperties": 1, "additionalProperties": term })])
        }
        Shape::Penalties(choice) => either(vec![self::choice(choice), list(&self::choice(choice), 0, None)]),
        Shape::Freeze(record) => {
            let map = json!({ "allOf": [self::record(record), { "not": { "required": ["params", "all_but"] } }] });
            either(vec![json!({ "enum": ["all", "none"] }), list(&json!({ "type": "string" }), 0, None), map])
        }
        Shape::Transforming(choice, record) => either(vec![list(&self::choice(choice), 0, None), self::record(record)]),
        Shape::Weight(record) => either(vec![self::shape(&Shape::Number(Bounds::default())), self::record(record)]),
        Shape::Dropout => either(vec![
            json!({ "enum": ["keep", "off"] }),
            json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 }),
        ]),
        Shape::NoMap(inner, _) => self::shape(inner),
    }
}

fn number(name: &str, bounds: &Bounds) -> Value {
    let mut schema = json!({ "type": name });
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
    let mut schema = json!({ "type": "array", "items": item });
    if least > 0 {
        schema["minItems"] = json!(least);
    }
    if let Some(most) = most {
        schema["maxItems"] = json!(most);
    }
    schema
}

/// A bare kind, or a map with one kind and the generic keys of the place.
fn choice(choice: &Choice) -> Value {
    let kinds = &choice.kinds;
    let is_bare = |kind: &&KindShape| kind.config.fields.iter().all(|field| !field.required);
    let bare: Vec<&str> = kinds.kinds.iter().filter(is_bare).map(|kind| kind.name).collect();
    let mut properties: Map<String, Value> =
        kinds.kinds.iter().map(|kind| (kind.name.to_owned(), inside(choice, kind))).collect();
    properties.extend(choice.beside.fields.iter().map(property));
    let one: Vec<Value> = kinds.kinds.iter().map(|kind| json!({ "required": [kind.name] })).collect();
    let mut map = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !one.is_empty() {
        map["oneOf"] = Value::Array(one);
    }
    if bare.is_empty() { map } else { either(vec![json!({ "enum": bare }), map]) }
}

fn inside(choice: &Choice, kind: &KindShape) -> Value {
    if choice.inside.is_empty() {
        return refer(&choice.kinds, kind);
    }
    let mut config = kind.config.clone();
    let own: Vec<&Field> = choice.inside.iter().filter(|field| kind.config.field(&field.name).is_none()).collect();
    config.fields.extend(own.into_iter().cloned());
    self::config(&KindShape { name: kind.name, short: kind.short, doc: kind.doc, config, builds: kind.builds })
}
