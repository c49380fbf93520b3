//! What two specs compute differently, path by path.

use super::{Spec, forget_places, identified, place::join};
use serde_json::{Map, Value};

/// A place in which two specs differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Pointer into the text of the newer one.
    pub pointer: String,
    /// What stood there, as short text; `None` when nothing did.
    pub old: Option<String>,
    /// What stands there now.
    pub new: Option<String>,
}

impl Change {
    /// The place as `--set` writes it.
    pub fn path(&self) -> String {
        self.pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
    }
}

/// The changes that lead from the spec with an identity (see [`super::identity`]) to another one; `None` when that is no identity.
pub fn changes(identity: &str, spec: &Spec) -> Option<Vec<Change>> {
    let old: Value = serde_json::from_str(identity).ok().filter(Value::is_object)?;
    // Both through text, so that numbers that are the same are read as the same.
    let new: Value = serde_json::from_str(&identified(spec).to_string()).ok()?;
    let mut found = Vec::new();
    compare(&old, &new, "", &mut found);
    Some(found)
}

fn compare(old: &Value, new: &Value, pointer: &str, found: &mut Vec<Change>) {
    if is_empty(old) && is_empty(new) {
        return;
    }
    match (old, new) {
        (Value::Object(a), Value::Object(b)) if a.contains_key("config") && b.contains_key("config") => {
            let at = written_at(b, pointer);
            match (a.get("kind"), b.get("kind")) {
                (x, y) if x == y => compare(&a["config"], &b["config"], at, found),
                (x, y) => found.push(Change { pointer: at.to_owned(), old: x.and_then(shown), new: y.and_then(shown) }),
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            for key in b.keys().chain(a.keys().filter(|key| !b.contains_key(*key))) {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&of(a), &of(b), &join(pointer, key), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if !(plain(a) && plain(b)) => {
            for i in 0..a.len().max(b.len()) {
                let of = |items: &[Value]| items.get(i).cloned().unwrap_or_default();
                compare(&of(a), &of(b), &join(pointer, &i.to_string()), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let at = b.as_object().map_or(pointer, |map| written_at(map, pointer));
            found.push(Change { pointer: at.to_owned(), old: shown(a), new: shown(b) });
        }
    }
}

/// Where a chosen kind stands in the text.
fn written_at<'a>(chosen: &'a Map<String, Value>, pointer: &'a str) -> &'a str {
    chosen.get("at").and_then(Value::as_str).filter(|at| !at.is_empty()).unwrap_or(pointer)
}

/// Lists of numbers or words are shown as a whole.
fn plain(items: &[Value]) -> bool {
    items.iter().all(|item| !item.is_object() && !item.is_array())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A value in one short line.
fn shown(value: &Value) -> Option<String> {
    const LONGEST: usize = 60;
    if is_empty(value) {
        return None;
    }
    let mut value = value.clone();
    forget_places(&mut value);
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let text = text.lines().next().unwrap_or_default();
    let short: String = text.chars().take(LONGEST).collect();
    Some(if short.len() < text.len() { short + "…" } else { short })
}

#[cfg(test)]
mod tests {
    use super::super::{identity, parse};
    use super::*;

    const BASE: &str = "version: 1
name: base
model: {input: {image: [6]}}
layers: {net: {stack: [linear: 3]}}
data: {sets: {train: {npz: a.npz}}}
loss: cross_entropy
optimizer: {sgd: 0.1, groups: [{params: ['*.bias'], lr: 0.2}]}
schedule: {epochs: 3, batch: 4}
";

    fn spec(text: &str) -> Spec {
        let parsed = parse(text, "spec.yaml", &[]);
        parsed.spec.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics))
    }

    fn between(edit: impl Fn(String) -> String) -> Vec<String> {
        let found = changes(&identity(&spec(BASE)), &spec(&edit(BASE.to_owned()))).unwrap();
        let side = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
        found.into_iter().map(|c| format!("{}: {} → {}", c.path(), side(c.old), side(c.new))).collect()
    }

    #[test]
    fn every_change_has_its_path_and_both_values() {
        assert!(between(|text| text).is_empty());
        assert!(between(|text| text + "description: another\nruntime: {threads: 3}\n").is_empty());
        assert_eq!(between(|text| text.replace("sgd: 0.1", "sgd: 1e-1")), [""; 0]);
        assert_eq!(between(|text| text.replace("sgd: 0.1", "sgd: {lr: 0.3}")), ["optimizer.sgd.lr: 0.1 → 0.3"]);
        assert_eq!(between(|text| text.replace("sgd: 0.1", "adamw: 0.1")), ["optimizer.adamw: sgd → adamw"]);
        assert_eq!(between(|text| text.replace("linear: 3", "linear: 4")), ["layers.net.stack.0.linear.units: 3 → 4"]);
        assert_eq!(between(|text| text.replace("lr: 0.2", "lr: 1")), ["optimizer.groups.0.lr: 0.2 → 1.0"]);
        assert_eq!(
            between(|text| text.replace("epochs: 3", "epochs: 5, lr: cosine") + "seed: 2\n"),
            [
                "seed: 0 → 2",
                "schedule.epochs: 3 → 5",
                r#"schedule.lr: nothing → {"kind":"cosine","config":{"min":0.0,"warmup":0.0}}"#
            ]
        );
        assert_eq!(changes("0123456789abcdef", &spec(BASE)), None);
    }
}
