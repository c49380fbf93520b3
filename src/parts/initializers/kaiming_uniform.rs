//! Kaiming's uniform distribution, as `torch.nn.init.kaiming_uniform_`: keeps the variance through rectifiers.
//!
//! w ~ U(−b, b), b = gain·√(3/fan), fan as `mode` says; gain is √2 for `relu`, √(2/(1 + a²)) for `leaky_relu`, 5/3 for `tanh`, 1 for `linear`.
//! Source: He et al., "Delving deep into rectifiers", 2015.
//!
//! ```yaml
//! stack: [{conv: {channels: 32, kernel: 3}, init: {kaiming_uniform: {mode: fan_out, nonlinearity: relu}}}]
//! ```

use super::gain::Kaiming;
use super::{Fans, Initializer, draw_uniform};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use serde_json::Value;

/// Kaiming's uniform distribution.
struct KaimingUniform(Kaiming);

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(KaimingUniform(decode(config)?)))
}

impl Initializer for KaimingUniform {
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng) {
        draw_uniform(3.0_f64.sqrt() * self.0.deviation(fans), weight, rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::gain::tests::kaiming;
    use crate::parts::initializers::tests::{Shape, check};

    #[test]
    fn moments_are_those_of_the_distribution() {
        check(build, Shape::Uniform, &kaiming());
    }
}
