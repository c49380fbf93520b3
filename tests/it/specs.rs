//! Every spec that the project ships is clean: no error and no warning before anything runs.

#![expect(clippy::disallowed_methods, reason = "a shell reads what it is given")]

use crate::scene::Scene;
use pipe::diag::Severity;
use pipe::{spec, world};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn specs(folder: &Path, found: &mut Vec<PathBuf>) {
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

#[test]
fn a_rendered_spec_is_the_spec_with_its_defaults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["pipelines", "examples/quickstart", "tests/specs", "tests/golden"] {
        specs(&root.join(folder), &mut found);
    }
    let scene = Scene::new();
    for path in &found {
        let (status, text, said) = scene.outputs(&["render", &path.display().to_string()]);
        assert_eq!(status, Some(0), "{said}");
        let written = spec::parse(&world::read_to_string(path).unwrap(), "written", &[]);
        let rendered = spec::parse(&text, "rendered", &[]);
        assert!(
            rendered.diagnostics.iter().all(|found| found.severity() == Severity::Warning),
            "{:?}",
            rendered.diagnostics
        );
        let identity = |parsed: &spec::Parsed| spec::identity(parsed.spec.as_ref().unwrap());
        assert_eq!(identity(&written), identity(&rendered), "{}", path.display());
        scene.write("again.yaml", &text);
        assert_eq!(scene.outputs(&["render", "again.yaml"]).1, text, "nothing is left to fill in: {}", path.display());
        for filled in ["accumulate: ", "shuffle: ", "last: ", "seed: "] {
            assert!(text.contains(filled), "`{filled}` is missing:\n{text}");
        }
    }
    let spec = root.join("examples/quickstart/spec.yaml").display().to_string();
    let (_, text, _) = scene.outputs(&["render", &spec, "--set", "schedule.batch=7"]);
    assert!(text.contains("batch: 7") && text.contains("weight_decay:") && text.contains("label_smoothing:"), "{text}");
    // What a sweep varies stands where it stood.
    for (penalty, path) in [("{l2: 1e-4}", "regularizer.l2"), ("[{l2: 1e-4}]", "regularizer.0.l2")] {
        let sweep = format!("regularizer: {penalty}\nsweep: {{grid: {{{path}: [0, 1]}}, metric: test.accuracy}}\n");
        scene.write("sweep.yaml", world::read_to_string(Path::new(&spec)).unwrap() + &sweep);
        let (status, text, said) = scene.outputs(&["render", "sweep.yaml"]);
        assert_eq!(status, Some(0), "{said}");
        scene.write("rendered.yaml", text);
        assert_eq!(scene.outputs(&["check", "rendered.yaml"]).0, Some(0), "{path}");
    }
}

#[test]
fn shells_complete_every_command() {
    let scene = Scene::new();
    let (_, help, _) = scene.outputs(&["help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Lines that go on with a description stand further in.
    let commands =
        commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    let commands: Vec<&str> = commands.collect();
    assert!(commands.len() > 10, "{help}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (status, script, _) = scene.outputs(&["completions", shell]);
        assert_eq!(status, Some(0));
        for command in &commands {
            assert!(script.contains(command), "{shell} does not know `{command}`");
        }
        if shell == "bash" {
            scene.write("script.sh", &script);
            let checked = Command::new("bash").arg("-n").arg(scene.path("script.sh")).status().unwrap();
            assert!(checked.success());
        }
    }
}
