//! Branches: where each begins, that what it refers to exists, and that they do not run in a circle.

use super::{exclude, unknown};
use crate::diag::{Code, Diagnostic};
use crate::spec::place::join;
use crate::spec::{Branch, Spec};
use std::collections::BTreeMap;

pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    for (name, branch) in &spec.layers {
        let at = join("/layers", name);
        if name == "input" || spec.model.input.contains_key(name) {
            let error = Diagnostic::error(Code::DuplicateName, format!("a branch cannot be called `{name}`"));
            found.push(error.at_key(&at, "this is the name of an input").help("choose another name"));
        }
        beginning(spec, branch, &at, found);
    }
    cycles(&spec.layers, found);
    for (i, output) in spec.export.outputs.iter().enumerate() {
        branch_named(spec, output, &format!("/export/outputs/{i}"), found);
    }
    if spec.model.source.is_none() && spec.layers.is_empty() && !spec.model.input.is_empty() {
        let error = Diagnostic::error(Code::MissingKey, "a network without a source model needs `layers`");
        found.push(error.at_key("/model/input", "nothing is built on it"));
    }
}

/// Names of the branches that have an output of their own: a stack that is spliced in has none.
fn ends(spec: &Spec) -> impl Iterator<Item = &String> {
    spec.layers.iter().filter(|(_, branch)| branch.insert_after.is_none()).map(|(name, _)| name)
}

/// Reports a name that is not a branch, where the spec has branches at all.
pub(super) fn branch_named(spec: &Spec, name: &str, at: &str, found: &mut Vec<Diagnostic>) {
    let names: Vec<&str> = ends(spec).map(String::as_str).collect();
    if !names.is_empty() && !names.contains(&name) {
        found.push(unknown("branch", name, at, &names));
    }
}

/// Branches that feed no other branch.
pub(super) fn leaves(spec: &Spec) -> Vec<&str> {
    let feeds = |name: &String| spec.layers.values().any(|branch| branch.from.contains(name));
    ends(spec).filter(|name| !feeds(name)).map(String::as_str).collect()
}

fn beginning(spec: &Spec, branch: &Branch, at: &str, found: &mut Vec<Diagnostic>) {
    let keys = [
        ("replaces", branch.replaces.is_some()),
        ("from", !branch.from.is_empty()),
        ("insert_after", branch.insert_after.is_some()),
    ];
    let given: Vec<&str> = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    // Without either, that is what is wrong.
    let has_source = spec.model.source.is_some() || spec.model.input.is_empty();
    match given.as_slice() {
        [] if has_source => {
            let error = Diagnostic::error(Code::MissingKey, format!("{} does not say where it begins", called(at)));
            let help =
                "`replaces: node` cuts the model there, `from: node` starts beside it, `insert_after: node` splices in";
            found.push(error.at_key(at, "needs `replaces`, `from` or `insert_after`").help(help));
        }
        [first, second, ..] => found.push(exclude(at, first, second)),
        [key @ ("replaces" | "insert_after")] if !has_source => {
            let error = Diagnostic::error(Code::Conflict, format!("`{key}` needs a source model"));
            found.push(error.at_key(join(at, key), "there is only `model.input`").help("use `from`, or leave it out"));
        }
        _ => {}
    }
    if !has_source {
        let inputs = spec.model.input.keys().map(String::as_str);
        let names: Vec<&str> = spec.layers.keys().map(String::as_str).chain(inputs).collect();
        for (i, from) in branch.from.iter().enumerate().filter(|(_, from)| *from != "input") {
            if !names.contains(&from.as_str()) {
                found.push(unknown("branch or input", from, &format!("{at}/from/{i}"), &names));
            }
        }
    }
    if branch.from.len() > 1 {
        let message = format!("{} begins with several values, which this version does not join", called(at));
        let error = Diagnostic::error(Code::NotSupported, message).at(join(at, "from"), "several values");
        found.push(error.help("begin with one value, and give the other a branch of its own"));
    }
}

fn called(at: &str) -> String {
    crate::spec::walk::called(at)
}

/// Reports each circle of branches once, at its first name.
fn cycles(layers: &BTreeMap<String, Branch>, found: &mut Vec<Diagnostic>) {
    // 1 while a branch is being followed, 2 when all that it needs is known to end.
    let mut state: BTreeMap<&str, u8> = BTreeMap::new();
    for start in layers.keys() {
        // (branch, how many of its sources have been followed)
        let mut path: Vec<(&str, usize)> = Vec::new();
        if !state.contains_key(start.as_str()) {
            state.insert(start, 1);
            path.push((start, 0));
        }
        while let Some((name, next)) = path.last_mut() {
            let name = *name;
            let Some(from) = layers.get(name).and_then(|branch| branch.from.get(*next)) else {
                state.insert(name, 2);
                path.pop();
                continue;
            };
            *next += 1;
            match state.get(from.as_str()) {
                None if layers.contains_key(from) => {
                    state.insert(from, 1);
                    path.push((from, 0));
                }
                Some(1) => {
                    let circle: Vec<&str> = path
                        .iter()
                        .map(|(name, _)| *name)
                        .skip_while(|name| name != from)
                        .chain([from.as_str()])
                        .collect();
                    found.push(circular(&circle));
                }
                _ => {}
            }
        }
    }
}

/// Branches that start from each other: the last name is the first one again.
fn circular(circle: &[&str]) -> Diagnostic {
    let error =
        Diagnostic::error(Code::Cycle, format!("branches feed each other in a circle: `{}`", circle.join("` ← `")));
    // The place that closes it comes first.
    let links = circle.windows(2).rev();
    let error = links.fold(error, |error, link| {
        let at = format!("{}/from/0", join("/layers", link[0]));
        error.at(at, format!("`{}` begins at `{}`", link[0], link[1]))
    });
    error.help("let one of them begin at a node of the model")
}
