//! Regularizers R(θ, φ) in parameter space, with their λ.

mod elastic_net;
mod l1;
mod l2;
mod l2_sp;

use super::head::head;
use super::{Family, Kind, Row};

/// λ·R as a sum over elements.
pub trait Regularizer: Send + Sync {
    /// Whether `start` (the pretrained values) is read. Then it is empty for a parameter that has none: one of a new layer, or
    /// one drawn anew.
    fn needs_start(&self) -> bool {
        false
    }
    /// λ·R of a chunk, summed in f64 in an order that depends on nothing but its length.
    fn value(&self, param: &[f32], start: &[f32]) -> f64;
    /// Adds ∂(λ·R)/∂w × `factor` to `grad`, elementwise.
    fn add_gradient(&self, factor: f64, param: &[f32], start: &[f32], grad: &mut [f32]);
    /// The same as coefficients, for a parameter that has a start or has none.
    fn slopes(&self, start: bool) -> Slopes;
}

/// λ·R of an element: l1·|w| + l2/2·w² + pull/2·(w − w⁰)².
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Slopes {
    /// On |w|.
    pub l1: f64,
    /// On w²/2.
    pub l2: f64,
    /// On (w − w⁰)²/2, where w⁰ is the start.
    pub pull: f64,
}

/// The family of regularizers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regularizers;

impl Family for Regularizers {
    type Item = dyn Regularizer;
    const NAME: &'static str = "regularizer";
    fn rows() -> &'static [Row<dyn Regularizer>] {
        const ROWS: &[Row<dyn Regularizer>] = &[
            Row {
                kind: Kind::of::<elastic_net::ElasticNet>("elastic_net", Some("lambda"), head!("elastic_net.rs")),
                build: elastic_net::build,
            },
            Row { kind: Kind::of::<l1::L1>("l1", Some("lambda"), head!("l1.rs")), build: l1::build },
            Row { kind: Kind::of::<l2::L2>("l2", Some("lambda"), head!("l2.rs")), build: l2::build },
            Row { kind: Kind::of::<l2_sp::L2Sp>("l2_sp", Some("lambda"), head!("l2_sp.rs")), build: l2_sp::build },
        ];
        ROWS
    }
}

/// Σ term(w) in f64.
fn sum(param: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    param.iter().map(|w| term(f64::from(*w))).sum()
}

/// −1, 0 or 1; NaN stays NaN.
fn sign(w: f32) -> f32 {
    if w == 0.0 { 0.0 } else { w.signum() }
}
