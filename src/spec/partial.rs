//! The JSON Schema of a spec that extends another: as that of a whole one, but no key has to be there and any may be taken away.
//!
//! Lists replace those of the base, so that what stands in them stays whole.

use super::schema::TEXT;
use serde_json::{Map, Value, json};

/// How the names of definitions begin that hold parts.
const PREFIX: &str = "over.";

/// Splits a schema of whole specs into one of both: a spec with `extends`, and one without.
pub(super) fn with_partial(mut whole: Value) -> Value {
    let Some(root) = whole.as_object_mut() else { return whole };
    let mut definitions = match root.shift_remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    };
    let mut head = Map::new();
    for key in ["$schema", "description"] {
        head.extend(root.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    let over = partial(&Value::Object(root.clone()));
    let mut parts = Map::new();
    add_parts(&over, &definitions, &mut parts);
    let alone = Value::Object(root.clone());
    definitions.insert("spec".to_owned(), alone);
    definitions.insert(format!("{PREFIX}spec"), over);
    definitions.extend(parts);
    head.extend([
        ("type".to_owned(), json!("object")),
        ("if".to_owned(), json!({ "type": "object", "required": ["extends"] })),
        ("then".to_owned(), json!({ "$ref": format!("#/$defs/{PREFIX}spec") })),
        ("else".to_owned(), json!({ "$ref": "#/$defs/spec" })),
        ("$defs".to_owned(), Value::Object(definitions)),
    ]);
    Value::Object(head)
}

/// The definitions of parts that a schema refers to, and those that they refer to.
fn add_parts(schema: &Value, whole: &Map<String, Value>, parts: &mut Map<String, Value>) {
    match schema {
        Value::Object(object) => {
            let name = object.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
            if let Some(name) = name
                && let Some(of) = name.strip_prefix(PREFIX).and_then(|name| whole.get(name))
                && !parts.contains_key(name)
            {
                let part = partial(of);
                parts.insert(name.to_owned(), part.clone());
                add_parts(&part, whole, parts);
            }
            object.values().for_each(|value| add_parts(value, whole, parts));
        }
        Value::Array(items) => items.iter().for_each(|item| add_parts(item, whole, parts)),
        _ => {}
    }
}

/// A schema whose keys may be left out or empty.
fn partial(schema: &Value) -> Value {
    let Value::Object(object) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in object {
        let value = match (key.as_str(), value) {
            // `oneOf` says that one kind has to be there. What pages show is whole.
            ("required" | "oneOf" | "minProperties" | "examples" | "markdownDescription", _) => continue,
            ("properties", Value::Object(fields)) => {
                Value::Object(fields.iter().map(|(name, field)| (name.clone(), optional(field))).collect())
            }
            ("additionalProperties", Value::Object(_)) => optional(value),
            ("anyOf", Value::Array(forms)) => Value::Array(forms.iter().map(partial).collect()),
            ("$ref", Value::String(to)) => Value::from(refer(to)),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// The same, or nothing.
fn optional(field: &Value) -> Value {
    let mut part = partial(field);
    let Some(object) = part.as_object_mut() else { return part };
    let nothing = json!({ "type": "null" });
    if let Some(Value::Array(forms)) = object.get_mut("anyOf") {
        if !forms.iter().any(is_nullable) {
            forms.push(nothing);
        }
    } else if ["enum", "const", "$ref"].iter().any(|key| object.contains_key(*key)) && !object.contains_key("type") {
        let about = ["description", "default", "doNotSuggest"];
        let (mut kept, rest): (Map<String, Value>, Map<String, Value>) =
            std::mem::take(object).into_iter().partition(|(key, _)| about.contains(&key.as_str()));
        kept.insert("anyOf".to_owned(), json!([rest, nothing]));
        *object = kept;
    } else if !is_nullable(&Value::Object(object.clone())) {
        match object.get_mut("type") {
            Some(Value::Array(types)) => types.push(json!("null")),
            Some(name) => *name = json!([name.clone(), "null"]),
            None => {}
        }
    }
    part
}

/// Whether a schema of plain types takes an empty value.
fn is_nullable(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(|name| name == "null"),
        Some(name) => name == "null",
        None => false,
    }
}

fn refer(to: &str) -> String {
    let name = to.trim_start_matches("#/$defs/");
    if name.starts_with(TEXT) { to.to_owned() } else { format!("#/$defs/{PREFIX}{name}") }
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
        let schedule = at("/$defs/over.spec/properties/schedule");
        assert!(schedule.get("required").is_none(), "a part of a section is a section");
        assert_eq!(schedule["type"], serde_json::json!(["object", "null"]));
        // What stands in a list is whole.
        let whole = at("/$defs/spec/properties/schedule/properties/phases/items");
        assert_eq!(schedule.pointer("/properties/phases/items").unwrap(), whole);
        assert!(at("/$defs/optimizer.sgd/anyOf/0/required").is_array());
        assert!(schema.pointer("/$defs/over.optimizer.sgd/anyOf/0/required").is_none());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_definition_is_met() {
        let schema = schema();
        let text = schema.to_string();
        let met: std::collections::BTreeSet<&str> =
            text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let defined: std::collections::BTreeSet<&str> =
            schema["$defs"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(met, defined);
        assert!(!defined.iter().any(|name| name.contains(' ')), "a definition is there twice");
    }
}
