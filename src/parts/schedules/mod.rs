//! Learning-rate curves.

mod constant;
mod cosine;
mod linear;
mod step;
mod warmup;

use super::{Family, Row};

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
        const ROWS: &[Row<dyn Schedule>] = &[constant::ROW, cosine::ROW, linear::ROW, step::ROW];
        ROWS
    }
}
