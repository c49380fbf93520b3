//! Branches that no loss looks at, and losses that train nothing. The layers of a branch are new and cannot be frozen, so the first mistake
//! is theirs, whatever a phase trains.

use super::phases::Phase;
use crate::diag::{Code, Diagnostic};
use crate::graph::{Network, Objective, TermPlan};
use crate::spec::{Spec, Weight};
use std::collections::BTreeSet;

/// Parameters of new layers that no term depends on, by index into [`Network::params`].
pub(super) fn params(network: &Network, objective: &Objective) -> BTreeSet<usize> {
    let read = read(network, &objective.terms.iter().collect::<Vec<_>>());
    let params = network.params.iter().enumerate();
    params.filter(|(_, param)| param.new && !read[param.value.0 as usize]).map(|(index, _)| index).collect()
}

/// Which values some terms depend on.
fn read(network: &Network, terms: &[&TermPlan]) -> Vec<bool> {
    let graph = &network.graph;
    let mut read = vec![false; graph.value_count()];
    for term in terms {
        read[term.value.0 as usize] = true;
    }
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().flatten().any(|output| read[output.0 as usize]) {
            graph.reads(node).into_iter().for_each(|value| read[value.0 as usize] = true);
        }
    }
    read
}

/// A warning for each term that depends on no parameter that any phase trains.
pub(super) fn terms(spec: &Spec, network: &Network, objective: &Objective, phases: &[Phase]) -> Vec<Diagnostic> {
    let moving: BTreeSet<usize> = phases.iter().flat_map(|phase| phase.trainable.params.iter().copied()).collect();
    let mut found = Vec::new();
    for term in objective.terms.iter().filter(|term| term.weight != Weight::Constant(0.0)) {
        let read = read(network, &[term]);
        if moving.is_empty() || moving.iter().any(|index| read[network.params[*index].value.0 as usize]) {
            continue;
        }
        let message = format!("the term `{}` trains nothing: every parameter that it depends on is frozen", term.name);
        let at = crate::spec::join("/loss", &term.name);
        let warning = Diagnostic::warning(Code::NotReached, message).at_key(at, format!("looks at `{}`", term.branch));
        let warning = spec.freezes().into_iter().fold(warning, |warning, (place, _)| warning.at(place, "frozen here"));
        found.push(warning.help("take the term out, or take back from `freeze` what it is to train"));
    }
    found
}

/// A problem for each branch that has such parameters.
pub(super) fn problems(network: &Network, idle: &BTreeSet<usize>) -> Vec<Diagnostic> {
    // `branch.layer.parameter`, and a branch may have dots in its name.
    let branch = |index: &usize| network.params[*index].name.rsplitn(3, '.').last().unwrap_or_default().to_owned();
    let branches: BTreeSet<String> = idle.iter().map(branch).collect();
    let problem = |name: String| {
        let names: Vec<String> = idle
            .iter()
            .filter(|index| branch(index) == name)
            .map(|index| format!("`{}`", network.params[*index].name))
            .collect();
        Diagnostic::error(Code::NotReached, format!("no loss depends on the branch `{name}`"))
            .note(format!("nothing would train {}", names.join(", ")))
            .at_key(crate::spec::join("/layers", &name), "no term looks at it")
            .help(format!("add a loss term with `of: {name}`, or take the branch out"))
    };
    branches.into_iter().map(problem).collect()
}
