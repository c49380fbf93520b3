//! Typed spec → YAML in the language's own grammar, with every default filled in.

use super::Spec;
use crate::diag::{Code, Diagnostic, Result};
use serde_json::{Map, Value};

/// The resolved spec as text. Reading it back gives the same spec, places aside.
///
/// # Errors
/// `P0009` if the spec cannot be written, which no spec that was read can cause.
pub fn to_yaml(spec: &Spec) -> Result<String> {
    let internal = |error: String| Diagnostic::error(Code::Internal, "the spec cannot be written").note(error);
    let value = serde_json::to_value(spec).map_err(|error| internal(error.to_string()))?;
    serde_saphyr::to_string(&document(value)).map_err(|error| internal(error.to_string()))
}

/// The resolved spec value by value: paths as `--set` writes them, and what stands there. The description and `runtime` are left out, as
/// they are of [`super::identity`].
///
/// # Errors
/// As [`to_yaml`].
pub fn leaves(spec: &Spec) -> Result<Vec<(String, String)>> {
    let value = serde_json::to_value(spec)
        .map_err(|error| Diagnostic::error(Code::Internal, "the spec cannot be written").note(error.to_string()))?;
    let mut found = Vec::new();
    for (section, value) in object(document(value)) {
        if !matches!(section.as_str(), "description" | "runtime") {
            leaf(section, &value, &mut found);
        }
    }
    Ok(found)
}

fn leaf(path: String, value: &Value, found: &mut Vec<(String, String)>) {
    let is_plain = |item: &Value| !item.is_object() && !item.is_array();
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaf(format!("{path}.{key}"), value, found));
        }
        Value::Array(items) if !items.iter().all(is_plain) => {
            items.iter().enumerate().for_each(|(i, item)| leaf(format!("{path}.{i}"), item, found));
        }
        Value::String(text) => found.push((path, text.clone())),
        other => found.push((path, other.to_string())),
    }
}

fn document(spec: Value) -> Value {
    let mut out = Map::new();
    let by_number = sweeps(&spec, "regularizer.0");
    for (section, value) in object(spec) {
        let written = match section.as_str() {
            "model" => each(value, |key, value| match (key, value) {
                ("dropout", Value::Object(mut map)) => map.remove("p").unwrap_or_default(),
                (_, value) => value,
            }),
            "freeze" => freeze(value),
            "layers" => each(value, |_, branch| {
                each(
                    branch,
                    |key, value| if key == "stack" { list(value, |item| choice(item, "layer", &[])) } else { value },
                )
            }),
            "data" => each(value, |key, value| match key {
                "sets" => each(value, |_, set| choice(set, "source", &[])),
                "transforms" => transforming(value),
                _ => value,
            }),
            "loss" => terms(value),
            "regularizer" => match list(value, |item| choice(item, "penalty", &[])) {
                Value::Array(mut items) if items.len() == 1 && !by_number => items.remove(0),
                penalties => penalties,
            },
            "optimizer" => choice(value, "rule", &[]),
            "schedule" => schedule(value),
            "evaluate" => each(value, |key, value| if key == "metrics" { list(value, chosen) } else { value }),
            _ => value,
        };
        if !is_empty(&written) {
            out.insert(section, written);
        }
    }
    tidy(Value::Object(out))
}

fn schedule(schedule: Value) -> Value {
    each(schedule, |key, value| match key {
        "lr" => chosen(value),
        "freeze" => freeze(value),
        "optimizer" if !value.is_null() => choice(value, "rule", &[]),
        "phases" => list(value, self::schedule),
        _ => value,
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn each(map: Value, write: impl Fn(&str, Value) -> Value) -> Value {
    match map {
        Value::Object(map) => {
            let written = map.into_iter().map(|(key, value)| {
                let value = write(&key, value);
                (key, value)
            });
            Value::Object(written.filter(|(_, value)| !is_empty(value)).collect())
        }
        other => other,
    }
}

fn list(items: Value, write: impl Fn(Value) -> Value) -> Value {
    match items {
        Value::Array(items) => Value::Array(items.into_iter().map(write).collect()),
        other => other,
    }
}

/// `{kind, config, at}` → `{kind: config}`, or the bare kind.
fn chosen(value: Value) -> Value {
    let Value::Object(mut map) = value else { return value };
    let kind = map.remove("kind").unwrap_or_default();
    let config = map.remove("config").unwrap_or_default();
    let Value::String(name) = &kind else { return kind };
    if config.as_object().is_some_and(Map::is_empty) {
        kind
    } else {
        Value::Object(Map::from_iter([(name.clone(), config)]))
    }
}

/// Whether a sweep varies something below a path, which has to lead there as it did.
fn sweeps(spec: &Value, path: &str) -> bool {
    let below = |key: &String| key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let varied = ["grid", "random"].iter().filter_map(|way| spec.get("sweep")?.get(way)?.as_object());
    varied.flat_map(Map::keys).any(below)
}

/// A choice with generic keys beside it; those in `inside` move into the kind's map.
fn choice(value: Value, slot: &str, inside: &[&str]) -> Value {
    let mut map = object(value);
    let written = chosen(map.shift_remove(slot).unwrap_or_default());
    let moved: Vec<(String, Value)> = inside
        .iter()
        .filter_map(|key| {
            map.shift_remove(*key).filter(|value| !value.is_null()).map(|value| ((*key).to_owned(), value))
        })
        .collect();
    if let Some(both) = map.shift_remove("transforms").filter(|both| !both.is_null()) {
        map.insert("transforms".to_owned(), transforming(both));
    }
    if let Some(init) = map.shift_remove("init").filter(|init| !init.is_null()) {
        map.insert("init".to_owned(), chosen(init));
    }
    map.retain(|_, value| !is_empty(value));
    if map.is_empty() && moved.is_empty() {
        return written;
    }
    let mut out = match written {
        Value::String(kind) => Map::from_iter([(kind, Value::Object(Map::new()))]),
        other => object(other),
    };
    if let Some(Value::Object(config)) = out.values_mut().next() {
        config.extend(moved);
    }
    out.extend(map);
    Value::Object(out)
}

fn terms(terms: Value) -> Value {
    let term = |term: Value| {
        let term = each(term, |key, value| match (key, value) {
            ("weight", Value::Object(mut map)) if map.contains_key("constant") => {
                map.remove("constant").unwrap_or_default()
            }
            (_, value) => value,
        });
        choice(term, "loss", &["of", "labels"])
    };
    let map = object(terms);
    let only = if map.len() == 1 { map.iter().next() } else { None };
    if let Some((name, value)) = only
        && value.pointer("/loss/kind").and_then(Value::as_str) == Some(name)
    {
        return term(value.clone());
    }
    each(Value::Object(map), |_, value| term(value))
}

fn transforming(both: Value) -> Value {
    let mut map = object(each(both, |_, value| list(value, chosen)));
    if map.get("train") != map.get("eval") {
        return Value::Object(map);
    }
    map.remove("train").unwrap_or_default()
}

fn freeze(freeze: Value) -> Value {
    let Value::Object(mut map) = freeze else { return freeze };
    let alone = map.iter().all(|(key, value)| key == "params" || value.is_null());
    let params = map.get("params").and_then(Value::as_array);
    match params.map(Vec::as_slice) {
        Some([]) | None if alone => Value::from("none"),
        Some([all]) if alone && all == "*" => Value::from("all"),
        Some([]) | None => {
            map.shift_remove("params");
            Value::Object(map)
        }
        _ => Value::Object(map),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Leaves out what has no value, and keeps `${` from being read as a variable.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let tidied = map.into_iter().map(|(key, value)| (key, tidy(value)));
            Value::Object(tidied.filter(|(_, value)| !value.is_null()).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        Value::String(text) => Value::String(text.replace("${", "$${")),
        other => other,
    }
}
