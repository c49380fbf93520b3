//! Initial values of new parameters, drawn from the counted generator.

use super::{Family, Row};
use crate::world::rng::Rng;

/// Fan of a weight as torch counts it: for [out, in, k…] fan_in = in·∏k, fan_out = out·∏k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fans {
    /// Inputs of one output.
    pub fan_in: usize,
    /// Outputs of one input.
    pub fan_out: usize,
}

/// An initialiser of a weight.
pub trait Initializer: Send + Sync {
    /// Fills a weight of the given fans in element order.
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng);
}

/// The family of initialisers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Initializers;

impl Family for Initializers {
    type Item = dyn Initializer;
    const NAME: &'static str = "initialiser";
    fn rows() -> &'static [Row<dyn Initializer>] {
        &[]
    }
}
