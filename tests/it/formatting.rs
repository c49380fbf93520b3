//! `pipe fmt`: order, comments, white space, what is left alone, and what is refused.
#![expect(clippy::disallowed_methods, reason = "standard input is fed to a process")]

use crate::scene::Scene;
use crate::specs::specs;
use pipe::world::rng::Key;
use pipe::{spec, world};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is written, and what `pipe fmt` makes of it; `=` when it leaves it alone.
const CASES: &[(&str, &str, &str)] = &[
    (
        "sections and keys in order",
        "loss: mse\nmodel:\n  shape: {h: 3}\n  source: a.onnx\nname: x\nversion: 1\n",
        "version: 1\nname: x\nmodel:\n  source: a.onnx\n  shape: {h: 3}\nloss: mse\n",
    ),
    (
        "names of the user keep their order",
        "layers:\n  z: {stack: [relu], from: a}\n  a: {stack: [relu]}\nvars: {b: 1, a: 2}\nversion: 1\n",
        "version: 1\nvars: {b: 1, a: 2}\nlayers:\n  z: {from: a, stack: [relu]}\n  a: {stack: [relu]}\n",
    ),
    (
        "the kind comes first, then its neighbours; terms keep their order",
        "version: 1\nloss:\n  b: {weight: 2, mse: {of: x}}\n  a: {mse: {of: y}}\noptimizer: {ema: 0.9, sgd: {momentum: 1, lr: 2}}\n",
        "version: 1\nloss:\n  b: {mse: {of: x}, weight: 2}\n  a: {mse: {of: y}}\noptimizer: {sgd: {lr: 2, momentum: 1}, ema: 0.9}\n",
    ),
    (
        "comments go with what they stand above or beside",
        "# file\n\nmodel: # the net\n  # where\n  source: a # here\n  # foot of model\n# the name\nname: x # n\nversion: 1\n# end\n",
        "# file\n\nversion: 1\n# the name\nname: x # n\nmodel: # the net\n  # where\n  source: a # here\n  # foot of model\n# end\n",
    ),
    (
        "a comment that a file begins with stays",
        "# file\nmodel: {}\n# v\nversion: 1\n",
        "# file\n\n# v\nversion: 1\nmodel: {}\n",
    ),
    (
        "blank lines stay between sections, one at a time",
        "\n\nloss: mse\n\n\n\nversion: 1\nname: x\n\n\n",
        "version: 1\nname: x\n\nloss: mse\n",
    ),
    ("spaces at the end of lines", "version: 1  \nname: x\t \n  \nseed: 1", "version: 1\nname: x\n\nseed: 1\n"),
    ("line breaks of Windows", "name: x\r\n\r\nversion: 1", "version: 1\r\n\r\nname: x\r\n"),
    ("line breaks of old", "name: x\rversion: 1\r\n", "="),
    ("what is no white space of YAML", "name: x\u{c}\nversion: 1\u{a0}\n", "version: 1\u{a0}\nname: x\u{c}\n"),
    ("a byte order mark", "\u{feff}name: x\nversion: 1\n", "\u{feff}version: 1\nname: x\n"),
    ("document marks", "%YAML 1.2\n---\nname: x\nversion: 1\n...\n", "%YAML 1.2\n---\nversion: 1\nname: x\n...\n"),
    (
        "block scalars with what they keep",
        "seed: 1\ndescription: |+\n\n  a  \n  # no comment\n\n\n\nname: x\nversion: 1\n",
        "version: 1\nname: x\ndescription: |+\n\n  a  \n  # no comment\n\n\n\nseed: 1\n",
    ),
    (
        "other scalars of several lines",
        "seed: 1\nname: \"a\n\n\n  b\"\ndescription: >-\n  c\n\n  d\n# of version\nversion: 1\n",
        "# of version\nversion: 1\nname: \"a\n\n\n  b\"\ndescription: >-\n  c\n\n  d\nseed: 1\n",
    ),
    (
        "a block scalar that would take the blank line of another entry",
        "description: |+\n  a\nname: x\n\nseed: 1\nversion: 1\n",
        "version: 1\nname: x\ndescription: |+\n  a\nseed: 1\n",
    ),
    (
        "a block scalar that would take what follows its map",
        "version: 1\nmodel:\n  tied: |+\n    a\n  source: b\n\nseed: 1\n",
        "version: 1\n\nseed: 1\nmodel:\n  tied: |+\n    a\n  source: b\n",
    ),
    ("a block scalar without an end", "name: x\nversion: 1\ndescription: |+\n  a\n ", "="),
    ("an empty block scalar", "name: |\n# c\nversion: 1\n", "# c\nversion: 1\nname: |\n"),
    ("anchors before their aliases", "optimizer: &o {sgd: 1}\nloss: *o\nversion: 1\n", "="),
    (
        "aliases that keep their anchors move",
        "version: 1\nfreeze: &f [a]\nmodel: {reinitialize: [b], source: a}\nschedule:\n  phases: [{freeze: *f, epochs: 1}]\n",
        "version: 1\nmodel: {source: a, reinitialize: [b]}\nfreeze: &f [a]\nschedule:\n  phases: [{epochs: 1, freeze: *f}]\n",
    ),
    ("an anchor that is taken twice", "version: 1\nseed: &a 1\nname: &a x\ndescription: *a\n", "="),
    (
        "merge keys come first",
        "version: 1\ndata:\n  sets:\n    a: &a {npz: a.npz}\n    b: {limit: 3, <<: *a}\n",
        "version: 1\ndata:\n  sets:\n    a: &a {npz: a.npz}\n    b: {<<: *a, limit: 3}\n",
    ),
    (
        "flow maps over several lines",
        "version: 1\nmodel: {\n  shape: {h: 1},\n  source: 'a',   }\n",
        "version: 1\nmodel: {\n  source: 'a',\n  shape: {h: 1},   }\n",
    ),
    (
        "spaces inside braces",
        "version: 1\nmodel: { shape: { h: 1 } , source: a }   \nloss: mse\n",
        "version: 1\nmodel: { source: a , shape: { h: 1 } }\nloss: mse\n",
    ),
    (
        "commas at the end",
        "loss: {weight: 1, mse: {},}\nmodel: {shape: {h: 1}, source: a, # c\n}\nversion: 1\n",
        "version: 1\nmodel: {shape: {h: 1}, source: a, # c\n}\nloss: {mse: {}, weight: 1,}\n",
    ),
    ("comments between the entries of a flow map", "version: 1\nmodel: {shape: {}, # c\n  source: a}\n", "="),
    (
        "keys without values",
        "version: 1\nloss: {weight: 2, mse: }\nevaluate: {datasets, metrics: [accuracy]}\n",
        "version: 1\nloss: {mse:, weight: 2 }\nevaluate: {metrics: [accuracy], datasets}\n",
    ),
    (
        "maps in lists",
        "version: 1\nschedule:\n  phases:\n    - freeze: all   # f\n      # e\n      epochs: 2\n    - lr: {}\n      epochs: 1\n    # end\n",
        "version: 1\nschedule:\n  phases:\n    - freeze: all   # f\n      # e\n      epochs: 2\n    - epochs: 1\n      lr: {}\n    # end\n",
    ),
    (
        "lists that are not indented",
        "schedule:\n  phases:\n  - lr: {}\n    epochs: 1 # e\n  # c\n  - {}\n# v\nversion: 1\n",
        "# v\nversion: 1\nschedule:\n  phases:\n  - epochs: 1 # e\n    lr: {}\n  # c\n  - {}\n",
    ),
    ("keys with a question mark", "? name\n: x\n? version\n: 1\n", "="),
    (
        "unknown keys go last as they stand",
        "zzz: 1\naaa: {b: 1, a: 2}\nteachers: {}\nversion: 1\n",
        "version: 1\nteachers: {}\nzzz: 1\naaa: {b: 1, a: 2}\n",
    ),
    (
        "letters of several bytes",
        "name: 'ü'  # é\ndescription: \"日本\"\nversion: 1\n",
        "version: 1\nname: 'ü'  # é\ndescription: \"日本\"\n",
    ),
    (
        "numbers as written",
        "seed: 0x1F\nversion: 01\nregularizer: [{params: [a], l2: 1.0E-04}]\n",
        "version: 01\nseed: 0x1F\nregularizer: [{l2: 1.0E-04, params: [a]}]\n",
    ),
    ("tabs between values", "name: x\t# c\nseed: \"a\t\"\t\nversion: 1\n", "version: 1\nname: x\t# c\nseed: \"a\t\"\n"),
];

#[test]
fn every_case_is_put_in_order_once() {
    for (what, text, expected) in CASES {
        let expected = if *expected == "=" { text } else { expected };
        let formatted = spec::format(text, "spec.yaml").unwrap_or_else(|problems| panic!("{what}: {problems:?}"));
        assert_eq!(&formatted, expected, "{what}");
        assert_eq!(spec::format(&formatted, "spec.yaml").unwrap(), formatted, "{what}, twice");
    }
}

/// Every spec of the repository that is meant to be good.
fn shipped() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["benches", "examples/quickstart", "pipelines", "tests/golden", "tests/specs"] {
        let before = found.len();
        specs(&root.join(folder), &mut found);
        assert!(found.len() > before, "{folder} holds specs");
    }
    let read = |path: PathBuf| (path.display().to_string(), world::read_to_string(&path).unwrap());
    found.into_iter().map(read).collect()
}

/// The entries of a block map in another order, each with the comments above it, and so on inside them. `lines` hold one map.
fn shuffled(lines: &[&str], column: usize, key: Key) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_entry = |line: &str| indent(line) == column && line.trim_start().starts_with(|c: char| c.is_alphanumeric());
    let free = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let Some(first) = lines.iter().position(|line| !free(line)) else {
        return lines.iter().map(ToString::to_string).collect();
    };
    if !is_entry(lines[first]) {
        return lines.iter().map(ToString::to_string).collect();
    }
    let mut starts: Vec<usize> = (0..lines.len()).filter(|at| is_entry(lines[*at])).collect();
    for start in &mut starts {
        while *start > 0 && lines[*start - 1].trim_start().starts_with('#') && indent(lines[*start - 1]) == column {
            *start -= 1;
        }
    }
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([lines.len()]).collect();
    let mut entries: Vec<Vec<String>> = Vec::new();
    for (n, (start, end)) in starts.iter().zip(ends).enumerate() {
        let head = (*start..end).find(|at| is_entry(lines[*at])).unwrap() + 1;
        let below = (head..end).find(|at| !free(lines[*at])).map_or(column, |at| indent(lines[at]));
        let mut entry: Vec<String> = lines[*start..head].iter().map(ToString::to_string).collect();
        let inner = &lines[head..end];
        if below > column {
            entry.extend(shuffled(inner, below, key.with(n as u64)));
        } else {
            entry.extend(inner.iter().map(ToString::to_string));
        }
        entries.push(entry);
    }
    let mut rng = key.named("order").rng();
    for at in (1..entries.len()).rev() {
        entries.swap(at, rng.below(at + 1));
    }
    let mut out: Vec<String> = lines[..starts[0]].iter().map(ToString::to_string).collect();
    out.extend(entries.concat());
    out
}

/// Lines of comments and the comments beside values, sorted.
fn comments(text: &str) -> Vec<String> {
    let comment = |line: &str| line.find('#').map(|at| line[at..].trim_end().to_owned());
    let mut found: Vec<String> = text.lines().filter_map(comment).collect();
    found.sort();
    found
}

#[test]
fn a_shuffled_spec_says_the_same_when_it_is_formatted() {
    let mut moved = 0;
    let everything = include_str!("../../fuzz/corpus/spec/everything.yaml");
    for (name, text) in shipped().into_iter().chain([("everything".to_owned(), everything.to_owned())]) {
        let lines: Vec<&str> = text.lines().collect();
        let meant = spec::parse(&text, &name, &[]);
        for round in 0..40 {
            let shuffled = shuffled(&lines, 0, Key::new(5).named(&name).with(round)).join("\n") + "\n";
            let formatted =
                spec::format(&shuffled, &name).unwrap_or_else(|problems| panic!("{problems:?}\n{shuffled}"));
            assert_eq!(spec::format(&formatted, &name).unwrap(), formatted, "{shuffled}");
            assert_eq!(comments(&formatted), comments(&text), "{shuffled}");
            assert_eq!(spec::parse(&formatted, &name, &[]).canonical, meant.canonical, "{shuffled}");
            moved += usize::from(formatted != shuffled);
            // Without comments and anchors there is one order only, apart from that of the user's names and of blank lines.
            let order = |text: &str| -> Vec<String> {
                let sections = text.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic()));
                sections.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
            };
            assert_eq!(order(&formatted), order(&spec::format(&text, &name).unwrap()), "{shuffled}");
        }
    }
    assert!(moved > 200, "{moved}");
}

#[test]
fn shipped_specs_are_in_order() {
    for (name, text) in shipped() {
        assert_eq!(spec::format(&text, &name).unwrap(), text, "run `pipe fmt` on {name}");
    }
}

const OUT_OF_ORDER: &str = "# about\nname: x\nversion: 1\nmodel: {nonsense: 1, source: a}\n";
const IN_ORDER: &str = "# about\nversion: 1\nname: x\nmodel: {source: a, nonsense: 1}\n";

#[test]
fn files_are_written_only_when_they_change() {
    let scene = Scene::new();
    scene.write("a.yaml", OUT_OF_ORDER);
    scene.write("deep/b.yaml", IN_ORDER);
    let (status, out, _) = scene.outputs(&["fmt", "--check", "."]);
    assert_eq!(status, Some(1), "{out}");
    assert_eq!(out, "would change ./a.yaml\n2 specs, 1 would change, 1 in order, 0 with errors\n");
    assert_eq!(world::read_to_string(&scene.path("a.yaml")).unwrap(), OUT_OF_ORDER);
    assert_eq!(scene.outputs(&["fmt", "--check", "deep/b.yaml"]), (Some(0), String::new(), String::new()));
    let (status, out, _) = scene.outputs(&["fmt", "a.yaml"]);
    assert_eq!((status, out.as_str()), (Some(0), "formatted a.yaml\n"));
    assert_eq!(world::read_to_string(&scene.path("a.yaml")).unwrap(), IN_ORDER);
    assert_eq!(scene.outputs(&["fmt", "--check", "*.yaml"]).0, Some(0));
}

#[test]
fn what_is_no_yaml_is_told_and_left_alone() {
    let scene = Scene::new();
    let bad = "name: x\nversion: 1\nname: [1\n";
    scene.write("bad.yaml", bad);
    scene.write("twice.yaml", "name: x\nversion: 1\nname: y\n");
    scene.write("two.yaml", "name: x\nversion: 1\n---\nname: y\n");
    scene.write("empty.yaml", "# nothing\n");
    scene.write("good.yaml", OUT_OF_ORDER);
    scene.write("latin.yaml", b"name: \xe9\nversion: 1\n");
    for (file, code) in [
        ("bad", "P0101"),
        ("twice", "P0104"),
        ("two", "P0101"),
        ("empty", "P0101"),
        ("latin", "P0002"),
        ("gone", "P0002"),
    ] {
        let (status, out, said) = scene.outputs(&["fmt", &format!("{file}.yaml")]);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{said}");
        assert!(said.starts_with(code), "{said}");
    }
    // The others are formatted all the same.
    let (status, out, _) = scene.outputs(&["fmt", "bad.yaml", "good.yaml"]);
    assert_eq!(status, Some(2));
    assert_eq!(out, "formatted good.yaml\n2 specs, 1 formatted, 0 in order, 1 with errors\n");
    assert_eq!(world::read_to_string(&scene.path("bad.yaml")).unwrap(), bad);
    assert_eq!(scene.outputs(&["fmt", "--check", "bad.yaml", "good.yaml"]).0, Some(2));
    let (status, _, said) = scene.outputs(&["fmt", "none/*.yaml"]);
    assert!(status == Some(2) && said.contains("names no spec"), "{said}");
    assert_eq!(scene.outputs(&["fmt"]).0, Some(2));
}

#[test]
fn a_map_of_many_keys_takes_no_long_time() {
    let plain: String = (0..40_000).map(|n| format!("k{n}: {n} # {n}\n")).collect();
    let anchored: String = (0..10_000).map(|n| format!("k{n}: {{b: &a{n} 1, a: *a{n}}}\n")).collect();
    for keys in [plain, anchored] {
        let began = world::clock::now();
        assert_eq!(spec::format(&format!("{keys}version: 1\n"), "spec.yaml").unwrap(), format!("version: 1\n{keys}"));
        // It takes a second at most; what is quadratic takes minutes.
        assert!(began.seconds() < 30.0, "{}", began.seconds());
    }
}

fn fed(args: &[&str], text: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
    let piped = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn standard_input_goes_to_standard_output() {
    assert_eq!(fed(&["fmt", "-"], OUT_OF_ORDER), (Some(0), IN_ORDER.to_owned(), String::new()));
    assert_eq!(fed(&["fmt", "-"], IN_ORDER).1, IN_ORDER);
    assert_eq!(fed(&["fmt", "--check", "-"], IN_ORDER), (Some(0), String::new(), String::new()));
    assert_eq!(fed(&["fmt", "--check", "-"], OUT_OF_ORDER).0, Some(1));
    let (status, out, said) = fed(&["fmt", "-"], "a: [\n");
    assert!(status == Some(2) && out.is_empty() && said.contains("standard input"), "{said}");
    assert_eq!(fed(&["fmt", "-", "x.yaml"], OUT_OF_ORDER).0, Some(2));
}

#[cfg(unix)]
#[test]
fn permissions_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scene = Scene::new();
    let mode = |name: &str| std::fs::metadata(scene.path(name)).unwrap().permissions().mode() & 0o777;
    scene.write("a.yaml", OUT_OF_ORDER);
    std::fs::set_permissions(scene.path("a.yaml"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("a.yaml", scene.path("link.yaml")).unwrap();
    assert_eq!(scene.outputs(&["fmt", "link.yaml"]).0, Some(0));
    assert_eq!(world::read_to_string(&scene.path("a.yaml")).unwrap(), IN_ORDER);
    assert!(std::fs::symlink_metadata(scene.path("link.yaml")).unwrap().is_symlink());
    assert_eq!(mode("a.yaml"), 0o640);
    scene.write("fixed.yaml", OUT_OF_ORDER);
    std::fs::set_permissions(scene.path("fixed.yaml"), PermissionsExt::from_mode(0o444)).unwrap();
    let (status, _, said) = scene.outputs(&["fmt", "fixed.yaml"]);
    assert!(status == Some(2) && said.starts_with("P0002") && said.contains("read-only"), "{said}");
    assert_eq!(world::read_to_string(&scene.path("fixed.yaml")).unwrap(), OUT_OF_ORDER);
}
