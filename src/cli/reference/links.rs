//! Links between the parts of the reference: code in prose that is the name of a part leads there.

use super::commands;
use super::escape::{Piece, outside, pieces, prose};
use crate::diag;
use crate::spec::Group;
use crate::world::env;
use std::collections::{BTreeMap, BTreeSet};

/// What names lead to; a name of several things leads nowhere.
#[derive(Debug)]
pub(super) struct Links(BTreeMap<String, String>);

/// Noun and anchor of each family.
fn families(groups: &[Group]) -> impl Iterator<Item = (&str, &str)> {
    groups.iter().filter_map(|group| Some((group.id.strip_prefix("family.")?, group.id.as_str())))
}

impl Links {
    pub(super) fn of(groups: &[Group]) -> Self {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |name: &str, id: &str| {
            found.entry(name.to_owned()).or_default().insert(id.to_owned());
        };
        for entry in groups.iter().flat_map(|group| &group.entries) {
            add(&entry.name, &entry.id);
            entry.keys.iter().for_each(|key| add(&key.path, &key.path));
            // `sgd.lr` is short for `optimizer.sgd.lr`.
            for key in entry.keys.iter().filter(|_| entry.id != entry.name) {
                add(&format!("{}.{}", entry.name, key.name), &key.path);
            }
        }
        for info in diag::ALL {
            add(info.id, info.id);
        }
        for command in commands::all() {
            add(&command.name, &command.id());
        }
        for variable in env::VARIABLES {
            add(variable.name(), variable.name());
        }
        // Some families are called like a section.
        for (noun, id) in families(groups) {
            found.entry(noun.to_owned()).or_insert_with(|| BTreeSet::from([id.to_owned()]));
        }
        let one = found.into_iter().filter(|(_, ids)| ids.len() == 1);
        Self(one.filter_map(|(name, ids)| ids.into_iter().next().map(|id| (name, id))).collect())
    }

    /// What a key takes, with families of kinds linked.
    pub(super) fn takes(takes: &str, groups: &[Group]) -> String {
        let linked = |word: &str| {
            let name = word.trim_end_matches([',', ';', ':']);
            let found = families(groups).find(|(noun, _)| *noun == name);
            found.map_or_else(|| prose(word), |(_, id)| format!("[{name}](#{id}){}", &word[name.len()..]))
        };
        takes.split(' ').map(linked).collect::<Vec<_>>().join(" ")
    }

    /// Where a piece of code leads: a name, or a call of a command.
    fn target(&self, code: &str) -> Option<&str> {
        let words: Vec<&str> = code.split(' ').collect();
        let command = || (2..=words.len().min(3)).rev().find_map(|count| self.0.get(&words[..count].join(" ")));
        let found = if code.starts_with("pipe ") { command() } else { self.0.get(code.trim_end_matches(':')) };
        found.map(String::as_str)
    }

    /// A page as Markdown, the first mention of each other part linked; `own` is the part that it is about.
    pub(super) fn page(&self, page: &str, own: &str) -> String {
        let mut seen = BTreeSet::from([own.to_owned()]);
        let mut out = String::new();
        for (outside, line) in outside(page) {
            if outside {
                out.push_str(&self.line(line, &mut seen));
            } else {
                out.push_str(line);
            }
            out.push('\n');
        }
        out
    }

    /// One line.
    pub(super) fn line(&self, line: &str, seen: &mut BTreeSet<String>) -> String {
        let piece = |piece: Piece<'_>| match piece {
            Piece::Text(text) => prose(text),
            Piece::Code(code) => match self.target(code).filter(|id| seen.insert((*id).to_owned())) {
                Some(id) => format!("[`{code}`](#{id})"),
                None => format!("`{code}`"),
            },
        };
        pieces(line).into_iter().map(piece).collect()
    }
}
