//! `docs/operators.md` is what the tables of operators say. `PIPE_BLESS=1` rewrites it.
#![expect(clippy::disallowed_methods, reason = "the page is read, and rewritten where a variable asks for it")]

use crate::gradients::{build, written_out};
use pipe::autodiff::differentiate;
use pipe::ir::{Builder, DOMAIN, DType, OPSET, onnx};
use pipe::native::probe;
use pipe::ops::case::Case;
use pipe::ops::{FLAT, cases, expansion, expansions, rule, rules};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const HEAD: &str = "# Operators

Generated from the tables of the reader, of the gradients and of their tests; `PIPE_BLESS=1 cargo test --test it operators` rewrites it.

";

/// Domain and name.
type Key = (&'static str, &'static str);

/// The operators of a case that have a gradient and bear its name.
fn keys(case: &Case) -> BTreeSet<Key> {
    let graph = build(case, DType::F32).graph;
    let found = graph.nodes.iter().filter(|node| node.op == case.op).filter_map(|node| {
        let rule = rule(&node.domain, &node.op).map(|rule| (rule.domain, rule.op));
        rule.or_else(|| expansion(&node.domain, &node.op).map(|row| (row.domain, row.op)))
    });
    found.collect()
}

/// Own operators in the gradient of a case.
fn own_kernels(case: &Case) -> BTreeSet<String> {
    let mut built = written_out(case, DType::F32).unwrap();
    let mut b = Builder::new(&mut built.graph, "loss");
    let flat = b.reshape(built.output, &[-1]);
    let loss = b.reduce_sum(flat, &[0], false);
    probe(&mut built.graph, &[]).unwrap();
    differentiate(&mut built.graph, loss, &built.inputs).unwrap();
    built.graph.nodes.iter().filter(|node| node.domain == DOMAIN).map(|node| node.op.clone()).collect()
}

fn title((domain, op): Key) -> String {
    if domain.is_empty() { format!("`{op}`") } else { format!("`{domain}::{op}`") }
}

fn range((from, to): (i64, i64)) -> String {
    if from == to { from.to_string() } else { format!("{from}–{to}") }
}

fn opsets(key: Key, known: &BTreeMap<&str, onnx::Known>) -> String {
    match known.get(key.1).filter(|_| key.0.is_empty()) {
        None => "1".to_owned(),
        Some(known) => {
            let ranges: Vec<String> = known.differs.iter().copied().map(range).collect();
            match (known.kept, ranges.as_slice()) {
                (true, []) => range((*onnx::READ.start(), *onnx::READ.end())),
                (true, some) => {
                    format!("{}; differs in {}", range((*onnx::READ.start(), *onnx::READ.end())), some.join(", "))
                }
                (false, some) => some.join(", "),
            }
        }
    }
}

fn page() -> String {
    let known: BTreeMap<&str, onnx::Known> = onnx::known().into_iter().map(|known| (known.op, known)).collect();
    let mut names: BTreeMap<Key, Vec<&str>> = BTreeMap::new();
    let mut kernels: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
    for case in &cases() {
        for key in keys(case) {
            names.entry(key).or_default().push(if case.name.is_empty() { "plain" } else { case.name });
            kernels.entry(key).or_default().extend(own_kernels(case));
        }
    }
    let mut rows: Vec<(Key, &str)> = rules().iter().map(|rule| ((rule.domain, rule.op), "rule")).collect();
    rows.extend(expansions().iter().map(|row| ((row.domain, row.op), "written out")));
    rows.sort_unstable();
    let mut text = HEAD.to_owned();
    let _ = writeln!(
        text,
        "Opsets {} to {} are read and brought to opset {OPSET}; where the form of an operator differs from that of opset {OPSET}, the opsets are\n\
         named. A gradient is a rule, or the operator is written out in others first. Every form named is checked along random directions\n\
         against ONNX Runtime; one that is written out is also compared with ONNX Runtime's own kernel.\n",
        onnx::READ.start(),
        onnx::READ.end()
    );
    let _ = writeln!(text, "## With a gradient: {}, in {} checked forms\n", rows.len(), cases().len());
    text.push_str("| operator | opsets | gradient | own kernel | checked forms |\n|---|---|---|---|---|\n");
    for (key, kind) in &rows {
        let own: Vec<String> = kernels[key].iter().map(|name| format!("`{name}`")).collect();
        let forms = names[key].join("; ").replace('|', "\\|");
        let _ = writeln!(text, "| {} | {} | {kind} | {} | {forms} |", title(*key), opsets(*key, &known), own.join(" "));
    }
    let covered: BTreeSet<&str> = rows.iter().filter(|(key, _)| key.0.is_empty()).map(|(key, _)| key.1).collect();
    let list = |text: &mut String, ops: Vec<&onnx::Known>| {
        let one = |known: &&onnx::Known| {
            let ranges: Vec<String> = known.differs.iter().copied().map(range).collect();
            if ranges.is_empty() {
                format!("`{}`", known.op)
            } else {
                format!("`{}` ({})", known.op, ranges.join(", "))
            }
        };
        let _ = writeln!(text, "{}", ops.iter().map(one).collect::<Vec<_>>().join(", "));
    };
    text.push_str(
        "\n## Written out on reading\n\nOpset 18 does not have them; the forms that they get have gradients.\n\n",
    );
    list(&mut text, known.values().filter(|known| !known.kept).collect());
    text.push_str(
        "\n## Without a gradient by nature\n\nWhat they make are no floats, or does not depend on the floats that they read.\n\n",
    );
    list(&mut text, known.values().filter(|known| known.kept && FLAT.contains(&known.op)).collect());
    text.push_str(
        "\n## Without a rule\n\nThey run where no gradient passes; where one does, `P0401` names the node.\n\n",
    );
    let left = |known: &&onnx::Known| known.kept && !FLAT.contains(&known.op) && !covered.contains(known.op);
    list(&mut text, known.values().filter(left).collect());
    text
}

#[test]
fn the_page_of_operators_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let page = page();
    if std::env::var_os("PIPE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/operators.md is old: run the tests with PIPE_BLESS=1");
}

#[test]
fn what_is_flat_is_read_and_has_no_gradient() {
    let known: Vec<&str> = onnx::known().iter().map(|known| known.op).collect();
    for op in FLAT {
        assert!(known.contains(op) && rule("", op).is_none() && expansion("", op).is_none(), "{op}");
    }
    assert!(FLAT.is_sorted());
}
