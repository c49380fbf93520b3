//! Every spec of `tests/errors` is wrong in its own way; what is said about it stands beside it.
//! `PIPE_BLESS=1` rewrites the expectations.
//!
//! What is validated, under which code, and where the exact words are: names without a folder are specs of `tests/errors`, those of
//! `validation/` and `bad_input/` lie beside this file.
//!
//! | what is wrong | code | words |
//! |---|---|---|
//! | several things at once, text and names alike | | `all-at-once`, `kinds-and-names`, `part-and-key`, `unknown-key-many` |
//! | warnings beside errors | | `variable-unknown`, `watch`, `validation/warnings-travel` |
//! | unknown key, also beside a kind | P0204 | `unknown-key`, `unknown-section`, `key-beside-kind`, `key-beside-loss` |
//! | unknown kind | P0205 | `unknown-kind`, `unknown-transform`, `misspelt-loss` |
//! | unknown branch, dataset, metric | P0209 | `unknown-names`, `no-train-set`, `watch` |
//! | unknown input or dimension of the model | P0312, P0209 | `validation/input-name`, `validation/dimension-near` |
//! | unknown node, value or module | P0305 | `validation/place-near`, `bad_input/layer-node-strange` |
//! | wrong type | P0202 | `wrong-type`, `wrong-type-list`, `wrong-word`, `words-of-truth`, `not-a-map` |
//! | wrong unit; `5e-5` is a number | P0202 | `units`, `lambda`; `spec/scalars.rs` |
//! | out of range: numbers, λ, probabilities | P0203 | `out-of-range`, `negative-lambda`, `lambda`, `probability`, `fraction` |
//! | what a part objects to | P0203 | `class-weights`, `part-and-key`, `validation/loss-weights` |
//! | duplicate key, two branches of one name | P0104 | `duplicate-keys`, `branch-twice` |
//! | one name for two things | P0211 | `two-validations`, `metric-twice` |
//! | anchors, aliases, merges | P0103, P0202 | `anchors`, `alias`, `alias-recursive`, `merge-key`; `spec/tests.rs` |
//! | `${var}` undefined, unused | P0206, P0207 | `variable-unknown`, `variable-unused`, `syntax-variable-in-brackets` |
//! | a pattern that matches nothing | P0304 | `validation/pattern-near`, `pattern-all-but`, `pattern-elsewhere` |
//! | a rule that another one makes void | P0313 | `overridden`, `validation/void-*` |
//! | a loss that trains nothing, a branch without one | P0402 | `validation/term-frozen`, `validation/branch-idle` |
//! | parameters that no loss reaches, nothing to train | P0402, P0403 | `bad_input/loss-not-reached`, `bad_input/frozen-everything` |
//! | classes against units, numbers against classes | P0504 | `validation/labels-*`, `bad_input/label-kinds` (P0213) |
//! | missing column or array | P0506 | `validation/column-*`, `validation/array-missing` |
//! | layers that do not fit | P0307 | `validation/layers`, `layers-branch`, `layers-input`, `loss-shape` |
//! | transforms that do not end in what the model takes | P0505 | `validation/samples-*` (size, channels, rank, type, image) |
//! | samples that transforms do not take | P0505, P0502 | `validation/scan-*` |
//! | preprocessing that ONNX cannot carry | P0213 | `validation/preprocess-*` |
//! | branches in a circle | P0212 | `cycle` |
//! | a watched metric that nobody computes | P0209 | `metric-not-computed`, `watch`, `watch-validation`, `watch-train` |
//! | a sealed label that is read | P0208 | `sealed`, `sealed-train`, `sealed-validation`, `sealed-watched`, `sealed-shared` |
//! | keys that exclude each other | P0208 | `epochs-and-steps`, `source-and-input`, `two-kinds`, `params-and-all-but` |
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
    assert!(specs.len() >= 75);
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

/// The words that the table above names are there.
#[test]
fn the_table_names_files() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let here = fs::read_to_string(tests.join("it/errors.rs")).unwrap();
    let rows = here.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    let mut names = 0;
    for row in rows {
        let words = row.rsplit(" | ").next().unwrap_or_default();
        let mut folder = String::new();
        for name in words
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| Path::new(name).extension().is_none() && !name.contains('*'))
        {
            // A name after one with a folder lies in the same.
            let name = match name.split_once('/') {
                Some((first, name)) => {
                    first.clone_into(&mut folder);
                    name
                }
                None => name,
            };
            let file = match folder.as_str() {
                "" => tests.join("errors").join(name),
                folder => tests.join("it").join(folder).join(name),
            };
            assert!(file.with_extension("txt").is_file(), "{name} in {row}");
            names += 1;
        }
    }
    assert!(names > 60, "{names}");
}
