//! Xavier's normal distribution, as `torch.nn.init.xavier_normal_`: keeps the variance in both directions.
//!
//! w ~ N(0, s²), s = gain·√(2/(fan_in + fan_out)).
//! Source: Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
//!
//! ```yaml
//! stack: [{linear: 10, init: xavier_normal}]
//! ```

use super::{Fans, Initializer, draw_normal};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Xavier's normal distribution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct XavierNormal {
    /// Factor on the spread.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    gain: f64,
}

fn one() -> f64 {
    1.0
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(decode::<XavierNormal>(config)?))
}

impl Initializer for XavierNormal {
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng) {
        draw_normal(0.0, self.gain * (2.0 / fans.sum()).sqrt(), weight, rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::tests::{Shape, check};
    use serde_json::json;

    #[test]
    fn moments_are_those_of_the_distribution() {
        let plain = (2.0_f64 / 250.0).sqrt();
        check(build, Shape::Normal, &[(json!({}), plain), (json!({"gain": 2.0}), 2.0 * plain)]);
    }
}
