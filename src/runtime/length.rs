//! How many steps a phase has.

use crate::plan::Plan;
use crate::spec::Last;

/// Steps and epochs of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) per_epoch: u64,
    pub(super) total: u64,
    pub(super) epochs: u64,
}

impl Length {
    /// The length of a phase of a plan.
    pub(super) fn of(plan: &Plan, phase: usize) -> Self {
        let phase = &plan.phases[phase];
        Self::lasting(plan, phase.epochs, phase.steps)
    }

    /// The length that so many epochs or steps have over the training set of a plan.
    pub(super) fn lasting(plan: &Plan, epochs: Option<u64>, steps: Option<u64>) -> Self {
        let schedule = &plan.spec.schedule;
        let samples = plan.sets.get("train").map_or(0, |train| train.len());
        let micro = match schedule.last {
            Last::Pad => samples.div_ceil(schedule.batch),
            Last::Drop => samples / schedule.batch,
        };
        let per_epoch = micro.div_ceil(schedule.accumulate) as u64;
        let (total, epochs) = match (epochs, steps) {
            (Some(epochs), _) => (epochs.saturating_mul(per_epoch), epochs),
            (None, steps) => {
                let steps = steps.unwrap_or(0);
                (steps, steps.div_ceil(per_epoch.max(1)))
            }
        };
        Self { per_epoch, total, epochs }
    }
}
