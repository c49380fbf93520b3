//! What a run says while it runs. `report` folds these into a terminal and files.

use super::profile::ProfileTable;
use crate::diag::{Diagnostic, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Scores of one dataset: numbers by metric, and matrices apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Metric → value; `loss` and every term are always there.
    #[serde(deserialize_with = "numbers")]
    pub numbers: BTreeMap<String, f64>,
    /// Metric → matrix, rows are true classes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrices: BTreeMap<String, Vec<Vec<u64>>>,
}

/// JSON has no NaN: what is `null` was one.
fn numbers<'d, D: Deserializer<'d>>(from: D) -> std::result::Result<BTreeMap<String, f64>, D::Error> {
    let found: BTreeMap<String, Option<f64>> = BTreeMap::deserialize(from)?;
    Ok(found.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// Something that happened. Nothing in it depends on clock, host or path.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step of the plan began; `total` counts what it will report as progress, 0 when unknown.
    Began {
        /// Such as `features train`.
        what: String,
        /// Units of progress.
        total: u64,
    },
    /// Some units of the step that began are done.
    Progress {
        /// How many in all.
        done: u64,
    },
    /// A step of the plan was served from the cache.
    Cached {
        /// Such as `features train`.
        what: String,
        /// The lines of `metrics.jsonl` that it wrote when it ran.
        #[serde(skip)]
        lines: Vec<u8>,
    },
    /// Another process makes what a step of the plan needs, and is waited for.
    Waiting {
        /// Such as `features train`.
        what: String,
    },
    /// A phase begins.
    Phase {
        /// From 1.
        phase: usize,
        /// Elements that are trained.
        trained: u64,
        /// Optimizer steps of the phase.
        steps: u64,
    },
    /// A phase that is under way goes on with another length than it began with.
    Extended {
        /// From 1.
        phase: usize,
        /// Optimizer steps of the phase.
        steps: u64,
    },
    /// One optimizer step, measured at the weights before the update.
    Step {
        /// From 1.
        phase: usize,
        /// Epoch of the phase, from 1.
        epoch: u64,
        /// Optimizer step of the run, from 1.
        step: u64,
        /// Sum of the weighted terms.
        loss: f64,
        /// Terms by name, unweighted.
        terms: BTreeMap<String, f64>,
        /// λ·R.
        regularizer: f64,
        /// loss + regularizer.
        objective: f64,
        /// Learning rate of the optimizer at this step.
        lr: f64,
        /// Norm of the gradient before clipping; none of a step that was left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        grad_norm: Option<f64>,
        /// Samples of the step.
        samples: usize,
        /// Whether it was left out: in half precision its gradients went beyond what f16 holds, and the factor on the loss is lower since.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        skipped: bool,
    },
    /// A dataset was measured.
    Evaluated {
        /// From 1; 0 before training.
        phase: usize,
        /// Epoch of the phase, from 1; 0 before training.
        epoch: u64,
        /// The dataset.
        dataset: String,
        /// What was found.
        scores: Scores,
        /// Whether this is the final evaluation, of the exported weights.
        last: bool,
    },
    /// A phase ended before its last epoch.
    Stopped {
        /// From 1.
        phase: usize,
        /// Epoch of the phase, from 1.
        epoch: u64,
        /// What was watched.
        watch: String,
        /// Its best value.
        best: f64,
    },
    /// Where the time of a training step went.
    #[serde(skip)]
    Profiled {
        /// From 1.
        phase: usize,
        /// The trace in the run's folder.
        file: String,
        /// Operators, longest first.
        table: ProfileTable,
    },
    /// A trial of a sweep came to an end, or to a halt.
    #[serde(skip)]
    Trial {
        /// From 1.
        trial: usize,
        /// How many there are.
        of: usize,
        /// What is tried in it.
        name: String,
        /// What came out.
        text: String,
    },
    /// Something is odd.
    #[serde(skip)]
    Warning(Diagnostic),
    /// A file of the run was written.
    Wrote {
        /// Its name in the run's folder.
        file: String,
    },
}

/// Takes events.
pub trait Sink {
    /// One event, in order.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn event(&mut self, event: &Event) -> Result<()>;
    /// Bytes of metrics that are safe on disk after this call, for checkpoints.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn flush(&mut self) -> Result<u64> {
        Ok(0)
    }
}

/// Forgets everything.
impl Sink for () {
    fn event(&mut self, _: &Event) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_was_left_out_says_so_and_others_are_written_as_ever() {
        let line = |grad_norm: Option<f64>| {
            let step = Event::Step {
                phase: 1,
                epoch: 1,
                step: 1,
                loss: 0.5,
                terms: BTreeMap::new(),
                regularizer: 0.0,
                objective: 0.5,
                lr: 0.25,
                grad_norm,
                samples: 2,
                skipped: grad_norm.is_none(),
            };
            serde_json::to_string(&step).unwrap()
        };
        assert!(line(Some(2.0)).ends_with(r#""lr":0.25,"grad_norm":2.0,"samples":2}"#), "{}", line(Some(2.0)));
        assert!(line(None).ends_with(r#""lr":0.25,"samples":2,"skipped":true}"#), "{}", line(None));
    }
}
