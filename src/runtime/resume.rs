//! `--resume`: whether a run may go on under the spec at hand, and where it stands then.
//!
//! A run goes on with the spec that it was started with. What may be edited is what says when it ends: `epochs` and `steps` of phases that
//! have not ended, and of the last one, may grow; `schedule.stop` may be anything. The checkpoint holds the spec that it was reached
//! under; before the first one it is `spec.yaml` in the run's folder.

use super::checkpoint::{self, Checkpoint, Progress};
use super::execute::Run;
use super::folder::RunFolder;
use super::length::Length;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Graph, Tensor};
use crate::parts::Chosen;
use crate::plan::{Phase, Plan};
use crate::spec::{Change, Spec, Weight, changes, identity};
use std::collections::BTreeMap;

/// What `--resume` finds in a run's folder.
#[derive(Debug)]
pub struct Resumption {
    /// Bytes of `metrics.jsonl` that the latest checkpoint vouches for, 0 without one.
    pub metrics_bytes: u64,
    /// Whether the run came to its end and the spec asks for no more.
    pub finished: bool,
    /// What is odd about going on under the edited spec.
    pub warnings: Vec<Diagnostic>,
}

impl Resumption {
    /// Looks into a folder. `started` is the spec that lies there.
    ///
    /// # Errors
    /// `P0603` when the checkpoint cannot be used, `P0604` when the spec was edited beyond what a run may go on with.
    pub fn read(folder: &RunFolder, plan: &Plan, started: Option<&Spec>) -> Result<Self> {
        let progress = checkpoint::load(&folder.file("checkpoints"))?.map(|checkpoint| checkpoint.progress);
        let spec = match (&progress, started) {
            (Some(progress), _) => progress.spec.clone(),
            (None, Some(spec)) => identity(spec),
            (None, None) => return Ok(Self { metrics_bytes: 0, finished: false, warnings: Vec::new() }),
        };
        let progress = progress.unwrap_or_default();
        let changes = accept(plan, &spec, &progress)?;
        let finished = changes.is_empty() && folder.finished();
        let warnings = changes.iter().filter_map(|change| odd(plan, change, &progress)).collect();
        Ok(Self { metrics_bytes: progress.metrics_bytes, finished, warnings })
    }
}

impl Run<'_> {
    /// Takes up the last checkpoint.
    pub(super) fn resume(&mut self) -> Result<()> {
        let Some(checkpoint) = checkpoint::load(&self.options.folder.file("checkpoints"))? else { return Ok(()) };
        let Checkpoint { mut progress, weights, states, averages, best } = checkpoint;
        let changes = accept(self.plan, &progress.spec, &progress)?;
        counts_fit(self.plan, &progress)?;
        let keep = self.plan.spec.schedule.keep.last.unwrap_or(1);
        checkpoint::tidy(&self.options.folder.file("checkpoints"), progress.steps_total, keep)?;
        stand(self.plan, &changes, &mut progress);
        [&weights, &averages, &best].into_iter().try_for_each(|values| fits(&self.plan.network.graph, values))?;
        if let (Some(was), Some(is)) = (&progress.ground, &self.progress.ground)
            && was != is
        {
            let message = "the model or the training data is not what the checkpoint was trained from";
            return Err(Diagnostic::error(Code::CheckpointBad, message).help("put it back, or start a new run"));
        }
        self.weights.restore(&weights)?;
        self.states = states;
        self.averages = averages;
        self.best = best;
        self.progress = progress;
        self.progress.edited |= !changes.is_empty();
        self.resumed = true;
        Ok(())
    }
}

/// Whether values of a checkpoint are those of a network.
fn fits(graph: &Graph, values: &BTreeMap<String, Tensor>) -> Result<()> {
    for (name, value) in values {
        let known = graph.find(name).and_then(|found| graph.constant(found));
        if known.is_none_or(|known| known.shape() != value.shape() || known.dtype() != value.dtype()) {
            let there = known
                .map_or_else(|| "not in the network".to_owned(), |known| format!("{:?} in the network", known.shape()));
            let message = format!("`{name}` is {:?} in the checkpoint and {there}", value.shape());
            return Err(Diagnostic::error(Code::CheckpointBad, message)
                .help("the model's file has changed since; put it back, or start a new run"));
        }
    }
    Ok(())
}

/// Whether an epoch of the phase has as many steps over the training set at hand as it had.
fn counts_fit(plan: &Plan, progress: &Progress) -> Result<()> {
    let per_epoch = plan.phases.get(progress.phase).map_or(0, |_| Length::of(plan, progress.phase).per_epoch);
    if progress.per_epoch == per_epoch {
        return Ok(());
    }
    let message = "the training set has another size than when the checkpoint was written";
    Err(Diagnostic::error(Code::CheckpointBad, message)
        .note(format!(
            "an epoch of phase {} had {} steps and has {per_epoch} now",
            progress.phase + 1,
            progress.per_epoch
        ))
        .help("put the data back, or start a new run"))
}

/// What was edited since, if a run may go on with it.
fn accept(plan: &Plan, old: &str, progress: &Progress) -> Result<Vec<Change>> {
    const SHOWN: usize = 12;
    let found = changes(old, &plan.spec).ok_or_else(|| {
        Diagnostic::error(Code::CheckpointBad, "the checkpoint was written by another version of pipe")
            .help("start a new run, or resume with that version")
    })?;
    let refused: Vec<(&Change, &str)> =
        found.iter().filter_map(|change| Some((change, refusal(change, progress, plan.phases.len())?))).collect();
    if refused.is_empty() {
        return Ok(found);
    }
    let mut error = Diagnostic::error(Code::ResumeChanged, "the spec is not the one that the run was started with");
    for (change, why) in refused.iter().take(SHOWN) {
        let (was, is) = (side(change.old.as_ref()), side(change.new.as_ref()));
        error = error.note(format!("{}: {was} → {is}{why}", change.path()));
        let text = format!("was {was}");
        error =
            if change.new.is_some() { error.at(&change.pointer, text) } else { error.at_key(&change.pointer, text) };
    }
    if let Some(more) = refused.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        error = error.note(format!("and {more} more"));
    }
    Err(error
        .help("put that back, or start a new run; only `epochs` and `steps` may grow and `schedule.stop` may change"))
}

fn side(text: Option<&String>) -> String {
    text.map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"))
}

/// The phase whose length a change is about.
fn phase_of(change: &Change) -> Option<usize> {
    let rest = change.pointer.strip_prefix("/schedule/")?;
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["epochs" | "steps"] => Some(0),
        ["phases", phase, "epochs" | "steps"] => phase.parse().ok(),
        _ => None,
    }
}

fn numbers(change: &Change) -> Option<(u64, u64)> {
    Some((change.old.as_ref()?.parse().ok()?, change.new.as_ref()?.parse().ok()?))
}

/// Why a run may not go on with a change, to be put behind it; `None` when it may.
fn refusal(change: &Change, progress: &Progress, phases: usize) -> Option<&'static str> {
    if change.pointer == "/schedule/stop" || change.pointer.starts_with("/schedule/stop/") {
        return None;
    }
    let (Some(phase), Some((old, new))) = (phase_of(change), numbers(change)) else { return Some("") };
    let ended = phase < progress.phase || (phase == progress.phase && progress.phase_done);
    if new < old {
        Some(", and a run that goes on may only become longer")
    } else if ended && phase + 1 != phases {
        Some(", and that phase has ended")
    } else {
        None
    }
}

/// A warning where the steps of a phase that is under way depend on how long it is.
fn odd(plan: &Plan, change: &Change, progress: &Progress) -> Option<Diagnostic> {
    let number = phase_of(change).filter(|phase| *phase == progress.phase && progress.step > 0)?;
    let phase = &plan.phases[number];
    let (old, _) = numbers(change)?;
    let before = Length::lasting(plan, phase.epochs.map(|_| old), phase.steps.map(|_| old));
    let now = Length::of(plan, number);
    let ramp = plan.objective.terms.iter().find(|term| matches!(term.weight, Weight::Ramp { .. }));
    let what = match (rates(phase, progress.step, before, now), ramp) {
        (Some((was, is)), _) => format!("the learning rate goes on at {} where it stood at {}", short(is), short(was)),
        (None, Some(term)) => format!("the weight of `{}` follows the length of its phase, and jumps", term.name),
        (None, None) => return None,
    };
    let warning = Diagnostic::warning(Code::ResumeChanged, what);
    Some(
        warning
            .at(&change.pointer, format!("was `{old}`"))
            .help("a run of this length from its start would give other numbers; to get those, start a new run"),
    )
}

/// The learning rates of the last step and the next one, if the schedule depends on the length of the phase.
fn rates(phase: &Phase, step: u64, before: Length, now: Length) -> Option<(f64, f64)> {
    let lr = phase.lr.as_ref().map(Chosen::build)?.ok()?;
    let base = phase.optimizer.rule.build().ok()?.lr();
    let differs = |step| lr.factor(step, before.total, now.per_epoch) != lr.factor(step, now.total, now.per_epoch);
    let rate = |step, length: Length| base * lr.factor(step, length.total, length.per_epoch);
    (0..=before.total).any(differs).then(|| (rate(step - 1, before), rate(step, now)))
}

/// Three digits of a number.
fn short(number: f64) -> f64 {
    format!("{number:.2e}").parse().unwrap_or(number)
}

/// Where a run stands under the spec at hand. Under the spec of the checkpoint that is where it stood.
fn stand(plan: &Plan, changes: &[Change], progress: &mut Progress) {
    let stop = plan.spec.schedule.stop.as_ref();
    if changes.iter().any(|change| matches!(change.pointer.as_str(), "/schedule/stop" | "/schedule/stop/watch")) {
        progress.watched = None;
        progress.stale = 0;
    }
    if progress.phase + 1 == plan.phases.len() {
        let length = Length::of(plan, progress.phase);
        // An epoch that the old end cut short goes on where it stopped.
        let begun = progress.step / length.per_epoch.max(1);
        if progress.step < length.total && begun < progress.epoch {
            progress.epochs_total = progress.epochs_total.saturating_sub(progress.epoch - begun);
            progress.epoch = begun;
        }
        let patient = stop.is_none_or(|stop| progress.stale < stop.patience);
        progress.phase_done = !patient || progress.epoch >= length.epochs;
    }
    progress.spec = identity(&plan.spec);
}
