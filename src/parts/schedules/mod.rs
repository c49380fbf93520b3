//! Learning-rate curves.

mod constant;
mod cosine;
mod linear;
mod step;

use super::head::head;
use super::{Family, Kind, Row};

/// A factor of the base learning rate over a phase.
pub trait Schedule: Send + Sync {
    /// Factor at optimizer step `step` (from 0) of `total`, with `per_epoch` steps an epoch.
    fn factor(&self, step: u64, total: u64, per_epoch: u64) -> f64;
}

/// The family of learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedules;

impl Family for Schedules {
    type Item = dyn Schedule;
    const NAME: &'static str = "schedule";
    fn rows() -> &'static [Row<dyn Schedule>] {
        const ROWS: &[Row<dyn Schedule>] = &[
            Row {
                kind: Kind::of::<constant::Constant>("constant", None, head!("constant.rs")),
                build: constant::build,
            },
            Row { kind: Kind::of::<cosine::Cosine>("cosine", Some("min"), head!("cosine.rs")), build: cosine::build },
            Row { kind: Kind::of::<linear::Linear>("linear", Some("to"), head!("linear.rs")), build: linear::build },
            Row { kind: Kind::of::<step::StepDecay>("step", Some("every"), head!("step.rs")), build: step::build },
        ];
        ROWS
    }
}

/// Where a step stands in a curve with a warmup.
enum Position {
    /// In the warmup, with the factor there: (step + 1) / steps of warmup.
    Warming(f64),
    /// Behind it, with the share of the remaining steps that is done, in [0, 1].
    At(f64),
}

impl Position {
    /// `warmup` is a number of steps, or, below 1, a share of `total`, rounded to whole steps.
    fn of(warmup: f64, step: u64, total: u64) -> Self {
        let warm = (if warmup < 1.0 { warmup * total as f64 } else { warmup }).round();
        let step = step as f64;
        if step < warm {
            return Self::Warming((step + 1.0) / warm);
        }
        let rest = total as f64 - warm;
        Self::At(if rest > 0.0 { ((step - warm) / rest).min(1.0) } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    /// Compares the factors of the first steps.
    pub(super) fn close(lr: &dyn Schedule, total: u64, per_epoch: u64, wanted: &[f64]) {
        for (step, wanted) in wanted.iter().enumerate() {
            let factor = lr.factor(step as u64, total, per_epoch);
            assert!((factor - wanted).abs() < 1e-12, "step {step}: {factor} is not {wanted}");
        }
    }
}
