//! JSON Schema of a kind's configuration → [`Shape`]. Covers what schemars writes for plain structs and enums.

use super::shape::{Bounds, Field, Record, Shape, Word};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Deepest chain of references that is followed.
const MAX_DEPTH: usize = 16;

/// The keys of a configuration.
pub(crate) fn record(schema: fn(&mut SchemaGenerator) -> Schema) -> Record {
    let mut generator = SchemaGenerator::default();
    let schema = schema(&mut generator);
    let definitions = generator.take_definitions(false);
    match shape(schema.as_value(), &definitions, 0) {
        Shape::Record(record) => record,
        _ => Record::default(),
    }
}

fn shape(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Shape {
    let Some(object) = schema.as_object().filter(|_| depth < MAX_DEPTH) else { return Shape::Any };
    let inner = |schema: &Value| shape(schema, definitions, depth + 1);
    if let Some(name) = object.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return definitions.get(name).map_or(Shape::Any, inner);
    }
    if let Some(values) = object.get("enum").and_then(Value::as_array) {
        let words = values.iter().filter_map(Value::as_str).map(|text| word(text, "")).collect();
        let shape = Shape::Word(words);
        return if values.iter().any(Value::is_null) { Shape::Nullable(Box::new(shape)) } else { shape };
    }
    if let Some(text) = object.get("const").and_then(Value::as_str) {
        return Shape::Word(vec![word(text, description(object))]);
    }
    if let Some(all) = object.get("allOf").and_then(Value::as_array)
        && let [only] = all.as_slice()
    {
        return inner(only);
    }
    if let Some(some) = object.get("anyOf").or_else(|| object.get("oneOf")).and_then(Value::as_array) {
        return any_of(some, inner);
    }
    match object.get("type") {
        Some(Value::Array(types)) => {
            let nullable = types.iter().any(|name| name == "null");
            let mut shapes: Vec<Shape> = types
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null")
                .map(|name| typed(name, object, inner))
                .collect();
            let shape = if shapes.len() == 1 { shapes.remove(0) } else { Shape::AnyOf(shapes) };
            if nullable { Shape::Nullable(Box::new(shape)) } else { shape }
        }
        Some(Value::String(name)) => typed(name, object, inner),
        _ if object.contains_key("properties") => typed("object", object, inner),
        _ => Shape::Any,
    }
}

fn any_of(some: &[Value], inner: impl Fn(&Value) -> Shape) -> Shape {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|name| name == "null");
    let nullable = some.iter().any(is_null);
    let mut shapes: Vec<Shape> = some.iter().filter(|schema| !is_null(schema)).map(inner).collect();
    let all_words = shapes.iter().all(|shape| matches!(shape, Shape::Word(_)));
    let shape = if shapes.len() == 1 {
        shapes.remove(0)
    } else if all_words {
        let words = shapes.into_iter().flat_map(|shape| if let Shape::Word(words) = shape { words } else { vec![] });
        Shape::Word(words.collect())
    } else {
        Shape::AnyOf(shapes)
    };
    if nullable { Shape::Nullable(Box::new(shape)) } else { shape }
}

fn typed(name: &str, object: &Map<String, Value>, inner: impl Fn(&Value) -> Shape) -> Shape {
    let count = |key: &str| object.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    match name {
        "boolean" => Shape::Bool,
        "integer" => Shape::Integer(bounds(object)),
        "number" => Shape::Number(bounds(object)),
        "string" if object.get("format").is_some_and(|format| format == "path") => Shape::Path,
        "string" => Shape::Text,
        "array" => {
            if let Some(items) = object.get("prefixItems").and_then(Value::as_array) {
                Shape::Tuple(items.iter().map(inner).collect())
            } else {
                let item = object.get("items").map_or(Shape::Any, inner);
                Shape::List(Box::new(item), count("minItems").unwrap_or(0), count("maxItems"))
            }
        }
        "object" => match (object.get("properties").and_then(Value::as_object), object.get("additionalProperties")) {
            (None, Some(values @ Value::Object(_))) => Shape::Map(Box::new(inner(values))),
            (None, Some(Value::Bool(true))) => Shape::Map(Box::new(Shape::Any)),
            (properties, _) => {
                let required = object.get("required").and_then(Value::as_array);
                let field = |(name, schema): (&String, &Value)| Field {
                    name: name.clone(),
                    doc: schema.as_object().map(description).unwrap_or_default().to_owned(),
                    shape: inner(schema),
                    required: required.is_some_and(|names| names.iter().any(|required| required == name)),
                    default: schema.get("default").filter(|value| !value.is_null()).map(short),
                    unit: schema.get("unit").and_then(Value::as_str).map(ToOwned::to_owned),
                };
                let fields = properties.into_iter().flatten().map(field).collect();
                Shape::Record(Record { fill: true, ..Record::new(fields) })
            }
        },
        _ => Shape::Any,
    }
}

/// A default that is an f32 with its own digits: 1e-5, not 9.999999747378752e-6.
fn short(value: &Value) -> Value {
    let narrow =
        value.as_f64().filter(|wide| value.is_f64() && f64::from(*wide as f32) == *wide).map(|wide| wide as f32);
    narrow.and_then(|narrow| narrow.to_string().parse::<f64>().ok()).map_or_else(|| value.clone(), Value::from)
}

fn bounds(object: &Map<String, Value>) -> Bounds {
    let number = |key: &str| object.get(key).and_then(Value::as_f64);
    let (low, high) = (number("exclusiveMinimum"), number("exclusiveMaximum"));
    Bounds {
        min: low.or_else(|| number("minimum")),
        max: high.or_else(|| number("maximum")),
        open_min: low.is_some(),
        open_max: high.is_some(),
    }
}

fn word(text: &str, doc: &str) -> Word {
    Word { text: text.to_owned(), doc: doc.to_owned(), later: false }
}

fn description(object: &Map<String, Value>) -> &str {
    object.get("description").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use std::collections::BTreeMap;

    /// Where it pads.
    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is read")]
    enum Side {
        /// Before.
        Left,
        /// After.
        Right,
    }

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Config {
        /// How many.
        #[schemars(range(min = 1, max = 9))]
        count: usize,
        #[serde(default)]
        rate: Option<f64>,
        #[serde(default)]
        pair: Option<(f64, f64)>,
        #[serde(default)]
        triple: Option<[f32; 3]>,
        side: Side,
        names: BTreeMap<String, u32>,
    }

    #[test]
    fn a_struct_becomes_a_record() {
        let record = record(Config::json_schema);
        let shape = |name: &str| record.field(name).unwrap().shape.clone();
        assert!(matches!(shape("count"), Shape::Integer(bounds) if bounds.min == Some(1.0) && bounds.max == Some(9.0)));
        assert!(matches!(shape("rate"), Shape::Nullable(inner) if matches!(*inner, Shape::Number(_))));
        assert!(
            matches!(shape("pair"), Shape::Nullable(inner) if matches!(&*inner, Shape::Tuple(items) if items.len() == 2))
        );
        assert!(matches!(shape("triple"), Shape::Nullable(inner) if matches!(*inner, Shape::List(_, 3, Some(3)))));
        assert!(matches!(shape("side"), Shape::Word(words) if words.len() == 2 && words[0].doc == "Before."));
        assert!(matches!(shape("names"), Shape::Map(_)));
        assert!(record.field("count").unwrap().required && !record.field("rate").unwrap().required);
        assert_eq!(record.field("count").unwrap().doc, "How many.");
    }
}
