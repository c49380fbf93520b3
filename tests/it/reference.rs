//! The reference is what the code says, and what it shows is true.
#![expect(
    clippy::disallowed_methods,
    reason = "the command is run as a user would run it; pages are read, and rewritten where a variable asks for it"
)]

use crate::pages::whole;
use pipe::diag;
use pipe::spec;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn printed(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_pipe")).args(arguments).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Every example of the language's pages as a whole spec, with the name of its page. Kinds show the place around them only.
pub(crate) fn examples() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in spec::reference().iter().flat_map(|group| &group.entries) {
        for block in entry.text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")) {
            found.push((entry.id.clone(), placed(block.0, &entry.what)));
        }
    }
    found
}

/// An example in its place of a whole spec.
fn placed(example: &str, what: &str) -> String {
    let indented = |by: &str| example.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    match what {
        "source" if example.starts_with("train:") => whole(&format!("data:\n  sets:\n{}", indented("    "))),
        "source" => whole(&format!("data:\n  sets:\n    train: {{npz: train.npz}}\n{}", indented("    "))),
        "transform" => whole(&format!("data:\n  sets: {{train: {{npz: train.npz}}}}\n{}", indented("  "))),
        "layer" | "initialiser" => whole(&format!("layers:\n  head:\n    replaces: fc\n{}", indented("    "))),
        _ => whole(example),
    }
}

#[test]
fn every_example_is_a_spec() {
    let examples = examples();
    assert!(examples.len() >= 80, "{}", examples.len());
    let base = spec::Base { name: "base.yaml".to_owned(), identity: "base".to_owned(), text: whole("freeze: all\n") };
    for (name, text) in examples {
        let bases = spec::Bases { identity: "spec".to_owned(), read: &|_| Ok(base.clone()) };
        let parsed = spec::parse_over(&text, "spec.yaml", &[], &bases);
        assert!(parsed.diagnostics.is_empty(), "{name}\n{}", diag::render(&parsed.diagnostics, false));
    }
}

/// Whether a file of the repository is what the command prints.
fn is_printed(file: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let page = printed(arguments);
    if std::env::var_os("PIPE_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{file} is old: run the tests with PIPE_BLESS=1");
}

#[test]
fn the_pages_of_the_reference_are_the_generated_ones() {
    is_printed("docs/reference.md", &["reference"]);
    is_printed("docs/reference.html", &["reference", "--html"]);
}

/// The texts between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(part, _)| part).collect()
}

#[test]
fn everything_has_one_place_and_every_link_leads_to_one() {
    for arguments in [&["reference"][..], &["reference", "--html"]] {
        let page = printed(arguments);
        let ids = between(&page, " id=\"", "\"");
        let known: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), known.len(), "an anchor is there twice");
        let page = page.split("<script>").next().unwrap();
        let links = if arguments.len() == 1 { between(page, "](#", ")") } else { between(page, "href=\"#", "\"") };
        assert!(links.len() > 200);
        for link in links {
            assert!(known.contains(link), "{link}");
        }
        for info in diag::ALL {
            assert!(known.contains(info.id), "{}", info.id);
        }
        for group in spec::reference() {
            for entry in group.entries {
                assert!(known.contains(entry.id.as_str()), "{}", entry.id);
                assert!(entry.keys.iter().all(|key| known.contains(key.path.as_str())), "{}", entry.id);
            }
        }
        for command in ["pipe-run", "pipe-check", "pipe-cache-gc", "pipe-reference", "PIPE_PROBE_MEMORY", "patterns"] {
            assert!(known.contains(command), "{command}");
        }
        assert!(!known.contains("pipe-__probe"));
    }
}

#[test]
fn the_html_page_needs_nothing_else_and_holds_what_the_markdown_holds() {
    let (markdown, html) = (printed(&["reference"]), printed(&["reference", "--html"]));
    for outside in ["http://", "https://", " src=", "@import", "url("] {
        let found = html.matches(outside).count();
        assert_eq!(found, markdown.matches(outside).count(), "{outside}");
    }
    for (tag, mark) in [("<h2", "\n## "), ("<h3", "\n### "), ("<pre", "\n```\n")] {
        assert_eq!(html.matches(tag).count(), markdown.matches(mark).count(), "{tag}");
    }
    for tag in ["article", "table", "ul", "pre", "main", "nav", "td", "code"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    let body = html.split_once("<main>").unwrap().1.split_once("</main>").unwrap().0;
    let prose = body.split("<code>").map(|part| part.split_once("</code>").map_or(part, |(_, prose)| prose));
    let body: String = prose.collect();
    assert!(!body.contains("](#") && !body.contains('`') && !body.contains("\\*"), "Markdown is left over");
}

#[test]
fn a_key_says_what_it_takes() {
    for (topic, parts) in [
        (
            "schedule.epochs",
            &["schedule.epochs (key of schedule)", "whole number ≥ 0 (epochs)", "Example: `epochs: "][..],
        ),
        ("schedule.phases.epochs", &["schedule.phases.epochs", "≥ 1"]),
        ("schedule.phases.0.epochs", &["schedule.phases.epochs"]),
        ("model.source", &["path", "ONNX"]),
        ("schedule.batch", &["Required."]),
        ("schedule.last", &["Default: `pad`", "`drop`: left out"]),
        ("sgd.lr", &["optimizer.sgd.lr", "Learning rate", "Required."]),
        ("optimizer.sgd.lr", &["optimizer.sgd.lr"]),
        ("optimizer.clip_norm", &["norm"]),
        ("schedule.phases.optimizer.clip_norm", &["norm"]),
        ("data.sets.limit", &["At most this many samples"]),
        ("data.sets.train.limit", &["data.sets.limit"]),
        ("data.sets.train.csv.delimiter", &["source.csv.delimiter"]),
        ("data.transforms.train", &["list of: transform"]),
        ("loss.main.weight.ramp.to", &["loss.weight.ramp.to"]),
        ("cross_entropy.of", &["branch"]),
        ("patience", &["schedule.stop.patience"]),
        ("patterns", &["`*`"]),
        ("optimizer", &["optimizer (section)", "adamw", "ema"]),
    ] {
        let page = printed(&["explain", topic]);
        for part in parts {
            assert!(page.contains(part), "{topic}: {part}\n{page}");
        }
    }
}

#[test]
fn a_name_of_two_things_shows_both() {
    let page = printed(&["explain", "linear"]);
    assert!(page.contains("linear (layer)") && page.contains("linear (schedule)"), "{page}");
    let page = printed(&["explain", "path"]);
    assert!(page.contains("source.csv.path") && page.contains("source.npz.path"), "{page}");
}

#[test]
fn a_misspelt_name_is_suggested() {
    for (topic, near) in
        [("schedule.epoch", "schedule.epochs"), ("sgdd", "sgd"), ("optimizer.sgd.momentun", "optimizer.sgd.momentum")]
    {
        let ran = Command::new(env!("CARGO_BIN_EXE_pipe")).args(["explain", topic]).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(2) && said.contains(&format!("did you mean `{near}`?")), "{topic}: {said}");
    }
}

#[test]
fn all_that_can_be_explained_is_listed_and_explained() {
    let list = printed(&["explain"]);
    for name in ["P0204", "schedule", "transform", "random_resized_crop", "patterns"] {
        assert!(list.contains(name), "{name}");
    }
    for name in spec::topic_names() {
        let pages = spec::topics(&name);
        assert!(!pages.is_empty(), "{name}");
        assert!(pages.iter().all(|page| page.page().lines().count() >= 2), "{name}");
    }
}

#[test]
fn keys_are_described_in_sentences() {
    for entry in spec::reference().into_iter().flat_map(|group| group.entries) {
        for key in entry.keys {
            let doc = key.doc.trim();
            assert!(doc.ends_with('.') && doc.split(' ').count() >= 2, "{}: {doc}", key.path);
        }
    }
}

#[test]
fn variables_are_read_through_the_table_alone() {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in pipe::world::list_dir(&folder).unwrap() {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for path in files.iter().filter(|path| !path.ends_with("world/env.rs")) {
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains("env::var(") && !text.contains("env::var_os("), "{}", path.display());
    }
}
