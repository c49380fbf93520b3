//! Optimizers: update rules over one parameter's elements, driven by the runtime.

mod adam;
mod adamw;
mod sgd;

use super::{Family, Row};

/// What a rule needs to know at one step for one parameter.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Learning rate at this step, schedule included.
    pub lr: f64,
    /// Decoupled weight decay, group included.
    pub weight_decay: f64,
    /// Updates that this parameter has had before, 0 at the first.
    pub count: u64,
    /// Factor on the gradient (1 / loss scale × clipping).
    pub scale: f64,
}

/// An update rule. State tensors have the parameter's shape and start at zero.
pub trait Optimizer: Send + Sync {
    /// Base learning rate.
    fn lr(&self) -> f64;
    /// Base decoupled weight decay.
    fn weight_decay(&self) -> f64;
    /// Names of the state tensors, such as `momentum`.
    fn states(&self) -> &'static [&'static str];
    /// Updates `param` in place from `grad` (∂R already added, not yet scaled); all slices have one length, elementwise,
    /// so that chunks may be updated in any order.
    fn update(&self, step: Step, param: &mut [f32], grad: &[f32], states: &mut [&mut [f32]]);
}

/// The family of optimizers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizers;

impl Family for Optimizers {
    type Item = dyn Optimizer;
    const NAME: &'static str = "optimizer";
    fn rows() -> &'static [Row<dyn Optimizer>] {
        const ROWS: &[Row<dyn Optimizer>] = &[adam::ROW, adamw::ROW, sgd::ROW];
        ROWS
    }
}
