//! What differentiation cannot do, in words: one sentence for all nodes of an operator, and for all parameters that are not reached.

use super::{carriers, is_float};
use crate::diag::{Code, Diagnostic};
use crate::ir::{DOMAIN, Graph, Node, ValueId};
use crate::ops;
use std::collections::BTreeMap;

/// Names that are written out before the others are only counted.
const NAMED: usize = 4;

/// One problem for each operator without a rule; `indices` are its nodes, the one nearest to the loss first.
pub(super) fn no_rule(graph: &Graph, indices: &[usize]) -> Vec<Diagnostic> {
    let mut groups: Vec<(String, Vec<&Node>)> = Vec::new();
    for node in indices.iter().map(|index| &graph.nodes[*index]) {
        match groups.iter_mut().find(|(title, _)| *title == node.title()) {
            Some((_, nodes)) => nodes.push(node),
            None => groups.push((node.title(), vec![node])),
        }
    }
    let problem = |(number, (title, nodes)): (usize, (String, Vec<&Node>))| {
        let names: Vec<&str> = nodes.iter().map(|node| called(graph, node)).collect();
        let message = format!("no gradient rule for `{title}` ({})", counted("node", &names));
        let problem = Diagnostic::error(Code::NoGradient, message);
        // The list is long; once is enough.
        let problem = if number == 0 { problem.note(format!("covered: {}", covered())) } else { problem };
        problem.help(ops::freeze_up_to(names[0]))
    };
    groups.into_iter().enumerate().map(problem).collect()
}

/// The parameters that get no gradient, those that are not even floating point apart, and those together that one node keeps it from.
pub(super) fn lost(graph: &Graph, forward: usize, loss: ValueId, values: &[ValueId]) -> Vec<Diagnostic> {
    let needed = needed(graph, forward, loss);
    let mut whole = Vec::new();
    let mut apart = Vec::new();
    let mut behind: BTreeMap<usize, Vec<ValueId>> = BTreeMap::new();
    for value in values {
        if !is_float(graph, *value) {
            whole.push(*value);
        } else if let Some(node) = obstacle(graph, forward, &needed, *value) {
            behind.entry(node).or_default().push(*value);
        } else {
            apart.push(*value);
        }
    }
    let mut problems = Vec::new();
    if !apart.is_empty() {
        let message = format!("the loss does not depend on {}", parameters(graph, &apart));
        problems.push(
            Diagnostic::error(Code::NotReached, message)
                .help("freeze what the loss does not use, or attach a loss to a branch that uses it"),
        );
    }
    problems.extend(behind.into_iter().map(|(node, values)| stopped(graph, &graph.nodes[node], &values)));
    if !whole.is_empty() {
        let verb = if whole.len() == 1 { "is" } else { "are" };
        let message = format!("{} {verb} not floating point", parameters(graph, &whole));
        problems.push(
            Diagnostic::error(Code::NotFloat, message).help("only f32 and f64 parameters can be trained; freeze it"),
        );
    }
    problems
}

/// What the loss is made from in any way, by value.
fn needed(graph: &Graph, forward: usize, loss: ValueId) -> Vec<bool> {
    let mut needed = vec![false; graph.value_count()];
    needed[loss.0 as usize] = true;
    for node in graph.nodes[..forward].iter().rev() {
        if node.outputs.iter().flatten().any(|output| needed[output.0 as usize]) {
            graph.reads(node).into_iter().for_each(|input| needed[input.0 as usize] = true);
        }
    }
    needed
}

/// The first node on a way from a value to the loss that lets no gradient through; none when there is no way.
fn obstacle(graph: &Graph, forward: usize, needed: &[bool], from: ValueId) -> Option<usize> {
    if !needed[from.0 as usize] {
        return None;
    }
    let mut passes = vec![false; graph.value_count()];
    passes[from.0 as usize] = true;
    for (index, node) in graph.nodes[..forward].iter().enumerate() {
        if !graph.reads(node).iter().any(|input| passes[input.0 as usize]) {
            continue;
        }
        let carried = carriers(graph, node).any(|input| passes[input.0 as usize]);
        for output in node.outputs.iter().flatten().filter(|output| needed[output.0 as usize]) {
            if !(carried && is_float(graph, *output)) {
                return Some(index);
            }
            passes[output.0 as usize] = true;
        }
    }
    None
}

fn stopped(graph: &Graph, node: &Node, values: &[ValueId]) -> Diagnostic {
    let (who, name) = (parameters(graph, values), called(graph, node));
    let mut made = node.outputs.iter().flatten().filter(|output| !is_float(graph, **output));
    let problem = match made.find_map(|output| graph.dtype(*output)) {
        Some(kind) => {
            let message =
                format!("no gradient reaches {who}: the way to the loss leads through values that are no f32");
            Diagnostic::error(Code::NotFloat, message)
                .note(format!("node `{name}` ({}) makes {kind}, and gradients pass f32 and f64 only", node.title()))
        }
        None => Diagnostic::error(Code::NotReached, format!("no gradient reaches {who}")).note(format!(
            "node `{name}` ({}) passes none: what it makes does not move with small changes of what it reads",
            node.title()
        )),
    };
    problem.help(ops::freeze_up_to(name))
}

fn parameters(graph: &Graph, values: &[ValueId]) -> String {
    counted("parameter", &values.iter().map(|value| graph.name(*value)).collect::<Vec<_>>())
}

/// A node's name, or that of what it makes.
fn called<'g>(graph: &'g Graph, node: &'g Node) -> &'g str {
    match node.output(0) {
        Some(output) if node.name.is_empty() => graph.name(output),
        _ => &node.name,
    }
}

/// nodes `a`, `b` and 3 more
fn counted(noun: &str, names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    match names.len().saturating_sub(NAMED) {
        0 => format!("{noun}{plural} {}", shown.join(", ")),
        more => format!("{noun}{plural} {} and {more} more", shown.join(", ")),
    }
}

fn covered() -> String {
    let rules = ops::rules().into_iter().map(|rule| (rule.domain, rule.op));
    let mut known: Vec<_> = rules.chain(ops::expansions().into_iter().map(|row| (row.domain, row.op))).collect();
    known.sort_unstable();
    // Own operators come in no file.
    known.retain(|(domain, _)| *domain != DOMAIN);
    let title = |(domain, op): (&str, &str)| match domain {
        "" => op.to_owned(),
        domain => format!("{domain}::{op}"),
    };
    known.into_iter().map(title).collect::<Vec<_>>().join(" ")
}
