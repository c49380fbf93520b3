//! Keys that stand beside a kind: the generic ones of the place, and those that stand there by mistake.

use super::choice::listed;
use super::place::join;
use super::shape::{Choice, Field, KindShape};
use super::tree::{Entry, Node};
use super::walk::{Walker, not_supported};
use crate::diag::{Code, Diagnostic, nearest};
use serde_json::{Map, Value};

impl Walker {
    /// The generic keys beside the kind; `None` if one of them is wrong.
    pub(super) fn beside(&mut self, choice: &Choice, node: &Node, at: &str) -> Option<Map<String, Value>> {
        let mut out = Map::new();
        let mut clean = true;
        for entry in node.entries().unwrap_or_default() {
            let pointer = join(at, &entry.key);
            if let Some(field) = choice.beside.field(&entry.key) {
                match self.walk(&field.shape, &entry.value, &pointer) {
                    Some(value) => drop(out.insert(field.name.clone(), value)),
                    None => clean = false,
                }
            } else if choice.beside.later.contains(&entry.key.as_str()) {
                clean = false;
                self.error(not_supported(&format!("`{}`", entry.key)).at_key(pointer, ""));
            }
        }
        clean.then_some(out)
    }

    /// Reports a key that does not stand beside a kind; gives the field that was probably meant.
    pub(super) fn beside_stray<'c>(
        &mut self,
        choice: &'c Choice,
        kind: Option<&'c KindShape>,
        stray: &Entry,
        pointer: &str,
    ) -> Option<&'c Field> {
        let key = &stray.key;
        let inside = |kind: &'c KindShape| {
            kind.config.field(key).or_else(|| choice.inside.iter().find(|field| field.name == *key))
        };
        if let Some((kind, field)) = kind.and_then(|kind| Some((kind, inside(kind)?))) {
            let message = format!("`{key}` stands beside `{}`, it belongs inside", kind.name);
            let help = format!("write `{}: {{{key}: …}}`", kind.name);
            self.error(Diagnostic::error(Code::UnknownKey, message).at_key(pointer, "move it inside").help(help));
            return Some(field);
        }
        let mut names: Vec<&str> = choice.beside.fields.iter().map(|field| field.name.as_str()).collect();
        let name = kind.map_or(choice.kinds.noun, |kind| kind.name);
        let message = format!("unknown key `{key}` beside `{name}`");
        let help = if names.is_empty() {
            "nothing else stands here".to_owned()
        } else {
            format!("beside it: {}", listed(&names))
        };
        names.extend(choice.kinds.kinds.iter().map(|kind| kind.name));
        let near = nearest(key, names).first().copied();
        let label = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "not a key here".to_owned(),
        };
        self.error(Diagnostic::error(Code::UnknownKey, message).at_key(pointer, label).help(help));
        choice.beside.field(near?)
    }
}
