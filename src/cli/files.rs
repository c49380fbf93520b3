//! The specs that a command line names: files, folders and patterns that the shell did not expand.

use crate::diag::{Code, Diagnostic};
use crate::world;
use std::path::{Path, PathBuf};

/// Deepest nesting of folders that is looked into.
const DEPTH: usize = 32;

/// All specs, each once, in the order of the arguments, and what names none. Of a folder those files below it are taken that end in `.yaml` or
/// `.yml` and have a section `version` and one of `model` and `extends`; hidden folders and those of runs are left out. A pattern means every
/// file that it matches, as if the shell had expanded it.
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
            let pattern = tokens(&clean(argument));
            walk(&fixed(argument), 0, &mut |path| {
                if matches(&pattern, &clean(path)) {
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

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    /// This character.
    One(char),
    /// `?`: a character that is no `/`.
    Any,
    /// `*`: any number of characters that are no `/`.
    Some,
    /// `**/`: any number of folders.
    Folders,
    /// `**` at the end: all that is below.
    Below,
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let starts_a_part = matches!(tokens.last(), None | Some(Token::One('/') | Token::Folders));
        let (token, length) = match first {
            '*' if starts_a_part && rest.starts_with("**/") => (Token::Folders, 3),
            '*' if starts_a_part && rest == "**" => (Token::Below, 2),
            '*' => (Token::Some, 1),
            '?' => (Token::Any, 1),
            other => (Token::One(other), other.len_utf8()),
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

/// Whether a whole text fits a pattern. All ways through the pattern are followed at once, so that the time is the product of both lengths
/// at most.
fn matches(pattern: &[Token], text: &str) -> bool {
    // `reached[i]`: what was read so far fits the first `i` tokens.
    let mut reached = vec![false; pattern.len() + 1];
    reach(&mut reached, pattern, 0);
    for read in text.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, token) in pattern.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match token {
                Token::One(c) if *c == read => reach(&mut next, pattern, at + 1),
                Token::Any if read != '/' => reach(&mut next, pattern, at + 1),
                Token::Some if read != '/' => reach(&mut next, pattern, at),
                Token::Folders => {
                    // In the middle of a part: what follows starts behind the next `/`.
                    next[at] = true;
                    if read == '/' {
                        reach(&mut next, pattern, at + 1);
                    }
                }
                Token::Below => {
                    next[at] = true;
                    next[at + 1] = true;
                }
                _ => {}
            }
        }
        reached = next;
    }
    reached[pattern.len()]
}

/// Marks a token as the next one, with those behind it as long as it may stand for nothing.
fn reach(reached: &mut [bool], pattern: &[Token], at: usize) {
    reached[at] = true;
    for (at, token) in pattern.iter().enumerate().skip(at) {
        if !matches!(token, Token::Some | Token::Folders) {
            break;
        }
        reached[at + 1] = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_shells() {
        let fits = |pattern: &str, text: &str| matches(&tokens(pattern), text);
        for (pattern, text) in [
            ("a/*.yaml", "a/b.yaml"),
            ("**/*.yaml", "b.yaml"),
            ("**/*.yaml", "a/c/b.yaml"),
            ("a/**/b-?.yml", "a/b-1.yml"),
            ("a/**/b-?.yml", "a/x/y/b-2.yml"),
            ("a/**", "a/x/y.yaml"),
            ("a**/b", "aa/b"),
            ("**/**/é?.yaml", "x/éa.yaml"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a/*.yaml", "a/c/b.yaml"),
            ("*.yaml", "b.yml"),
            ("a/?.yaml", "a/bc.yaml"),
            ("**/b.yaml", "ab.yaml"),
            ("a**/b", "a/c/b"),
            ("a/**", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        // A matcher that tries one way after the other would not end in this century.
        assert!(!fits(&"*a".repeat(40), &("a".repeat(200) + "b")));
        assert!(!fits(&("**/".repeat(60) + "x"), &"a/".repeat(100)));
        assert_eq!(fixed(Path::new("a/b*/c.yaml")), Path::new("a"));
        assert_eq!(fixed(Path::new("*.yaml")), Path::new("."));
    }
}
