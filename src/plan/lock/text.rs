//! A lock as text: TOML of sections, bare or quoted keys, and strings.

use super::Lock;
use crate::diag::{Code, Diagnostic, Result, Source};
use std::fmt::Write;
use std::sync::Arc;

/// First line of every lock.
const HEAD: &str = "# What a run stands on. `pipe lock` writes it; `--locked` refuses what differs from it.";
/// Version of the format.
const VERSION: &str = "1";

/// A line a fact, sections in order.
pub(super) fn print(lock: &Lock) -> String {
    let mut out = format!("{HEAD}\nlock = {}\n", quoted(VERSION));
    let mut section = "";
    for ((of, name), value) in &lock.facts {
        if of != section {
            section = of;
            let _ = writeln!(out, "\n[{section}]");
        }
        let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let name = if bare { name.clone() } else { quoted(name) };
        let _ = writeln!(out, "{name} = {}", quoted(value));
    }
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Reads what [`print`] writes; blank lines and comments are passed over.
pub(super) fn parse(file: &str, text: &str) -> Result<Lock> {
    let source = Arc::new(Source { name: file.to_owned(), text: text.to_owned() });
    let mut lock = Lock::default();
    let mut section = String::new();
    let mut at = 0;
    let mut version = None;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.trim_end().len();
        at += line.len();
        let wrong = |label: &str| {
            Diagnostic::error(Code::LockBad, format!("`{file}` is not a lock that this pipe reads"))
                .span(&source, range.clone(), label)
                .help("write it anew with `pipe lock`")
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let fact = key(line).and_then(|(name, rest)| Some((name, string(rest.trim().strip_prefix('=')?.trim())?)));
        let Some((name, value)) = fact else { return Err(wrong("no fact")) };
        if section.is_empty() && name == "lock" {
            if value != VERSION {
                return Err(wrong("another version"));
            }
            version = Some(value);
        } else if lock.facts.insert((section.clone(), name), value).is_some() {
            return Err(wrong("the second of this name"));
        }
    }
    match version {
        Some(_) => Ok(lock),
        None => Err(Diagnostic::error(Code::LockBad, format!("`{file}` is not a lock that this pipe reads"))
            .note(format!("it does not say `lock = \"{VERSION}\"`"))
            .help("write it anew with `pipe lock`")),
    }
}

/// The key at the start of a line, and what follows.
fn key(line: &str) -> Option<(String, &str)> {
    if !line.starts_with('"') {
        let end = line.find([' ', '='])?;
        return Some((line[..end].to_owned(), &line[end..]));
    }
    let mut escaped = false;
    let end = line.char_indices().skip(1).find(|(_, c)| {
        let end = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        end
    });
    let (end, _) = end?;
    Some((string(&line[..=end])?, &line[end + 1..]))
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut lock = Lock::default();
        lock.set("", "pipe", "0.1.0");
        lock.set("spec", "optimizer.sgd.lr", "0.1");
        lock.set("model", "a \"b\" = [c].onnx", "sha256:00");
        lock.set("data", "train", "line\nbreak # and → more");
        let text = print(&lock);
        let expected = r#"lock = "1"
pipe = "0.1.0"

[data]
train = "line\nbreak # and → more"

[model]
"a \"b\" = [c].onnx" = "sha256:00"

[spec]
"optimizer.sgd.lr" = "0.1"
"#;
        assert_eq!(text, format!("{HEAD}\n{expected}"));
        assert_eq!(parse("x.lock", &text).unwrap(), lock);
        assert_eq!(print(&parse("x.lock", &text.replace('\n', "\r\n")).unwrap()), text);
    }

    #[test]
    fn a_text_that_is_no_lock_is_shown() {
        for bad in [
            "",
            "pipe = \"0.1.0\"\n",
            "lock = \"2\"\n",
            "lock = \"1\"\npipe\n",
            "lock = \"1\"\npipe = 3\n",
            "lock = \"1\"\n\"pipe = \"3\"\n",
            "lock = \"1\"\na = \"1\"\na = \"2\"\n",
            "lock = \"1\"\n<<<<<<< ours\n",
        ] {
            let error = parse("x.lock", bad).unwrap_err();
            assert_eq!(error.code(), Code::LockBad, "{bad}");
        }
    }
}
