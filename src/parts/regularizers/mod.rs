//! Regularizers R(θ, φ) in parameter space, with their λ.

mod elastic_net;
mod l1;
mod l2;
mod l2_sp;

use super::{Family, Row};

/// λ·R as a sum over elements.
pub trait Regularizer: Send + Sync {
    /// Whether `start` (the pretrained values) is read.
    fn needs_start(&self) -> bool {
        false
    }
    /// λ·R of a chunk, summed in f64 in element order. `start` is empty unless needed.
    fn value(&self, param: &[f32], start: &[f32]) -> f64;
    /// Adds ∂(λ·R)/∂w × `factor` to `grad`, elementwise.
    fn add_gradient(&self, factor: f64, param: &[f32], start: &[f32], grad: &mut [f32]);
}

/// The family of regularizers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regularizers;

impl Family for Regularizers {
    type Item = dyn Regularizer;
    const NAME: &'static str = "regularizer";
    fn rows() -> &'static [Row<dyn Regularizer>] {
        const ROWS: &[Row<dyn Regularizer>] = &[elastic_net::ROW, l1::ROW, l2::ROW, l2_sp::ROW];
        ROWS
    }
}
