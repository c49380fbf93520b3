//! `vars` and `${name}`.
//!
//! A scalar that is one variable becomes the variable's value, whatever its type; inside longer text the value is put in as
//! text. `$${` is a literal `${`. A variable may use those above it.

use super::place::Place;
use super::tree::{Node, Yaml};
use super::walk::keys_help;
use crate::diag::{Code, Diagnostic, nearest};
use std::collections::BTreeMap;

struct Variables {
    values: BTreeMap<String, (Node, Place)>,
    used: BTreeMap<String, bool>,
    errors: Vec<Diagnostic>,
    /// Bytes and values put in so far, since variables that use each other grow fast.
    grown: usize,
}

/// Most bytes and values that substitution may add.
const MAX_GROWTH: usize = 1 << 20;

/// Replaces every variable of the tree in place; the section `vars` is left with its values replaced.
pub(crate) fn substitute(root: &mut Node) -> Vec<Diagnostic> {
    let mut variables = Variables { values: BTreeMap::new(), used: BTreeMap::new(), errors: Vec::new(), grown: 0 };
    let Yaml::Map(entries) = &mut root.yaml else { return Vec::new() };
    if let Some(vars) = entries.iter_mut().find(|entry| entry.key == "vars")
        && let Yaml::Map(vars) = &mut vars.value.yaml
    {
        for entry in vars {
            variables.replace(&mut entry.value);
            variables.values.insert(entry.key.clone(), (entry.value.clone(), entry.key_place.clone()));
            variables.used.insert(entry.key.clone(), false);
        }
    }
    for entry in entries.iter_mut().filter(|entry| entry.key != "vars") {
        variables.replace(&mut entry.value);
    }
    let Variables { values, used, mut errors, .. } = variables;
    // What a base offers need not be used.
    let unused = |name: &str, value: &Node| used.get(name) == Some(&false) && value.home.is_none();
    for (name, (_, place)) in values.iter().filter(|(name, (value, _))| unused(name, value)) {
        let warning = Diagnostic::warning(Code::UnusedVariable, format!("nothing uses the variable `{name}`"));
        errors.push(place.on(warning, "never used").help(format!("use it as `${{{name}}}`, or remove it")));
    }
    errors
}

impl Variables {
    fn replace(&mut self, node: &mut Node) {
        match &mut node.yaml {
            Yaml::List(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Yaml::Map(entries) => entries.iter_mut().for_each(|entry| self.replace(&mut entry.value)),
            Yaml::Scalar { text, .. } if !text.contains("${") => {}
            Yaml::Scalar { text, .. } => {
                let text = text.clone();
                let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
                if let Some(name) = whole.filter(|name| !name.contains(['$', '{', '}'])) {
                    if let Some(value) = self.get(name.trim(), &node.place) {
                        node.yaml = value.yaml;
                        node.home = value.home;
                    }
                } else {
                    // A path that begins with a variable starts where the variable was written.
                    let first =
                        text.strip_prefix("${").and_then(|rest| rest.split_once('}')).map(|(name, _)| name.trim());
                    if let Some((value, _)) = first.and_then(|name| self.values.get(name)) {
                        node.home.clone_from(&value.home);
                    }
                    let text = self.fill_in(&text, &node.place);
                    node.yaml = Yaml::Scalar { text, plain: false };
                }
            }
        }
    }

    fn fill_in(&mut self, text: &str, place: &Place) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            if let Some(literal) = out.strip_suffix('$') {
                out.truncate(literal.len());
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            let Some(end) = rest[at..].find('}') else {
                let error = Diagnostic::error(Code::UnknownVariable, "a `${` without its `}`");
                self.errors.push(
                    place.first_line().on(error, "never closed").help("write `$${` for the characters themselves"),
                );
                return out;
            };
            let name = rest[at + 2..at + end].trim();
            if let Some(value) = self.get(name, place) {
                if let Some(value) = value.text() {
                    out.push_str(value);
                } else {
                    let message = format!("the variable `{name}` is a list or a map and cannot stand inside text");
                    let error = Diagnostic::error(Code::WrongType, message);
                    self.errors.push(place.first_line().on(error, ""));
                }
            }
            rest = &rest[at + end + 1..];
        }
        out + rest
    }

    fn get(&mut self, name: &str, place: &Place) -> Option<Node> {
        if let Some((value, _)) = self.values.get(name) {
            self.used.insert(name.to_owned(), true);
            self.grown = self.grown.saturating_add(value.weight());
            if self.grown <= MAX_GROWTH {
                return Some(value.clone());
            }
            let limit = Diagnostic::error(Code::YamlLimit, "the variables make the spec too large");
            self.errors.push(place.first_line().on(limit, "here"));
            // One report is enough: from here on the variable is left out.
            self.values.clear();
            self.used.clear();
            return None;
        }
        if self.grown > MAX_GROWTH {
            return None;
        }
        let names: Vec<&str> = self.values.keys().map(String::as_str).collect();
        let error = Diagnostic::error(Code::UnknownVariable, format!("unknown variable `{name}`"));
        let label = match nearest(name, names.iter().copied()).first() {
            Some(near) => {
                self.used.insert((*near).to_owned(), true);
                format!("did you mean `${{{near}}}`?")
            }
            None => "not in `vars`".to_owned(),
        };
        let help = if names.is_empty() {
            "the spec has no section `vars`".to_owned()
        } else {
            keys_help(&names, "`vars`", false)
        };
        self.errors.push(place.first_line().on(error, label).help(help));
        None
    }
}
