//! Hostile specs.

use super::{Case, Reader};
use std::fmt::Write;

const REST: &str = "version: 1
name: hostile
model: {input: {image: [6]}}
data: {sets: {train: {npz: a.npz}}}
loss: mse
optimizer: {sgd: 0.1}
schedule: {epochs: 1, batch: 4}
";

fn spec(name: &'static str, text: impl Into<String>, code: &'static str, said: &'static str) -> Case {
    Case::new(name, Reader::Spec(Vec::new()), text.into(), code, said)
}

/// A valid spec with something in it replaced, or put behind it.
fn valid(name: &'static str, from: &str, to: &str, code: &'static str, said: &'static str) -> Case {
    let text = if from.is_empty() { format!("{REST}{to}") } else { REST.replace(from, to) };
    spec(name, text, code, said)
}

/// `a0` is a list of ten, every later one a list of ten of the one before.
fn laughs() -> String {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..10 {
        let _ = writeln!(text, "a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    text
}

/// Lines made from numbers.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

/// A valid spec with one thing that is not.
fn edits() -> Vec<Case> {
    vec![
        valid(
            "variables-grow",
            "",
            &format!(
                "vars: {{a: {}, {}}}\ndescription: \"${{v39}}\"\n",
                "x".repeat(50),
                lines(40, |i| match i {
                    0 => "v0: \"${a}${a}\", ".to_owned(),
                    i => format!("v{i}: \"${{v{0}}}${{v{0}}}\", ", i - 1),
                })
            ),
            "P0",
            "P0",
        ),
        valid("variable-of-itself", "", "vars: {a: \"${a}\"}\n", "P0206", "`a`"),
        valid("number-too-large", "sgd: 0.1", "sgd: 1e999", "P0202", "takes a number, not `1e999`"),
        valid("count-too-large", "batch: 4", "batch: 340282366920938463463374607431768211456", "P020", "batch"),
        valid("count-negative", "epochs: 1", "epochs: -1", "P0203", "out of range: -1"),
        valid("shape-overflows", "[6]", "[4294967296, 4294967296, -4294967296]", "P0203", "out of range: -4294967296"),
        valid("name-leads-out", "name: hostile", "name: ../../hostile", "P02", "name"),
        valid("name-absolute", "name: hostile", "name: /etc/hostile", "P02", "name"),
        valid(
            "branches-in-a-circle",
            "",
            &format!(
                "layers: {{{}}}\n",
                lines(300, |i| format!("b{i}: {{from: b{}, stack: [linear: 6]}}, ", (i + 1) % 300))
            ),
            "P0212",
            "in a circle",
        ),
        valid(
            "many-branches",
            "",
            &format!("layers: {{{}}}\n", lines(2000, |i| format!("b{i}: {{from: c{i}, stack: [linear: 6]}}, "))),
            "P0209",
            "branch or input",
        ),
        valid(
            "escapes-in-keys",
            "loss: mse",
            "loss: {'a/b~c~1': {mse: {on: 'no/such~branch'}}}",
            "P0204",
            "unknown key `on`",
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let layer = "{stack: [linear: 6]}";
    let mut cases = vec![
        spec("nested-lists", "[".repeat(100_000), "P01", "P01"),
        spec("nested-maps", "{a: ".repeat(5000), "P01", "P01"),
        spec("nested-blocks", lines(70, |i| format!("{}a:\n", " ".repeat(i))), "P0105", "nested deeper than 64 levels"),
        spec("billion-laughs", laughs(), "P0105", "more than 100000 values"),
        spec(
            "text-repeated",
            format!("a: &a {}\nb: [{}]\n", "x".repeat(400_000), "*a, ".repeat(2000)),
            "P0105",
            "aliases repeat more than",
        ),
        spec(
            "maps-merged",
            format!("a: &a {{{}}}\nb: {{<<: [{}]}}\n", lines(500, |i| format!("k{i}: 1, ")), "*a, ".repeat(5000)),
            "P0105",
            "the limit is reached here",
        ),
        spec("too-many-values", format!("a: [{}]", "1, ".repeat(100_001)), "P0105", "more than 100000 values"),
        spec("too-large", format!("# {}", "x".repeat(1 << 20)), "P0105", "larger than 1048576 bytes"),
        spec("alias-in-itself", "a: &a [*a]\n", "P0103", "inside the value that it repeats"),
        spec("python-object", "a: !!python/object/apply:os.system ['echo hostile']\n", "P0102", "is a tag in YAML"),
        spec("many-tags", lines(500, |i| format!("k{i}: !x\n")), "P0102", "is a tag in YAML"),
        spec("nul-bytes", "version: 1\0\nname: a\n", "P0", "P0"),
        spec("unfinished-quote", format!("a: \"{}", "x\\n".repeat(1000)), "P0101", "the text is not YAML"),
        spec("many-documents", "a: 1\n---\n".repeat(1000), "P0101", "one YAML document"),
        spec("same-key", format!("{REST}{}", "seed: 1\n".repeat(2000)), "P0104", "stands twice"),
        spec(
            "unknown-keys",
            format!("{REST}{}", lines(2000, |i| format!("key{i}: 1\n"))),
            "P0204",
            "unknown key `key0`",
        ),
        spec("long-key", format!("{REST}{}: 1\n", "x".repeat(500_000)), "P0101", "simple key"),
        spec("long-explicit-key", format!("{REST}? {}\n: 1\n", "x".repeat(500_000)), "P0204", "unknown key"),
        spec(
            "long-names",
            format!("{REST}layers: {{{0}: {layer}, b: {{from: {0}y, stack: [linear: 6]}}}}\n", "x".repeat(200_000)),
            "P0209",
            "branch or input",
        ),
    ];
    cases.extend(edits());
    let deep = format!("{}=1", vec!["a"; 100_000].join("."));
    for (name, set, code, said) in [
        ("override-too-deep", deep, "P0001", "deeper than"),
        ("override-nested", format!("seed={}", "[".repeat(10_000)), "P01", "P01"),
        ("override-of-nothing", "=".to_owned(), "P0001", "not a path of keys"),
    ] {
        cases.push(Case::new(name, Reader::Spec(vec![set]), REST, code, said));
    }
    cases
}
