//! Lays a spec over its base, along the shapes of the language.
//!
//! Maps merge key by key; whatever else stands in a place replaces what the base has there, lists included. Where one kind of a family
//! stands, merging goes by kinds: the same kind merges its keys, another kind takes the place of the base's, and the generic keys beside it
//! merge like those of any map. Of keys that exclude each other the newer one stays. A short form is the long form. An empty value takes
//! the base's key away; under the key of a kind it is the kind with its defaults.

use super::choice::{bare_term, short_form};
use super::shape::{Choice, KindShape, Record, Shape};
use super::tree::{Entry, Node, Yaml};

/// `child` over `base`.
pub(super) fn merge(shape: &Shape, base: Node, child: Node) -> Node {
    match shape {
        Shape::Nullable(inner) | Shape::NoMap(inner, _) => merge(inner, base, child),
        Shape::Record(record) | Shape::Freeze(record) | Shape::Transforming(_, record) | Shape::Weight(record) => {
            self::record(record, base, child)
        }
        Shape::Map(values) => maps(base, child, |_, base, child| merge(values, base, child)),
        Shape::Choice(choice) | Shape::Penalties(choice) => self::choice(choice, base, child),
        Shape::Terms(choice) => terms(choice, base, child),
        _ => child,
    }
}

/// Keys of a record; those of the base that exclude a newer one go.
pub(super) fn record(record: &Record, mut base: Node, child: Node) -> Node {
    for group in record.either {
        let new = |key: &&str| child.get(key).is_some_and(|entry| !entry.value.is_null());
        if group.iter().any(new) {
            retain(&mut base, |entry| !group.contains(&entry.key.as_str()) || new(&entry.key.as_str()));
        }
    }
    maps(base, child, |key, base, child| match record.field(key) {
        Some(field) => merge(&field.shape, base, child),
        None => child,
    })
}

/// Entry by entry, if both are maps; `with` merges the values under a key that both have.
fn maps(base: Node, mut child: Node, with: impl Fn(&str, Node, Node) -> Node) -> Node {
    let (Yaml::Map(mut entries), Yaml::Map(newer)) = (base.yaml, &mut child.yaml) else { return child };
    for entry in std::mem::take(newer) {
        match entries.iter().position(|old| old.key == entry.key) {
            Some(at) if entry.value.is_null() => drop(entries.remove(at)),
            Some(at) => {
                let old = entries.remove(at);
                let value = with(&entry.key, old.value, entry.value);
                entries.insert(at, Entry { value, ..entry });
            }
            None => entries.push(entry),
        }
    }
    child.yaml = Yaml::Map(entries);
    child
}

fn retain(node: &mut Node, keep: impl Fn(&Entry) -> bool) {
    if let Yaml::Map(entries) = &mut node.yaml {
        entries.retain(keep);
    }
}

/// One kind with generic keys beside it.
fn choice(choice: &Choice, base: Node, child: Node) -> Node {
    let (mut base, mut child) = match (spread(choice, base), spread(choice, child)) {
        (Ok(base), Ok(child)) => (base, child),
        (_, Ok(child) | Err(child)) => return child,
    };
    let is_beside = |key: &str| choice.beside.field(key).is_some() || choice.beside.later.contains(&key);
    let names: Vec<String> = child.entries().into_iter().flatten().map(|entry| entry.key.clone()).collect();
    if names.iter().any(|key| !is_beside(key)) {
        // Another kind, or what is meant to be one.
        retain(&mut base, |entry| is_beside(&entry.key) || names.contains(&entry.key));
    }
    let bare = bare_kind(choice, &mut child, is_beside);
    let mut merged = maps(base, child, |key, base, child| match (choice.beside.field(key), choice.kinds.get(key)) {
        (Some(field), _) => merge(&field.shape, base, child),
        (None, Some(kind)) => config(kind, choice, base, child),
        (None, None) => child,
    });
    if let (Some(bare), Yaml::Map(entries)) = (bare, &mut merged.yaml) {
        entries.retain(|entry| entry.key != bare.key);
        entries.push(bare);
    }
    merged
}

/// The entry of a kind that is only named, taken out: its empty value takes nothing away.
fn bare_kind(choice: &Choice, child: &mut Node, is_beside: impl Fn(&str) -> bool) -> Option<Entry> {
    let Yaml::Map(entries) = &mut child.yaml else { return None };
    let named = |entry: &Entry| choice.kinds.knows(&entry.key) && !is_beside(&entry.key) && entry.value.is_null();
    let at = entries.iter().position(named)?;
    Some(entries.remove(at))
}

/// The configurations of one kind.
fn config(kind: &KindShape, choice: &Choice, base: Node, child: Node) -> Node {
    let (base, child) = (long(kind, choice, base), long(kind, choice, child));
    let inside = |key: &str| choice.inside.iter().find(|field| field.name == key);
    maps(base, child, |key, base, child| match kind.config.field(key).or_else(|| inside(key)) {
        Some(field) => merge(&field.shape, base, child),
        None => child,
    })
}

/// A loss, or named terms.
fn terms(choice: &Choice, base: Node, child: Node) -> Node {
    let is_one = |node: &Node| match &node.yaml {
        Yaml::Scalar { .. } => true,
        Yaml::Map(entries) => bare_term(choice, entries).is_some(),
        Yaml::List(_) => false,
    };
    let only_beside = child.entries().into_iter().flatten().all(|entry| choice.beside.field(&entry.key).is_some());
    match (is_one(&base), is_one(&child) || only_beside) {
        (true, true) => self::choice(choice, base, child),
        (false, false) => maps(base, child, |_, base, child| self::choice(choice, base, child)),
        _ => child,
    }
}

/// A bare kind as a map; what is neither that nor a map comes back as it is.
fn spread(choice: &Choice, node: Node) -> Result<Node, Node> {
    match &node.yaml {
        Yaml::Map(_) => Ok(node),
        Yaml::Scalar { text, .. } if choice.kinds.knows(text) => {
            let empty = Node { yaml: Yaml::Scalar { text: String::new(), plain: true }, ..node.clone() };
            let entry = Entry { key: text.clone(), key_place: node.place.clone(), value: empty };
            Ok(Node { yaml: Yaml::Map(vec![entry]), ..node })
        }
        _ => Err(node),
    }
}

/// The short form of a kind's configuration as a map.
fn long(kind: &KindShape, choice: &Choice, node: Node) -> Node {
    match short_form(kind, choice, &node) {
        Some(field) => {
            let entry = Entry { key: field.name.clone(), key_place: node.place.clone(), value: node.clone() };
            Node { yaml: Yaml::Map(vec![entry]), ..node }
        }
        None => node,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Base, Bases, identity, parse, parse_over};
    use crate::diag::render;

    /// Sections of a base, of what is laid over it, and of the spec that comes out.
    const CASES: &[(&str, &str, &str)] = &[
        // Maps merge, the rest replaces.
        ("schedule: {epochs: 3, batch: 4}", "schedule: {batch: 8}", "schedule: {epochs: 3, batch: 8}"),
        ("seed: 3", "seed: 4", "seed: 4"),
        ("evaluate: {metrics: [accuracy, auroc]}", "evaluate: {metrics: [f1]}", "evaluate: {metrics: [f1]}"),
        (
            "data: {sets: {train: {npz: a.npz}}}",
            "data: {sets: {test: {npz: b.npz}}}",
            "data: {sets: {train: {npz: a.npz}, test: {npz: b.npz}}}",
        ),
        // Kinds.
        (
            "optimizer: {sgd: {lr: 0.1, momentum: 0.9}}",
            "optimizer: {sgd: {lr: 0.2}}",
            "optimizer: {sgd: {lr: 0.2, momentum: 0.9}}",
        ),
        (
            "optimizer: {sgd: {lr: 0.1, momentum: 0.9}}",
            "optimizer: {sgd: 0.2}",
            "optimizer: {sgd: {lr: 0.2, momentum: 0.9}}",
        ),
        ("optimizer: {sgd: 0.1}", "optimizer: {sgd: {momentum: 0.9}}", "optimizer: {sgd: {lr: 0.1, momentum: 0.9}}"),
        (
            "optimizer: {sgd: {lr: 0.1, momentum: 0.9}, clip_norm: 1}",
            "optimizer: {adamw: 0.2}",
            "optimizer: {adamw: 0.2, clip_norm: 1}",
        ),
        ("optimizer: {sgd: 0.1, clip_norm: 1}", "optimizer: {clip_norm: 2}", "optimizer: {sgd: 0.1, clip_norm: 2}"),
        ("optimizer: {sgd: 0.1, clip_norm: 1}", "optimizer: {adamw: 0.2, clip_norm: null}", "optimizer: {adamw: 0.2}"),
        (
            "data: {sets: {train: {npz: a.npz, limit: 5}}}",
            "data: {sets: {train: {csv: {path: a.csv, features: rest, labels: 0}}}}",
            "data: {sets: {train: {csv: {path: a.csv, features: rest, labels: 0}, limit: 5}}}",
        ),
        ("regularizer: {l2: 0.1}", "regularizer: {l1: 0.2}", "regularizer: {l1: 0.2}"),
        ("regularizer: [l2: 0.1]", "regularizer: {l2: 0.2}", "regularizer: {l2: 0.2}"),
        // A kind that is only named has its defaults.
        (
            "schedule: {epochs: 3, batch: 4, lr: {cosine: {warmup: 2}}}",
            "schedule: {lr: cosine}",
            "schedule: {epochs: 3, batch: 4, lr: cosine}",
        ),
        (
            "schedule: {epochs: 3, batch: 4, lr: {cosine: {warmup: 2}}}",
            "schedule: {lr: {cosine: }}",
            "schedule: {epochs: 3, batch: 4, lr: cosine}",
        ),
        (
            "schedule: {epochs: 3, batch: 4, lr: cosine}",
            "schedule: {lr: {cosine: {warmup: 2}}}",
            "schedule: {epochs: 3, batch: 4, lr: {cosine: {warmup: 2}}}",
        ),
        // Losses and terms.
        (
            "loss: {cross_entropy: {label_smoothing: 0.1}}",
            "loss: {weight: 2}",
            "loss: {cross_entropy: {label_smoothing: 0.1}, weight: 2}",
        ),
        (
            "loss: {cross_entropy: {label_smoothing: 0.1}}",
            "loss: {cross_entropy: {of: net}}",
            "loss: {cross_entropy: {label_smoothing: 0.1, of: net}}",
        ),
        ("loss: {cross_entropy: {label_smoothing: 0.1}}", "loss: mse", "loss: mse"),
        (
            "loss: {one: {cross_entropy: {}}, two: {cross_entropy: {}, weight: 3}}",
            "loss: {two: {weight: 2}, one: null}",
            "loss: {two: {cross_entropy: {}, weight: 2}}",
        ),
        ("loss: {one: {cross_entropy: {}}}", "loss: cross_entropy", "loss: cross_entropy"),
        // Keys that exclude each other.
        ("schedule: {epochs: 3, batch: 4}", "schedule: {steps: 7}", "schedule: {steps: 7, batch: 4}"),
        ("schedule: {batch: 4, phases: [{epochs: 1}]}", "schedule: {epochs: 2}", "schedule: {epochs: 2, batch: 4}"),
        (
            "freeze: {all_but: ['fc.*'], batch_norm: eval}",
            "freeze: {params: ['*']}",
            "freeze: {params: ['*'], batch_norm: eval}",
        ),
        ("freeze: {params: ['*']}", "freeze: none", "freeze: none"),
        // An empty value takes a key away.
        ("seed: 3\nfreeze: all", "freeze: null", "seed: 3"),
        ("freeze: {params: ['*'], batch_norm: eval}", "freeze: {batch_norm: ~}", "freeze: {params: ['*']}"),
        // Variables: the newer value, as a whole.
        (
            "vars: {a: {sgd: 0.1}, b: 5}\noptimizer: ${a}\nseed: ${b}",
            "vars: {a: {adamw: 0.2}}",
            "optimizer: {adamw: 0.2}\nseed: 5",
        ),
        ("vars: {a: 5}\nseed: ${a}", "seed: 6", "seed: 6"),
        (
            "data:\n  sets: {train: {npz: a.npz}}\n  transforms: {train: [to_tensor], eval: []}",
            "data: {transforms: {train: []}}",
            "data: {sets: {train: {npz: a.npz}}, transforms: []}",
        ),
    ];

    /// Sections around those of a case.
    fn whole(sections: &str) -> String {
        let mut text = String::new();
        for (key, usual) in [
            ("version:", "version: 1\n"),
            ("name:", "name: a\n"),
            ("model:", "model: {input: {image: [6]}}\n"),
            ("layers:", "layers: {net: {stack: [linear: 3]}}\n"),
            ("data:", "data: {sets: {train: {npz: a.npz}}}\n"),
            ("loss:", "loss: cross_entropy\n"),
            ("optimizer:", "optimizer: {sgd: 0.1}\n"),
            ("schedule:", "schedule: {epochs: 3, batch: 4}\n"),
        ] {
            if !sections.lines().any(|line| line.starts_with(key)) {
                text.push_str(usual);
            }
        }
        text + sections + "\n"
    }

    /// What a text computes, laid over a base.
    fn over(base: &str, child: &str) -> String {
        let read =
            |_: &str| Ok(Base { name: "base.yaml".to_owned(), identity: "base".to_owned(), text: base.to_owned() });
        let text = format!("extends: base.yaml\n{child}\n");
        let parsed = parse_over(&text, "spec.yaml", &[], &Bases { identity: "spec".to_owned(), read: &read });
        let spec = parsed.spec.as_ref().unwrap_or_else(|| panic!("{}", render(&parsed.diagnostics, false)));
        identity(spec)
    }

    #[test]
    fn a_spec_laid_over_its_base_is_the_spec_written_out() {
        for (base, child, expect) in CASES {
            let expected = parse(&whole(expect), "expected.yaml", &[]);
            let expected = expected.spec.unwrap_or_else(|| panic!("{}", render(&expected.diagnostics, false)));
            assert_eq!(over(&whole(base), child), identity(&expected), "{base}\n{child}");
        }
    }
}
