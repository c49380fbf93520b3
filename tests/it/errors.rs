//! Every spec of `tests/errors` is wrong in its own way; what is said about it stands beside it.
//! `PIPE_BLESS=1` rewrites the expectations.
#![expect(
    clippy::disallowed_methods,
    reason = "expectations beside the specs are read, and rewritten where a variable asks for it"
)]

use std::fs;
use std::path::{Path, PathBuf};

fn specs() -> Vec<PathBuf> {
    let mut specs: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    specs.sort();
    specs
}

#[test]
fn wrong_specs_get_the_expected_diagnostics() {
    let bless = std::env::var_os("PIPE_BLESS").is_some();
    let specs = specs();
    assert!(specs.len() >= 35);
    let mut different = Vec::new();
    for path in specs {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let parsed = pipe::spec::parse(&text, &name, &[]);
        assert!(!parsed.diagnostics.is_empty(), "{name} is not wrong");
        let shown = pipe::diag::render(&parsed.diagnostics, false);
        let expected = path.with_extension("txt");
        if bless {
            fs::write(&expected, shown).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            different.push(format!("{name}\n{shown}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_error_points_into_the_text() {
    for path in specs() {
        let text = fs::read_to_string(&path).unwrap();
        for diagnostic in pipe::spec::parse(&text, "spec.yaml", &[]).diagnostics {
            let placed = diagnostic.labels().iter().any(|label| matches!(label, pipe::diag::Label::Span { .. }));
            assert!(placed || text.trim_start().starts_with('#'), "{}: {diagnostic}", path.display());
        }
    }
}

/// Cutting and damaging every spec at many places must end in diagnostics, never in a panic.
#[test]
fn damaged_specs_do_not_panic() {
    let damage = [
        "", "*", "!", "&a ", "*a", "<<: ", "[", "}", "\"", "\n", "\t", "${", "é", "- ", ": ", "|\n", "%", "\u{feff}",
        "\0", "---\n", "? ",
    ];
    for path in specs() {
        let text = fs::read_to_string(&path).unwrap();
        let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(7).collect();
        for (i, cut) in cuts.iter().enumerate() {
            let mut broken = text.clone();
            broken.insert_str(*cut, damage[i % damage.len()]);
            for text in [broken.as_str(), &text[..*cut]] {
                let parsed = pipe::spec::parse(text, "spec.yaml", &[]);
                let _ = pipe::diag::render(&parsed.diagnostics, i % 2 == 0);
            }
        }
    }
}
