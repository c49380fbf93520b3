//! Every spec that the project ships is clean: no error and no warning before anything runs.

use pipe::{spec, world};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn specs(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in world::list_dir(folder).unwrap() {
        if world::is_folder(&path) {
            specs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn shipped_specs_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["pipelines", "examples/quickstart", "tests/golden"] {
        let before = found.len();
        specs(&root.join(folder), &mut found);
        assert!(found.len() > before, "{folder} holds specs");
    }
    let mut said = String::new();
    for path in &found {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        for diagnostic in spec::parse(&world::read_to_string(path).unwrap(), &name, &[]).diagnostics {
            write!(said, "{diagnostic:?}").unwrap();
        }
    }
    assert!(said.is_empty(), "{said}");
}
