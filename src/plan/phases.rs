//! The phases of a run with everything resolved, the graphs of their training steps included: what cannot be trained is found before
//! a sample is read.

use super::{idle, patterns, sets};
use crate::data::Dataset;
use crate::diag::{Code, Diagnostic, Label};
use crate::graph::{
    Cut, Network, Objective, StepForm, Target, TrainGraph, Trainable, find_cut, resolve_freeze, train_graph,
};
use crate::parts::Chosen;
use crate::parts::schedules::Schedules;
use crate::spec::{Freeze, Last, Optimizer, Spec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that the features of one dataset may take unless `runtime.cache.limit` says otherwise.
pub const CACHE_LIMIT: u64 = 10 << 30;

/// A phase with everything resolved.
#[derive(Debug)]
pub struct Phase {
    /// What moves.
    pub trainable: Trainable,
    /// Where the frozen prefix ends, or why it is not cut.
    pub cut: std::result::Result<Cut, String>,
    /// Its training step, shared with a phase that moves the same.
    pub graphs: Arc<StepGraphs>,
    /// How parameters move.
    pub optimizer: Optimizer,
    /// Learning rate over the phase.
    pub lr: Option<Chosen<Schedules>>,
    /// Epochs, when the phase counts them.
    pub epochs: Option<u64>,
    /// Optimizer steps, when the phase counts them.
    pub steps: Option<u64>,
}

/// The training step of a phase for every batch size that it meets.
#[derive(Debug)]
pub struct StepGraphs {
    /// What becomes of the last, partial batch.
    pub last: LastBatch,
    /// The step for whole batches, or for the only one of a small dataset.
    pub full: TrainGraph,
    /// The step for the partial last batch, where batch statistics forbid filling it up.
    pub short: Option<TrainGraph>,
}

/// What becomes of a partial last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastBatch {
    /// It is filled up with rows that weigh nothing.
    Fill,
    /// It stays short.
    Short,
    /// It is left out.
    Drop,
}

impl StepGraphs {
    /// Builds and differentiates the step of what is trained on so many samples.
    fn build(
        spec: &Spec,
        network: &Network,
        objective: &Objective,
        trainable: &Trainable,
        cut: Option<&Cut>,
        samples: usize,
        target: Target,
    ) -> Result<Self, Vec<Diagnostic>> {
        let batch = spec.schedule.batch;
        let rest = samples % batch;
        let statistics = !trainable.batch_norms.is_empty();
        let last = match spec.schedule.last {
            Last::Drop => LastBatch::Drop,
            Last::Pad if statistics && rest != 0 => LastBatch::Short,
            Last::Pad => LastBatch::Fill,
        };
        let step = |size| train_graph(network, trainable, cut, objective, StepForm::of(spec, target), size);
        // The only batch of a small dataset may be the short one.
        let first = if last == LastBatch::Short && samples < batch { rest } else { batch };
        let full = step(first)?;
        let short = if last == LastBatch::Short && rest != first { Some(step(rest)?) } else { None };
        Ok(Self { last, full, short })
    }
}

/// Freezing and its place in the spec, optimizer, schedule of the learning rate, epochs and steps of a phase.
type Given<'s> = (Option<&'s Freeze>, String, Optimizer, Option<Chosen<Schedules>>, Option<u64>, Option<u64>);

/// Resolves every phase.
pub(super) fn build(
    spec: &Spec,
    network: &Network,
    objective: &Objective,
    sets: &BTreeMap<String, Arc<Dataset>>,
    target: Target,
) -> Result<Vec<Phase>, Vec<Diagnostic>> {
    let mut problems = patterns::unused(spec, network);
    let batch = spec.schedule.batch;
    // Without data a whole batch stands for it.
    let samples = sets.get("train").map_or(batch, |train| train.len());
    if spec.schedule.last == Last::Drop && samples < batch {
        let message = format!("`last: drop` leaves no batch of {batch} out of {samples} samples");
        problems.push(Diagnostic::error(Code::DataEmpty, message).at("/schedule/batch", ""));
    }
    let idle = idle::params(network, objective);
    problems.extend(idle::problems(network, &idle));
    let mut phases: Vec<Phase> = Vec::new();
    for (freeze, at, optimizer, lr, epochs, steps) in given(spec) {
        let made = resolve_freeze(network, freeze, &at).and_then(|mut trainable| {
            trainable.params.retain(|index| !idle.contains(index));
            let cut = limited_cut(spec, network, &trainable, sets);
            let same = phases.iter().find(|phase| phase.trainable == trainable && phase.cut == cut);
            let graphs = if let Some(phase) = same {
                Arc::clone(&phase.graphs)
            } else {
                let made = StepGraphs::build(spec, network, objective, &trainable, cut.as_ref().ok(), samples, target);
                let place = |problem| placed(problem, spec, freeze.map(|_| at.as_str()));
                Arc::new(made.map_err(|found| found.into_iter().map(place).collect::<Vec<_>>())?)
            };
            Ok((trainable, cut, graphs))
        });
        match made {
            Ok((trainable, cut, graphs)) => {
                phases.push(Phase { trainable, cut, graphs, optimizer, lr, epochs, steps });
            }
            Err(found) => found.into_iter().for_each(|problem| tell(&mut problems, problem)),
        }
    }
    if problems.is_empty() { Ok(phases) } else { Err(problems) }
}

/// Adds a problem. What is wrong in several phases is told once, with all its places.
fn tell(problems: &mut Vec<Diagnostic>, problem: Diagnostic) {
    let Some(told) = problems.iter_mut().find(|told| told.message() == problem.message()) else {
        problems.push(problem);
        return;
    };
    for label in problem.labels() {
        if let Label::Pointer { pointer, text, .. } = label
            && !told.labels().contains(label)
        {
            *told = told.clone().at(pointer, text);
        }
    }
}

/// Where the spec speaks of what a training step cannot do: where it says what is frozen, else where the network or the loss comes from.
fn placed(problem: Diagnostic, spec: &Spec, freeze: Option<&str>) -> Diagnostic {
    if !problem.labels().is_empty() {
        return problem;
    }
    // With a note it is a node that stands in the way, not the loss.
    if problem.code() == Code::NotReached && problem.notes().is_empty() {
        return match freeze {
            Some(freeze) => problem.at(freeze, "leaves them to be trained").at_key("/loss", "looks elsewhere"),
            None => problem.at_key("/loss", "looks elsewhere"),
        };
    }
    let unfrozen = if spec.model.source.is_some() { "/model/source" } else { "/layers" };
    problem.at(freeze.unwrap_or(unfrozen), "")
}

fn given(spec: &Spec) -> Vec<Given<'_>> {
    let schedule = &spec.schedule;
    let mut given: Vec<Given<'_>> = Vec::new();
    if schedule.phases.is_empty() {
        given.push((
            spec.freeze.as_ref(),
            "/freeze".to_owned(),
            spec.optimizer.clone(),
            schedule.lr.clone(),
            schedule.epochs,
            schedule.steps,
        ));
    }
    for (index, phase) in schedule.phases.iter().enumerate() {
        let at = match phase.freeze {
            Some(_) => format!("/schedule/phases/{index}/freeze"),
            None => "/freeze".to_owned(),
        };
        given.push((
            phase.freeze.as_ref().or(spec.freeze.as_ref()),
            at,
            phase.optimizer.clone().unwrap_or_else(|| spec.optimizer.clone()),
            phase.lr.clone().or_else(|| schedule.lr.clone()),
            phase.epochs,
            phase.steps,
        ));
    }
    given
}

/// The cut of a phase, unless chance or the limit of the cache speaks against it.
fn limited_cut(
    spec: &Spec,
    network: &Network,
    trainable: &Trainable,
    sets: &BTreeMap<String, Arc<Dataset>>,
) -> std::result::Result<Cut, String> {
    let cut = find_cut(network, trainable)?;
    let Some(train) = sets.get("train") else { return Err("there is no dataset `train`".to_owned()) };
    if let Some(name) = sets::first_random(spec, "train") {
        return Err(format!("`{name}` draws other samples every epoch"));
    }
    let limit = spec.runtime.cache.limit.unwrap_or(CACHE_LIMIT);
    let bytes = cut.bytes_per_sample() * train.len() as u64;
    if bytes > limit {
        return Err(format!("the features of `train` take {bytes} bytes, more than the cache's limit of {limit}"));
    }
    Ok(cut)
}
