//! The specs that a command line names: files, folders and patterns that the shell did not expand.

use crate::diag::{Code, Diagnostic};
use crate::world;
use std::path::{Path, PathBuf};

/// Deepest nesting of folders that is looked into.
const DEPTH: usize = 32;

/// All specs, each once, in the order of the arguments, and what names none. Of a folder those files below it are taken that end in `.yaml` or
/// `.yml` and have a section `version` and one of `model` and `extends`; hidden folders and those of runs are left out.
pub(super) fn specs(arguments: &[PathBuf]) -> (Vec<PathBuf>, Vec<Diagnostic>) {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut problems = Vec::new();
    for argument in arguments {
        let mut found = Vec::new();
        if world::is_folder(argument) {
            walk(argument, 0, &mut |path| {
                if is_yaml(path) && looks_like_a_spec(path) {
                    found.push(path.to_path_buf());
                }
            });
        } else if world::exists(argument) || !is_pattern(argument) {
            found.push(argument.clone());
        } else {
            let pattern: Vec<char> = clean(argument).chars().collect();
            walk(&fixed(argument), 0, &mut |path| {
                if matches(&pattern, &clean(path).chars().collect::<Vec<_>>()) {
                    found.push(path.to_path_buf());
                }
            });
        }
        if found.is_empty() {
            let error = Diagnostic::error(Code::Usage, format!("`{}` names no spec", argument.display()));
            problems.push(error.help("give files, folders, or patterns such as `experiments/**/*.yaml`"));
        }
        found.retain(|path| !files.contains(path));
        files.append(&mut found);
    }
    (files, problems)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// Bytes of a file that are looked at to tell what it is.
const HEAD: u64 = 64 << 10;

fn looks_like_a_spec(path: &Path) -> bool {
    let Ok(head) = world::read_head(path, HEAD) else { return true };
    let head = String::from_utf8_lossy(&head);
    let section =
        |name: &str| head.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    section("version") && (section("model") || section("extends"))
}

fn walk(folder: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) {
    let entries = if depth < DEPTH { world::list_entries(folder).unwrap_or_default() } else { Vec::new() };
    for (path, is_folder) in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_folder {
            visit(&path);
        } else if !name.starts_with('.') && name != "runs" {
            walk(&path, depth + 1, visit);
        }
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?'])
}

/// The folder in front of the first part that is a pattern.
fn fixed(pattern: &Path) -> PathBuf {
    let fixed: PathBuf = pattern.components().take_while(|part| !is_pattern(part.as_os_str().as_ref())).collect();
    if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed }
}

/// With `/` between the parts and without a `./` in front.
fn clean(path: &Path) -> String {
    let parts = path.components().filter(|part| *part != std::path::Component::CurDir);
    parts.collect::<PathBuf>().to_string_lossy().replace('\\', "/")
}

/// `?` is one character, `*` any number of them without `/`, `**/` any number of folders.
fn matches(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', '*', '/', rest @ ..] => {
            matches(rest, text) || (0..text.len()).any(|at| text[at] == '/' && matches(rest, &text[at + 1..]))
        }
        ['*', rest @ ..] => {
            let end = text.iter().position(|c| *c == '/').unwrap_or(text.len());
            (0..=end).any(|at| matches(rest, &text[at..]))
        }
        ['?', rest @ ..] => text.first().is_some_and(|c| *c != '/') && matches(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && matches(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_shells() {
        let fits = |pattern: &str, text: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
        };
        for (pattern, text) in [
            ("a/*.yaml", "a/b.yaml"),
            ("**/*.yaml", "b.yaml"),
            ("**/*.yaml", "a/c/b.yaml"),
            ("a/**/b-?.yml", "a/b-1.yml"),
            ("a/**/b-?.yml", "a/x/y/b-2.yml"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a/*.yaml", "a/c/b.yaml"), ("*.yaml", "b.yml"), ("a/?.yaml", "a/bc.yaml")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert_eq!(fixed(Path::new("a/b*/c.yaml")), Path::new("a"));
        assert_eq!(fixed(Path::new("*.yaml")), Path::new("."));
    }
}
