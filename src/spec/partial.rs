//! The JSON Schema of a spec that extends another: as that of a whole one, but no key has to be there and any may be taken away.
//!
//! Lists replace those of the base, so that what stands in them stays whole.

use serde_json::{Map, Value, json};

/// How the names of definitions begin that hold parts.
const PREFIX: &str = "over.";
/// Definitions that are the same in both.
const SHARED: &[&str] = &["percent"];

/// Splits a schema of whole specs into one of both: a spec with `extends`, and one without.
pub(super) fn with_partial(mut whole: Value) -> Value {
    let Some(root) = whole.as_object_mut() else { return whole };
    let mut definitions = match root.shift_remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    let parts: Vec<(String, Value)> = definitions
        .iter()
        .filter(|(name, _)| !SHARED.contains(&name.as_str()))
        .map(|(name, schema)| (format!("{PREFIX}{name}"), partial(schema)))
        .collect();
    definitions.extend(parts);
    let mut head = Map::new();
    for key in ["$schema", "title"] {
        head.extend(root.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    let sections = root.get("properties").and_then(Value::as_object);
    let described: Map<String, Value> = sections
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            (name.clone(), json!({ "description": schema.get("description").cloned().unwrap_or_default() }))
        })
        .collect();
    let over = partial(&Value::Object(root.clone()));
    let alone = Value::Object(root.clone());
    definitions.insert("spec".to_owned(), alone);
    definitions.insert(format!("{PREFIX}spec"), over);
    head.extend([
        ("type".to_owned(), json!("object")),
        ("additionalProperties".to_owned(), json!(false)),
        ("properties".to_owned(), Value::Object(described)),
        ("if".to_owned(), json!({ "type": "object", "required": ["extends"] })),
        ("then".to_owned(), json!({ "$ref": format!("#/$defs/{PREFIX}spec") })),
        ("else".to_owned(), json!({ "$ref": "#/$defs/spec" })),
        ("$defs".to_owned(), Value::Object(definitions)),
    ]);
    Value::Object(head)
}

/// A schema whose keys may be left out or empty.
fn partial(schema: &Value) -> Value {
    let Value::Object(object) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in object {
        let value = match (key.as_str(), value) {
            // `oneOf` says that one kind has to be there.
            ("required" | "oneOf" | "minProperties", _) => continue,
            ("properties", Value::Object(fields)) => {
                Value::Object(fields.iter().map(|(name, field)| (name.clone(), optional(field))).collect())
            }
            ("additionalProperties", Value::Object(_)) => optional(value),
            ("anyOf" | "allOf", Value::Array(forms)) => Value::Array(forms.iter().map(partial).collect()),
            ("$ref", Value::String(to)) => Value::from(refer(to)),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

fn optional(field: &Value) -> Value {
    let mut part = partial(field);
    let description = part.as_object_mut().and_then(|part| part.shift_remove("description"));
    let mut schema = json!({ "anyOf": [part, { "type": "null" }] });
    if let (Some(description), Some(object)) = (description, schema.as_object_mut()) {
        object.shift_insert(0, "description".to_owned(), description);
    }
    schema
}

fn refer(to: &str) -> String {
    let name = to.trim_start_matches("#/$defs/");
    if SHARED.contains(&name) { to.to_owned() } else { format!("#/$defs/{PREFIX}{name}") }
}

#[cfg(test)]
mod tests {
    use super::super::schema;

    #[test]
    fn only_a_spec_that_extends_may_leave_keys_out() {
        let schema = schema();
        let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(at("/if/required/0"), "extends");
        assert_eq!(at("/then/$ref"), "#/$defs/over.spec");
        assert!(at("/$defs/spec/required").as_array().unwrap().len() >= 7);
        assert!(schema.pointer("/$defs/over.spec/required").is_none());
        let schedule = at("/$defs/over.spec/properties/schedule/anyOf/0");
        assert!(schedule.get("required").is_none(), "a part of a section is a section");
        assert_eq!(at("/$defs/over.spec/properties/schedule/anyOf/1/type"), "null");
        // What stands in a list is whole.
        let whole = at("/$defs/spec/properties/schedule/properties/phases/items");
        assert_eq!(schedule.pointer("/properties/phases/anyOf/0/items").unwrap(), whole);
        // Every reference leads somewhere.
        let text = schema.to_string();
        for to in text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(schema["$defs"].get(to).is_some(), "{to}");
        }
    }
}
