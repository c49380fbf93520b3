//! The patterns of regularizers and of optimizer groups, which must each match a parameter of the network.

use crate::diag::{Code, Diagnostic, nearest};
use crate::graph::Network;
use crate::spec::pattern::Patterns;
use crate::spec::{Optimizer, Spec};

/// Every pattern that matches no parameter. What is frozen in some phase does not count as a mistake.
pub(super) fn unused(spec: &Spec, network: &Network) -> Vec<Diagnostic> {
    let names: Vec<Vec<String>> = network.params.iter().map(|param| param.names.clone()).collect();
    let mut found = Vec::new();
    for (index, penalty) in spec.regularizer.iter().enumerate() {
        let patterns = penalty.params.as_deref().unwrap_or_default();
        found.extend(unmatched(patterns, &names, &format!("/regularizer/{index}/params")));
    }
    found.extend(groups(&spec.optimizer, &names, "/optimizer"));
    for (index, phase) in spec.schedule.phases.iter().enumerate() {
        if let Some(optimizer) = &phase.optimizer {
            found.extend(groups(optimizer, &names, &format!("/schedule/phases/{index}/optimizer")));
        }
    }
    found
}

fn groups(optimizer: &Optimizer, names: &[Vec<String>], at: &str) -> Vec<Diagnostic> {
    let groups = optimizer.groups.iter().enumerate();
    groups.flat_map(|(index, group)| unmatched(&group.params, names, &format!("{at}/groups/{index}/params"))).collect()
}

fn unmatched(patterns: &[String], names: &[Vec<String>], at: &str) -> Vec<Diagnostic> {
    let problem = |index: usize| {
        let pattern = &patterns[index];
        let known = names.iter().filter_map(|names| names.first()).map(String::as_str);
        let near = nearest(pattern.trim_start_matches('!'), known).into_iter().next();
        let problem = Diagnostic::error(Code::PatternEmpty, format!("pattern `{pattern}` matches no parameter"))
            .at(format!("{at}/{index}"), "");
        problem.help(match near {
            Some(name) => format!("did you mean `{name}`? `pipe inspect MODEL` lists the parameters"),
            None => "`pipe inspect MODEL` lists the parameters of a source model".to_owned(),
        })
    };
    Patterns::new(patterns).unused(names).into_iter().map(problem).collect()
}
