//! Optimizers: update rules over one parameter's elements, driven by the runtime.

mod adam;
mod adamw;
mod sgd;

use super::head::head;
use super::{Family, Kind, Row};

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

impl Step {
    /// What decay leaves of a weight: 1 − lr·weight_decay.
    #[must_use]
    pub fn keep(&self) -> f64 {
        1.0 - self.lr * self.weight_decay
    }
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
    /// The same in CUDA C, for `kernels/cuda/update.cu`: `prepare` makes up to eight constants of a parameter from its rate, decay and count,
    /// `rule` moves one element `w` by its gradient `g` and its states `a` and `b`.
    fn cuda(&self) -> String;
}

/// A double as CUDA C.
fn literal(value: f64) -> String {
    // Rust writes as many digits as tell the number from its neighbours.
    format!("{value:e}")
}

/// The family of optimizers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizers;

impl Family for Optimizers {
    type Item = dyn Optimizer;
    const NAME: &'static str = "optimizer";
    fn rows() -> &'static [Row<dyn Optimizer>] {
        const ROWS: &[Row<dyn Optimizer>] = &[
            Row { kind: Kind::of::<adam::Adam>("adam", Some("lr"), head!("adam.rs")), build: adam::build },
            Row { kind: Kind::of::<adamw::AdamW>("adamw", Some("lr"), head!("adamw.rs")), build: adamw::build },
            Row { kind: Kind::of::<sgd::Sgd>("sgd", Some("lr"), head!("sgd.rs")), build: sgd::build },
        ];
        ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::{Optimizer, Step};

    /// Weights after `steps` updates from gradients that depend on the weights.
    pub(super) fn run(rule: &dyn Optimizer, start: &[f32], steps: u64, grad: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
        let mut param = start.to_vec();
        let mut states = vec![vec![0.0; start.len()]; rule.states().len()];
        for count in 0..steps {
            let grad = grad(&param);
            let step = Step { lr: rule.lr(), weight_decay: rule.weight_decay(), count, scale: 1.0 };
            let mut slices: Vec<&mut [f32]> = states.iter_mut().map(Vec::as_mut_slice).collect();
            rule.update(step, &mut param, &grad, &mut slices);
        }
        param
    }

    pub(super) fn close(seen: &[f32], wanted: &[f32], tolerance: f32) {
        assert_eq!(seen.len(), wanted.len());
        for (a, b) in seen.iter().zip(wanted) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{seen:?} is not {wanted:?}");
        }
    }
}
