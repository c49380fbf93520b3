//! The generated JSON Schema is the one that is checked in, and the examples of the language are read.
//! `PIPE_BLESS=1` rewrites the schema.
#![expect(
    clippy::disallowed_methods,
    reason = "expectations beside the specs are read, and rewritten where a variable asks for it"
)]

use std::fs;
use std::path::Path;

const CLASSIC: &str = include_str!("../specs/classic.yaml");
const UNFREEZING: &str = include_str!("../specs/unfreezing.yaml");

fn read(text: &str) -> pipe::spec::Spec {
    let parsed = pipe::spec::parse(text, "spec.yaml", &[]);
    parsed.spec.unwrap_or_else(|| panic!("{}", pipe::diag::render(&parsed.diagnostics, false)))
}

#[test]
fn the_checked_in_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/pipe-v1.schema.json");
    let schema = pipe::spec::schema_text();
    if std::env::var_os("PIPE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &schema).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == schema, "schemas/pipe-v1.schema.json is old: run the tests with PIPE_BLESS=1");
}

#[test]
fn examples_of_the_language_are_read_and_written() {
    for text in [CLASSIC, UNFREEZING] {
        let spec = read(text);
        let written = pipe::spec::to_yaml(&spec).unwrap();
        let again = read(&written);
        assert_eq!(pipe::spec::identity(&spec), pipe::spec::identity(&again), "{written}");
        assert_eq!(written, pipe::spec::to_yaml(&again).unwrap());
    }
}

#[test]
fn the_goldens_specs_are_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut count = 0;
    for entry in fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path().join("spec.yaml");
        if path.is_file() {
            let spec = read(&fs::read_to_string(path).unwrap());
            let again = read(&pipe::spec::to_yaml(&spec).unwrap());
            assert_eq!(pipe::spec::identity(&spec), pipe::spec::identity(&again));
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn every_kind_has_a_page() {
    for name in pipe::spec::topic_names() {
        let pages = pipe::spec::topics(&name);
        assert!(!pages.is_empty(), "{name}");
        assert!(pages.iter().all(|page| page.page().lines().count() >= 2), "{name}");
    }
}
