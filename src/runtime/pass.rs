//! The optimizer pass of a phase: which parameters it moves, at which rates, what holds them, and what is averaged.

use super::average::Statistics;
use super::execute::Run;
use super::update::{ParamInfo, Updater};
use crate::diag::{Diagnostic, Result};
use crate::graph::Param;
use crate::ir::Tensor;
use crate::parts::optimizers::Optimizer as Rule;
use crate::plan::Phase;
use crate::spec::pattern::Patterns;

type Starts = Vec<Vec<f32>>;

/// The optimizer pass over the parameters of a phase, and their pretrained values where a regularizer reads them.
pub(super) fn updater(
    plan: &crate::plan::Plan,
    phase: &Phase,
    rule: Box<dyn Rule>,
    params: &[&Param],
) -> std::result::Result<(Updater, Starts), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut penalties = Vec::new();
    let all: Vec<Vec<String>> = params.iter().map(|param| param.names.clone()).collect();
    let mut chosen: Vec<Option<Patterns>> = Vec::new();
    for penalty in &plan.spec.regularizer {
        match penalty.penalty.build() {
            Ok(built) => penalties.push(built),
            Err(problem) => problems.push(problem),
        }
        chosen.push(penalty.params.as_ref().map(|patterns| Patterns::new(patterns)));
    }
    let groups: Vec<_> = phase.optimizer.groups.iter().map(|group| (Patterns::new(&group.params), group)).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut starts = Vec::new();
    let mut infos = Vec::new();
    for (param, names) in params.iter().zip(&all) {
        let group = groups.iter().rev().find(|(rules, _)| rules.matches(names)).map(|(_, group)| *group);
        let applied: Vec<usize> = chosen
            .iter()
            .enumerate()
            .filter(|(_, rules)| match rules {
                Some(rules) => rules.matches(names),
                None => param.shape.len() >= 2,
            })
            .map(|(index, _)| index)
            .collect();
        let reads = applied.iter().any(|index| penalties[*index].needs_start());
        // The pretrained value is the network's own initializer, whatever phase this is. What was drawn has no start to be held at.
        let start = plan.network.graph.constant(param.value).filter(|_| reads && param.pretrained);
        starts.push(start.and_then(crate::ir::Tensor::to_vec::<f32>).unwrap_or_default());
        infos.push(ParamInfo {
            name: param.name.clone(),
            len: param.shape.iter().product(),
            lr: group.and_then(|group| group.lr).unwrap_or(rule.lr()),
            weight_decay: group.and_then(|group| group.weight_decay).unwrap_or(rule.weight_decay()),
            penalties: applied,
        });
    }
    Ok((Updater::new(rule, infos, penalties, phase.optimizer.clip_norm), starts))
}

/// Lets the optimizer average what a phase moves, if it is to. What moved before and moves on keeps its average, any other ends here.
pub(super) fn averaging(
    run: &mut Run,
    phase: &Phase,
    params: &[String],
    updater: &mut Updater,
) -> Result<Option<Statistics>> {
    let states = || phase.graphs.full.states.iter().map(|state| &state.name);
    let Some(decay) = phase.optimizer.ema else {
        run.averages.clear();
        return Ok(None);
    };
    run.averages.retain(|name, _| params.contains(name) || states().any(|state| state == name));
    let average = |name: &String| run.averages.get(name).and_then(Tensor::to_vec::<f32>).unwrap_or_default();
    updater.set_average(decay, params.iter().map(average).collect())?;
    Ok(Some(Statistics::new(decay, states(), &run.averages)))
}
