//! Kaiming's normal distribution, as `torch.nn.init.kaiming_normal_`: keeps the variance through rectifiers.
//!
//! w ~ N(0, s²), s = gain/√fan, fan as `mode` says; gain is √2 for `relu`, √(2/(1 + a²)) for `leaky_relu`, 5/3 for `tanh`, 1 for `linear`.
//! Source: He et al., "Delving deep into rectifiers", 2015.
//!
//! ```yaml
//! stack: [{conv: {channels: 32, kernel: 3}, init: {kaiming_normal: {mode: fan_out, nonlinearity: relu}}}]
//! ```

use super::gain::Kaiming;
use super::{Fans, Initializer, draw_normal};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use serde_json::Value;

/// Kaiming's normal distribution.
struct KaimingNormal(Kaiming);

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(KaimingNormal(decode(config)?)))
}

impl Initializer for KaimingNormal {
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng) {
        draw_normal(0.0, self.0.deviation(fans), weight, rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::gain::tests::kaiming;
    use crate::parts::initializers::tests::{Shape, check};

    #[test]
    fn moments_are_those_of_the_distribution() {
        check(build, Shape::Normal, &kaiming());
    }
}
