//! The layout of the source tree: who may import whom, and that a family's folder and its registry agree.

use pipe::parts::{
    Family, initializers::Initializers, layers::Layers, losses::Losses, metrics::Metrics, optimizers::Optimizers,
    regularizers::Regularizers, schedules::Schedules, sources::Sources, transforms::Transforms,
};
use pipe::world;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Data flows from left to right; a room imports only rooms to its left.
const FLOW: [&str; 7] = ["spec", "data", "autodiff", "graph", "plan", "runtime", "report"];

/// What every room may import; these import only each other.
const VOCABULARY: [&str; 7] = ["diag", "ir", "kernels", "native", "ops", "parts", "world"];

/// The command line imports what it likes and is imported by `main.rs` only.
const TOP: &str = "cli";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in world::list_dir(folder).unwrap() {
        if world::is_folder(&path) {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Modules from the crate's root: `src/ir/onnx/read.rs` and `src/ir/onnx/read/mod.rs` are `ir`, `onnx`, `read`.
fn modules(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(source()).unwrap().with_extension("");
    let mut names: Vec<String> = relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

/// The words and marks of Rust code, without comments, strings and the test module at the end.
fn tokens(text: &str) -> Vec<String> {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some((hashes, body)) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            rest = body.split_once(end.as_str()).map_or("", |(_, after)| after);
        } else if first == '"' {
            rest = after_string(&rest[1..]);
        } else if first == '\'' {
            // `'"'` is a character, `'a` a lifetime.
            let mut ahead = rest[1..].chars();
            let (one, two) = (ahead.next(), ahead.next());
            rest = match (one, two) {
                (Some('\\'), Some(escaped)) => &rest[2 + escaped.len_utf8()..],
                (Some(character), Some('\'')) => &rest[2 + character.len_utf8()..],
                _ => &rest[1..],
            };
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix("::") {
            tokens.push("::".to_owned());
            rest = after;
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

fn raw_string(text: &str) -> Option<(usize, &str)> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let body = after.trim_start_matches('#');
    Some((after.len() - body.len(), body.strip_prefix('"')?))
}

fn after_string(body: &str) -> &str {
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &body[at + 1..],
            _ => {}
        }
    }
    ""
}

/// The rooms that the code of a file names, as `crate::room`, `crate::{room, …}` or up through `super`.
fn imports(modules: &[String], text: &str) -> BTreeSet<String> {
    let tokens = tokens(text);
    let mut rooms = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut next = at;
        let mut climbed = 0;
        while tokens.get(next).is_some_and(|t| t == "super") && tokens.get(next + 1).is_some_and(|t| t == "::") {
            climbed += 1;
            next += 2;
        }
        if tokens[at] == "crate" && tokens.get(at + 1).is_some_and(|t| t == "::") {
            next = at + 2;
            climbed = modules.len();
        }
        if climbed > 0 && climbed >= modules.len() {
            rooms_from(&tokens[next..], &mut rooms);
        }
        at = next.max(at + 1);
    }
    rooms
}

/// The first words of the path, or of every path of the group, at the start of some tokens.
fn rooms_from(tokens: &[String], rooms: &mut BTreeSet<String>) {
    if tokens.first().is_none_or(|first| first != "{") {
        rooms.extend(tokens.first().cloned());
        return;
    }
    let mut depth = 0;
    let mut fresh = false;
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
        if fresh && depth == 1 && token != "}" {
            rooms.insert(token.clone());
        }
        fresh = depth == 1 && (token == "{" || token == ",");
    }
}

/// Whether code of one room may name another.
fn allowed(from: &str, to: &str) -> bool {
    if from == to || from == TOP {
        return true;
    }
    let place = |room: &str| FLOW.iter().position(|name| *name == room);
    match (place(from), place(to)) {
        (Some(from), Some(to)) => to < from,
        (Some(_), None) => VOCABULARY.contains(&to),
        (None, _) => VOCABULARY.contains(&from) && VOCABULARY.contains(&to),
    }
}

#[test]
fn rooms_import_only_to_their_left() {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let modules = modules(file);
        let room = modules.first().cloned().unwrap_or_default();
        // Tests may set up what they test with any room.
        if room == "lib" || room == "main" || modules.iter().any(|name| name == "tests") {
            continue;
        }
        let known = FLOW.contains(&room.as_str()) || VOCABULARY.contains(&room.as_str()) || room == TOP;
        assert!(known, "`{room}` is not a room: add it to the flow or to the vocabulary");
        for target in imports(&modules, &world::read_to_string(file).unwrap()) {
            if !allowed(&room, &target) {
                wrong.push(format!("{} imports `{target}`", file.strip_prefix(source()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the direction of flow:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_read_in_every_form() {
    let modules: Vec<String> = ["parts", "losses", "huber"].map(str::to_owned).to_vec();
    let found = |text: &str| imports(&modules, text).into_iter().collect::<Vec<_>>();
    assert_eq!(found("use crate::diag::{Code, Result};"), ["diag"]);
    assert_eq!(found("use crate::{diag::{self, Code}, ir, runtime::Event as E};"), ["diag", "ir", "runtime"]);
    assert_eq!(found("fn f(b: &mut crate::plan::Plan) -> crate::ir::Graph {}"), ["ir", "plan"]);
    assert_eq!(found("use super::super::super::report::Line; use super::super::Family;"), ["report"]);
    assert_eq!(
        found("pub(crate) fn f() {} // crate::plan\n/// [`crate::plan`]\nconst A: &str = \"crate::plan\";"),
        [""; 0]
    );
    assert_eq!(found("const A: char = '\"'; use crate::ir; const B: &str = r#\"\"crate::plan\"#;"), ["ir"]);
    assert_eq!(found("use crate::ir;\n#[cfg(test)]\nmod tests { use crate::plan; }"), ["ir"]);
}

#[test]
fn the_direction_is_that_of_the_design() {
    for (from, to) in [("plan", "spec"), ("spec", "parts"), ("ops", "ir"), ("cli", "report"), ("report", "runtime")] {
        assert!(allowed(from, to), "{from} may import {to}");
    }
    for (from, to) in [("spec", "plan"), ("ir", "spec"), ("parts", "graph"), ("runtime", "report"), ("graph", "cli")] {
        assert!(!allowed(from, to), "{from} may not import {to}");
    }
}

/// Modules of a family that hold what several kinds share, or tests of all of them, and are no kind themselves.
const SHARED: &[(&str, &str)] = &[
    ("initializers", "gain"),
    ("layers", "window"),
    ("losses", "balance"),
    ("losses", "evaluate"),
    ("metrics", "average"),
    ("sources", "archive"),
    ("sources", "block"),
    ("sources", "decode"),
    ("sources", "guess"),
    ("sources", "image_files"),
    ("sources", "item"),
    ("sources", "npy"),
    ("sources", "table"),
    ("sources", "tests"),
    ("transforms", "color"),
    ("transforms", "cubic"),
    ("transforms", "emit"),
    ("transforms", "resample"),
];

/// Kinds that are one thing in two directions and share a file: family, kind, file.
const TWINS: &[(&str, &str, &str)] =
    &[("transforms", "horizontal_flip", "flip"), ("transforms", "vertical_flip", "flip")];

/// The name of the file that holds a kind.
fn file_of(family: &str, kind: &str) -> String {
    let twin = TWINS.iter().find(|(of, name, _)| (*of, *name) == (family, kind));
    twin.map_or(kind, |(_, _, file)| file).to_owned()
}

fn names_of<F: Family>() -> Vec<&'static str> {
    F::rows().iter().map(|row| row.kind.name).collect()
}

fn families() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("initializers", names_of::<Initializers>()),
        ("layers", names_of::<Layers>()),
        ("losses", names_of::<Losses>()),
        ("metrics", names_of::<Metrics>()),
        ("optimizers", names_of::<Optimizers>()),
        ("regularizers", names_of::<Regularizers>()),
        ("schedules", names_of::<Schedules>()),
        ("sources", names_of::<Sources>()),
        ("transforms", names_of::<Transforms>()),
    ]
}

#[test]
fn every_kind_has_a_file_and_every_file_a_kind() {
    let parts = source().join("parts");
    let folders: Vec<PathBuf> = world::list_dir(&parts).unwrap().into_iter().filter(|p| world::is_folder(p)).collect();
    assert_eq!(folders.len(), families().len(), "a folder below `parts` is a family");
    let mut wrong = Vec::new();
    for (family, names) in families() {
        let mut files: BTreeSet<String> = BTreeSet::new();
        for path in world::list_dir(&parts.join(family)).unwrap() {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if name != "mod" && name != "tests" && !SHARED.contains(&(family, name.as_str())) {
                files.insert(name);
            }
        }
        let kinds: BTreeSet<String> = names.iter().map(|name| file_of(family, name)).collect();
        wrong.extend(files.difference(&kinds).map(|name| format!("{family}/{name}.rs has no row")));
        wrong.extend(kinds.difference(&files).map(|name| format!("`{name}` has no file {family}/{name}.rs")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_are_sorted() {
    for (family, names) in families() {
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "rows of {family} are sorted and unique: {names:?}");
    }
}
