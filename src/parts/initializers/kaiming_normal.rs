//! Kaiming's normal distribution, as `torch.nn.init.kaiming_normal_`: keeps the variance through rectifiers.
//!
//! w ~ N(0, s²), s = gain/√fan, fan as `mode` says; gain is √2 for `relu`, √(2/(1 + a²)) for `leaky_relu`, 5/3 for `tanh`, 1 for `linear`.
//! Source: He et al., "Delving deep into rectifiers", 2015.
//!
//! ```yaml
//! stack: [{conv: {channels: 32, kernel: 3}, init: {kaiming_normal: {mode: fan_out, nonlinearity: relu}}}]
//! ```

use super::gain::{Mode, Nonlinearity};
use super::{Fans, Initializer, draw_normal};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Kaiming's normal distribution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KaimingNormal {
    /// Slope below zero of `leaky_relu`.
    #[serde(default)]
    a: f64,
    /// Which fan keeps its variance.
    #[serde(default)]
    mode: Mode,
    /// What follows the layer.
    #[serde(default)]
    nonlinearity: Nonlinearity,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(decode::<KaimingNormal>(config)?))
}

impl Initializer for KaimingNormal {
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng) {
        let deviation = self.nonlinearity.gain(self.a) / self.mode.fan(fans).sqrt();
        draw_normal(0.0, deviation, weight, rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::tests::moments;
    use serde_json::json;

    #[test]
    fn moments_are_those_of_the_distribution() {
        for (config, mean, deviation) in [
            (json!({}), 0.0, (2.0_f64 / 50.0).sqrt()),
            (json!({"mode": "fan_out", "nonlinearity": "relu"}), 0.0, (2.0_f64 / 200.0).sqrt()),
            (json!({"a": 5.0_f64.sqrt()}), 0.0, (1.0_f64 / 150.0).sqrt()),
            (json!({"nonlinearity": "tanh"}), 0.0, 5.0 / 3.0 / 50.0_f64.sqrt()),
            (json!({"nonlinearity": "linear", "a": 9}), 0.0, (1.0_f64 / 50.0).sqrt()),
        ] {
            let seen = moments(build(&config).unwrap().as_ref());
            assert!((seen.0 - mean).abs() < 0.03 * deviation, "{config}: {seen:?}");
            assert!((seen.1 / deviation - 1.0).abs() < 0.02, "{config}: {seen:?} is not {deviation}");
        }
    }
}
