//! `--set a.b=c`: overrides from the command line, validated like what is written in the file.

use super::place::Place;
use super::tree::{self, Entry, Node, Yaml};
use crate::diag::{COMMAND_LINE, Code, Diagnostic, Source};
use std::sync::Arc;

/// Puts every override into the tree, in order.
pub(crate) fn apply(root: &mut Node, sets: &[String]) -> Vec<Diagnostic> {
    sets.iter().filter_map(|set| one(root, set).err()).flatten().collect()
}

fn one(root: &mut Node, set: &str) -> Result<(), Vec<Diagnostic>> {
    let source = Arc::new(Source { name: COMMAND_LINE.to_owned(), text: set.to_owned() });
    let usage = |message: String, range: std::ops::Range<usize>| {
        let error = Diagnostic::error(Code::Usage, message);
        vec![error.span(&source, range, "").help("an override reads `--set optimizer.sgd.lr=0.01`")]
    };
    let Some(equals) = set.find('=') else {
        return Err(usage(format!("`--set {set}` has no `=`"), 0..set.len()));
    };
    let path = &set[..equals];
    if path.split('.').any(str::is_empty) {
        return Err(usage(format!("`{path}` is not a path of keys"), 0..equals));
    }
    if path.split('.').count() > tree::MAX_DEPTH {
        let message = format!("a path of keys is not deeper than {} levels", tree::MAX_DEPTH);
        return Err(usage(message, 0..equals.min(80)));
    }
    // Blanks keep the value's place: the source that is read is as long as the whole argument.
    let blanked = " ".repeat(equals + 1) + &set[equals + 1..];
    let (value, errors) = tree::read_shown(&source, &blanked);
    if !errors.is_empty() {
        return Err(errors);
    }
    let end = Place { source: Arc::clone(&source), range: equals..set.len() };
    let value = value.unwrap_or_else(|| Node::empty(end));
    let lost = assign(root, path, value, |range| Place { source: Arc::clone(&source), range });
    lost.map_or(Ok(()), |(message, place)| Err(usage(message, place.range)))
}

/// Puts a value at a path of keys; `place` says where the part of the path stands that a range of it names. What leads nowhere comes back
/// with a sentence about it.
pub(crate) fn assign(
    root: &mut Node,
    path: &str,
    value: Node,
    place: impl Fn(std::ops::Range<usize>) -> Place,
) -> Option<(String, Place)> {
    let mut node = root;
    let mut at = 0;
    for step in path.split('.') {
        let place = place(at..at + step.len());
        at += step.len() + 1;
        let what = describe(node);
        match enter(node, step, &place) {
            Some(next) => node = next,
            None => return Some((format!("`{step}` leads nowhere: it stands after {what}"), place)),
        }
    }
    *node = value;
    None
}

fn describe(node: &Node) -> &'static str {
    match &node.yaml {
        Yaml::Scalar { .. } => "a plain value",
        Yaml::List(_) => "a list, which takes the number of an item",
        Yaml::Map(_) => "a map",
    }
}

/// The child for a step; a map gets a new key if need be, and a bare kind or an empty value becomes a map.
fn enter<'a>(node: &'a mut Node, step: &str, place: &Place) -> Option<&'a mut Node> {
    if matches!(&node.yaml, Yaml::Scalar { text, .. } if text == step) || node.is_null() {
        node.yaml = Yaml::Map(Vec::new());
    }
    match &mut node.yaml {
        Yaml::Scalar { .. } => None,
        Yaml::List(items) => items.get_mut(step.parse::<usize>().ok()?),
        Yaml::Map(entries) => {
            let found = entries.iter().position(|entry| entry.key == step);
            let position = found.unwrap_or(entries.len());
            if found.is_none() {
                let empty = Node::empty(place.clone());
                entries.push(Entry { key: step.to_owned(), key_place: place.clone(), value: empty });
            }
            let entry = entries.get_mut(position)?;
            entry.key_place = place.clone();
            Some(&mut entry.value)
        }
    }
}
