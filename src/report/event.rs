//! What happens during a run, in order.

use crate::diag::Diagnostic;
use crate::parts::metrics::Score;
use serde::Serialize;
use std::collections::BTreeMap;

/// Dataset → metric → value.
pub type Measures = BTreeMap<String, BTreeMap<String, Measure>>;

/// Something that happened. No field holds a time, a host or an absolute path.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins or is resumed.
    RunStarted {
        /// Name of the run.
        name: String,
        /// Steps that an earlier process has done.
        resumed_at: u64,
        /// Elements of all parameters that are trained.
        trainable: u64,
        /// Elements of all parameters that are frozen.
        frozen: u64,
    },
    /// A phase begins.
    PhaseStarted {
        /// Index of the phase, from 0.
        phase: usize,
        /// Number of phases.
        phases: usize,
        /// Optimizer steps of the phase.
        steps: u64,
        /// Optimizer steps of an epoch.
        per_epoch: u64,
    },
    /// An optimizer step is done. Values are at the weights before it.
    Step {
        /// Index of the phase, from 0.
        phase: usize,
        /// Epoch within the phase, from 1.
        epoch: u64,
        /// Optimizer steps done in the whole run, this one included.
        step: u64,
        /// Samples of this step.
        samples: u64,
        /// Data terms by name.
        loss: BTreeMap<String, f64>,
        /// Σλ·R.
        regularizer: f64,
        /// Weighted sum of the terms and the regularizer.
        objective: f64,
        /// Base learning rate × schedule.
        lr: f64,
        /// Norm of the gradient before clipping.
        grad_norm: f64,
    },
    /// An epoch is over and evaluated.
    EpochEnded {
        /// Index of the phase, from 0.
        phase: usize,
        /// Epoch within the phase, from 1.
        epoch: u64,
        /// Optimizer steps done in the whole run.
        step: u64,
        /// What was measured.
        metrics: Measures,
    },
    /// Something the user should know.
    Warning {
        /// Such as `P0311`.
        code: &'static str,
        /// One sentence.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// A model was written.
    Exported {
        /// Path within the run's folder.
        file: String,
    },
    /// The run is over.
    Finished {
        /// Optimizer steps done in the whole run.
        step: u64,
        /// What was measured on the exported weights.
        metrics: Measures,
    },
}

impl Event {
    /// The event of a warning.
    pub fn warning(diagnostic: &Diagnostic) -> Self {
        Self::Warning {
            code: diagnostic.code().id(),
            message: diagnostic.message().to_owned(),
            help: diagnostic.help_text().map(str::to_owned),
        }
    }
}

/// A measured value; NaN is written as `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Measure {
    /// One number.
    Number(f64),
    /// Counts by true class (row) and given class.
    Matrix(Vec<Vec<u64>>),
}

impl From<Score> for Measure {
    fn from(score: Score) -> Self {
        match score {
            Score::Number(value) => Self::Number(value),
            Score::Matrix(counts) => Self::Matrix(counts),
        }
    }
}
