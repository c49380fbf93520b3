//! Losses with `class_weights: balanced` get the weights that the labels of the training set ask for.

use crate::data::Dataset;
use crate::diag::{Code, Diagnostic};
use crate::graph::Objective;
use crate::parts::losses::{balanced, is_balanced, put};
use crate::parts::sources::Labels;
use crate::spec::Spec;

/// What the training set made of `balanced`.
#[derive(Debug, Clone, PartialEq)]
pub struct Balanced {
    /// Name of the term.
    pub term: String,
    /// Class, its samples, its weight.
    pub classes: Vec<(String, usize, f64)>,
}

/// Puts the weights into the spec and into the terms, which are in one order. Labels that the loss cannot use have been reported.
pub(super) fn resolve(
    spec: &mut Spec,
    objective: &mut Objective,
    train: &Dataset,
) -> Result<Vec<Balanced>, Vec<Diagnostic>> {
    let mut resolved = Vec::new();
    let mut problems = Vec::new();
    for term in &mut objective.terms {
        let Some(written) = spec.loss.get_mut(&term.name).filter(|written| is_balanced(&written.loss)) else {
            continue;
        };
        let mut counts = vec![0; term.units.iter().product()];
        let mut names = Vec::new();
        if let Labels::Classes { ids, names: known } = train.labels() {
            names.clone_from(known);
            for position in 0..train.len() {
                let slot = usize::try_from(ids[train.sample(position)]).ok().and_then(|id| counts.get_mut(id));
                if let Some(count) = slot {
                    *count += 1;
                }
            }
            problems.extend(missing(&counts, &names, &written.loss.at));
        }
        let weights = balanced(&counts);
        put(&mut written.loss, &weights);
        match written.loss.build() {
            Ok(loss) => term.loss = loss,
            Err(problem) => problems.push(problem),
        }
        let named = |id: usize| names.get(id).cloned().unwrap_or_else(|| id.to_string());
        let classes = counts.iter().zip(weights).enumerate().map(|(id, (count, weight))| (named(id), *count, weight));
        resolved.push(Balanced { term: term.name.clone(), classes: classes.collect() });
    }
    if problems.is_empty() { Ok(resolved) } else { Err(problems) }
}

/// Classes that no weight could balance.
fn missing(counts: &[usize], names: &[String], at: &str) -> Option<Diagnostic> {
    let gone: Vec<String> = (0..counts.len())
        .filter(|id| counts[*id] == 0)
        .map(|id| names.get(id).map_or_else(|| id.to_string(), |name| format!("{id} (`{name}`)")))
        .collect();
    let (shown, more) = gone.split_at(gone.len().min(8));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let which = if gone.len() == 1 { "class" } else { "classes" };
    (!gone.is_empty()).then(|| {
        let message = format!("`train` has no sample of {which} {}{more}, so nothing balances it", shown.join(", "));
        Diagnostic::error(Code::LabelRange, message)
            .at(format!("{at}/class_weights"), "")
            .help("write the weights as a list, or give the branch one unit for each class of `train`")
    })
}
