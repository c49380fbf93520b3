//! `pipe inspect`: what a model holds, and by which names a spec can call it.

use super::{Failure, Outcome, complain, say};
use crate::diag::{Code, Diagnostic, either, nearest};
use crate::graph::names::{Names, Param, Split, folded_batch_norm, split_shared};
use crate::ir::onnx::{self, Loaded};
use crate::ir::{Dim, Graph, ValueId};
use crate::spec::Patterns;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Lists what an ONNX model holds: inputs, operators, parameters with all their names.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model
    model: PathBuf,
    /// Shows which parameters a pattern of `freeze:` takes; may stand several times, the last that matches decides
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    /// Lists every node, with the names by which `replaces`, `from`, `before` and `insert_after` can call it
    #[arg(long)]
    nodes: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let Loaded { mut graph, mut warnings } = onnx::load(&args.model).map_err(|problem| Failure::spec(vec![problem]))?;
    // As a run does, so that patterns mean the same here and there.
    let splits = split_shared(&mut graph, false);
    let names = Names::of(&graph);
    warnings.extend(folded_batch_norm(&graph, &names));
    let frozen = frozen(&names, &args.freeze).map_err(Failure::spec)?;
    let view = View { graph: &graph, names: &names, splits: &splits, frozen };
    if args.json {
        say(&format!("{:#}\n", view.json()));
    } else {
        say(&view.text());
        if args.nodes {
            say(&view.nodes());
        }
    }
    complain(&warnings);
    Ok(ExitCode::SUCCESS)
}

/// Whether each parameter is frozen; `None` when no pattern was given.
fn frozen(names: &Names, patterns: &[String]) -> Result<Option<Vec<bool>>, Vec<Diagnostic>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let rules = Patterns::new(patterns);
    let all: Vec<Vec<String>> = names.params().iter().map(|param| param.names.clone()).collect();
    let unused: Vec<Diagnostic> = rules
        .unused(&all)
        .into_iter()
        .map(|index| {
            let pattern = &patterns[index];
            let text = format!("the pattern `{pattern}` matches no parameter");
            let modules = names.modules().keys().map(String::as_str);
            let known = all.iter().flatten().map(String::as_str).chain(modules);
            let near = nearest(pattern.trim_start_matches('!'), known);
            let problem = Diagnostic::error(Code::PatternEmpty, text);
            match near.as_slice() {
                [] => problem.help("run `pipe inspect` without `--freeze` to see all names"),
                near => problem.help(format!("did you mean {}?", either(near))),
            }
        })
        .collect();
    if unused.is_empty() { Ok(Some(all.iter().map(|names| rules.matches(names)).collect())) } else { Err(unused) }
}

struct View<'a> {
    graph: &'a Graph,
    names: &'a Names,
    splits: &'a [Split],
    frozen: Option<Vec<bool>>,
}

impl View<'_> {
    fn state(&self, index: usize) -> Option<&'static str> {
        let frozen = self.frozen.as_ref()?;
        Some(if frozen[index] { "frozen" } else { "trainable" })
    }

    /// Number of parameters and of their elements, of those that `keep` takes.
    fn total(&self, keep: impl Fn(usize) -> bool) -> (usize, usize) {
        let kept = self.names.params().iter().enumerate().filter(|(index, _)| keep(*index));
        kept.fold((0, 0), |(count, elements), (_, param)| (count + 1, elements + size(param)))
    }

    fn operators(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for node in &self.graph.nodes {
            *counts.entry(node.title()).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    fn ty(&self, value: ValueId) -> String {
        let Some(ty) = self.graph.ty(value) else { return "unknown".to_owned() };
        let dims: Vec<String> = ty.dims.iter().map(dim_text).collect();
        format!("{}[{}]", ty.dtype, dims.join(", "))
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let graph = self.graph;
        let opsets: Vec<String> = graph
            .opsets
            .iter()
            .map(
                |(domain, version)| {
                    if domain.is_empty() { format!("opset {version}") } else { format!("{domain} {version}") }
                },
            )
            .collect();
        let title = if graph.name.is_empty() { "graph" } else { &graph.name };
        let _ = writeln!(out, "{title} ({}), {} nodes", opsets.join(", "), graph.nodes.len());
        for (what, values) in [("inputs", &graph.inputs), ("outputs", &graph.outputs)] {
            let _ = writeln!(out, "\n{what}");
            for value in values {
                let _ = writeln!(out, "  {}: {}", graph.name(*value), self.ty(*value));
            }
        }
        let operators: Vec<String> = self.operators().iter().map(|(op, count)| format!("{op} {count}")).collect();
        let _ = writeln!(out, "\noperators\n  {}", operators.join(", "));
        let modules: Vec<&str> =
            self.names.modules().keys().filter(|path| !path.contains('.')).map(String::as_str).collect();
        if !modules.is_empty() {
            let _ = writeln!(out, "\nmodules\n  {}", modules.join(", "));
        }
        let _ = writeln!(out, "\nparameters");
        let rows: Vec<[String; 4]> =
            self.names.params().iter().enumerate().map(|(index, param)| self.row(index, param)).collect();
        table(&mut out, &rows);
        if !self.names.buffers().is_empty() {
            let _ = writeln!(out, "\nstatistics (not trained)");
            let rows: Vec<[String; 4]> = self.names.buffers().iter().map(|param| row(param, None)).collect();
            table(&mut out, &rows);
        }
        if !self.splits.is_empty() {
            let _ = writeln!(out, "\nmerged in the file, split here");
            for split in self.splits {
                let _ = writeln!(out, "  {}: {}", split.name, split.copies.join(", "));
            }
        }
        let (count, elements) = self.total(|_| true);
        let _ = writeln!(out, "\n{} in {count} parameters", grouped(elements));
        if let Some(frozen) = &self.frozen {
            for (state, wanted) in [("trainable", false), ("frozen", true)] {
                let (count, elements) = self.total(|index| frozen[index] == wanted);
                let _ = writeln!(out, "  {state}: {} in {count}", grouped(elements));
            }
        }
        if !graph.metadata.is_empty() {
            let _ = writeln!(out, "\nmetadata");
            for (key, value) in &graph.metadata {
                let _ = writeln!(out, "  {key}: {}", shortened(value));
            }
        }
        out
    }

    /// A line a node: operator, name, the values it makes with their types where the file knows them.
    fn nodes(&self) -> String {
        let mut out = "\nnodes\n".to_owned();
        let width = self.graph.nodes.iter().map(|node| node.op.len()).max().unwrap_or(0);
        for node in &self.graph.nodes {
            let made: Vec<String> = node
                .outputs
                .iter()
                .flatten()
                .map(|value| match self.graph.ty(*value) {
                    Some(_) => format!("{} {}", self.graph.name(*value), self.ty(*value)),
                    None => self.graph.name(*value).to_owned(),
                })
                .collect();
            let name = if node.name.is_empty() { "-" } else { &node.name };
            let _ = writeln!(out, "  {:<width$}  {name} → {}", node.op, made.join(", "));
        }
        out
    }

    fn row(&self, index: usize, param: &Param) -> [String; 4] {
        row(param, self.state(index))
    }

    fn json(&self) -> Value {
        let graph = self.graph;
        let values = |ids: &[ValueId]| -> Vec<Value> {
            let dims = |id: ValueId| {
                graph.ty(id).map(|ty| {
                    let dim = |dim: &Dim| match dim {
                        Dim::Known(size) => json!(size),
                        Dim::Symbol(name) => json!(name),
                    };
                    (ty.dtype.to_string(), ty.dims.iter().map(dim).collect::<Vec<Value>>())
                })
            };
            ids.iter()
                .map(|id| {
                    let (dtype, shape) = dims(*id).map_or((Value::Null, Value::Null), |(a, b)| (json!(a), json!(b)));
                    json!({"name": graph.name(*id), "type": dtype, "shape": shape})
                })
                .collect()
        };
        let param = |param: &Param, state: Option<&str>| {
            let mut entry = json!({
                "name": param.name, "names": param.names, "shape": param.shape, "count": size(param), "shared": param.shared,
            });
            if let Some(state) = state {
                entry["state"] = json!(state);
            }
            entry
        };
        let params: Vec<Value> =
            self.names.params().iter().enumerate().map(|(index, each)| param(each, self.state(index))).collect();
        let buffers: Vec<Value> = self.names.buffers().iter().map(|each| param(each, None)).collect();
        let operators: serde_json::Map<String, Value> =
            self.operators().into_iter().map(|(op, count)| (op, json!(count))).collect();
        let split = |split: &Split| json!({"name": split.name, "copies": split.copies});
        let splits: Vec<Value> = self.splits.iter().map(split).collect();
        let (count, elements) = self.total(|_| true);
        let mut totals = json!({"parameters": count, "elements": elements});
        if let Some(frozen) = &self.frozen {
            totals["trainable"] = json!(self.total(|index| !frozen[index]).1);
            totals["frozen"] = json!(self.total(|index| frozen[index]).1);
        }
        json!({
            "name": graph.name, "opsets": graph.opsets, "inputs": values(&graph.inputs), "outputs": values(&graph.outputs),
            "operators": operators, "modules": self.names.modules().keys().collect::<Vec<_>>(), "parameters": params,
            "statistics": buffers, "split": splits, "totals": totals, "metadata": graph.metadata,
        })
    }
}

fn row(param: &Param, state: Option<&str>) -> [String; 4] {
    let shape: Vec<String> = param.shape.iter().map(ToString::to_string).collect();
    let mut notes: Vec<String> = state.map(ToOwned::to_owned).into_iter().collect();
    if param.shared > 1 {
        notes.push(format!("shared {}×", param.shared));
    }
    if param.names.len() > 1 {
        notes.push(format!("also {}", param.names[1..].join(", ")));
    }
    [param.name.clone(), format!("[{}]", shape.join(", ")), grouped(size(param)), notes.join("; ")]
}

/// Columns as wide as their widest cell, the number to the right; the last one runs free.
fn table(out: &mut String, rows: &[[String; 4]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, shape, count) = (width(0), width(1), width(2));
    for row in rows {
        let line = format!("  {:name$}  {:shape$}  {:>count$}  {}", row[0], row[1], row[2], row[3]);
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn size(param: &Param) -> usize {
    param.shape.iter().product()
}

fn dim_text(dim: &Dim) -> String {
    match dim {
        Dim::Known(size) => size.to_string(),
        Dim::Symbol(name) if name.is_empty() => "?".to_owned(),
        Dim::Symbol(name) => name.clone(),
    }
}

/// A number with a comma after every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let lead = digits.len() % 3;
    let (head, tail) = digits.split_at(lead);
    let groups = tail.as_bytes().chunks(3).filter_map(|group| std::str::from_utf8(group).ok());
    (!head.is_empty()).then_some(head).into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// The first line of a text, cut to what fits on one line.
fn shortened(text: &str) -> String {
    const LIMIT: usize = 80;
    let first = text.lines().next().unwrap_or("");
    let cut: String = first.chars().take(LIMIT).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, DType, Tensor, TensorType};

    fn graph() -> Graph {
        let mut graph = Graph::default();
        "net".clone_into(&mut graph.name);
        graph.opsets.insert(String::new(), 18);
        graph.metadata.insert("author".to_owned(), "somebody\nelse".to_owned());
        let mut x = graph
            .add_input("x", TensorType { dtype: DType::F32, dims: vec![Dim::Symbol("N".to_owned()), Dim::Known(40)] });
        for (name, inner, outer) in [("layer1", 40, 30), ("fc", 30, 10)] {
            let weight = graph
                .add_initializer(&format!("{name}.weight"), Tensor::new([outer, inner], &vec![0f32; outer * inner]));
            x = Builder::new(&mut graph, name).gemm(x, weight, false, true);
        }
        graph.outputs = vec![x];
        graph
    }

    #[test]
    fn the_text_is_stable() {
        let graph = graph();
        let names = Names::of(&graph);
        let frozen = frozen(&names, &["*".to_owned(), "!fc".to_owned()]).expect("both match something");
        let text = View { graph: &graph, names: &names, splits: &[], frozen }.text();
        let expect = "net (opset 18), 2 nodes

inputs
  x: f32[N, 40]

outputs
  fc/Gemm: unknown

operators
  Gemm 2

parameters
  layer1.weight  [30, 40]  1,200  frozen; also layer1/Gemm.weight
  fc.weight      [10, 30]    300  trainable; also fc/Gemm.weight

1,500 in 2 parameters
  trainable: 300 in 1
  frozen: 1,200 in 1

metadata
  author: somebody…
";
        assert_eq!(text, expect);
    }

    #[test]
    fn json_says_the_same() {
        let graph = graph();
        let names = Names::of(&graph);
        let json = View { graph: &graph, names: &names, splits: &[], frozen: Some(vec![true, false]) }.json();
        assert_eq!(json["totals"], json!({"parameters": 2, "elements": 1500, "trainable": 300, "frozen": 1200}));
        assert_eq!(json["inputs"][0], json!({"name": "x", "type": "f32", "shape": ["N", 40]}));
        assert_eq!(json["parameters"][1]["state"], "trainable");
    }

    #[test]
    fn a_pattern_that_matches_nothing_lists_near_names() {
        let graph = graph();
        let problems = frozen(&Names::of(&graph), &["fc".to_owned(), "layr1.weight".to_owned()]).expect_err("a typo");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].code(), Code::PatternEmpty);
        assert!(problems[0].help_text().is_some_and(|help| help.contains("`layer1.weight`")));
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (25557032, "25,557,032")] {
            assert_eq!(grouped(number), text);
        }
    }
}
