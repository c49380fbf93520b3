//! Data terms of the objective.

use super::{Family, Row};
use crate::diag::Result;
use crate::ir::{Builder, ValueId};

/// What labels a loss reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// int64 [N]: class indices in 0..units.
    Classes,
    /// f32 [N, units]: target values.
    Values,
}

/// A term of the objective: a weighted sum over samples, divided outside by its total weight.
pub trait Loss: Send + Sync {
    /// What it reads.
    fn labels(&self) -> Labels;
    /// Weight that a sample of this class adds to the total beside its sample weight (1 without class weights).
    fn class_weight(&self, class: i64) -> f64 {
        let _ = class;
        1.0
    }
    /// Whether an output of this shape ([N, …]) fits.
    ///
    /// # Errors
    /// `P0307`, or `P0203` when a configured list does not have an entry per unit.
    fn check(&self, output: &[usize]) -> Result<()>;
    /// Emits the per-sample losses, f32 [N], not yet weighted by sample, class weights included.
    /// `output` is f32 [N, units], `labels` as [`Loss::labels`] says.
    fn build(&self, b: &mut Builder, output: ValueId, labels: ValueId, shape: &[usize]) -> Result<ValueId>;
}

/// The family of losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses;

impl Family for Losses {
    type Item = dyn Loss;
    const NAME: &'static str = "loss";
    fn rows() -> &'static [Row<dyn Loss>] {
        &[]
    }
}
