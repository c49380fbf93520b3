//! Branches that no loss looks at. Their layers are new and cannot be frozen, so the mistake is theirs, whatever a phase trains.

use crate::diag::{Code, Diagnostic};
use crate::graph::{Network, Objective};
use std::collections::BTreeSet;

/// Parameters of new layers that no term depends on, by index into [`Network::params`].
pub(super) fn params(network: &Network, objective: &Objective) -> BTreeSet<usize> {
    let graph = &network.graph;
    let mut read = vec![false; graph.value_count()];
    objective.terms.iter().for_each(|term| read[term.value.0 as usize] = true);
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().flatten().any(|output| read[output.0 as usize]) {
            graph.reads(node).into_iter().for_each(|value| read[value.0 as usize] = true);
        }
    }
    let params = network.params.iter().enumerate();
    params.filter(|(_, param)| param.new && !read[param.value.0 as usize]).map(|(index, _)| index).collect()
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
            .at_key(format!("/layers/{}", name.replace('~', "~0").replace('/', "~1")), "")
            .help(format!("add a loss term with `of: {name}`, or take the branch out"))
    };
    branches.into_iter().map(problem).collect()
}
