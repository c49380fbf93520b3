//! Kaiming's uniform distribution, as `torch.nn.init.kaiming_uniform_`: keeps the variance through rectifiers.
//!
//! w ~ U(−b, b), b = gain·√(3/fan), fan as `mode` says; gain is √2 for `relu`, √(2/(1 + a²)) for `leaky_relu`, 5/3 for `tanh`, 1 for `linear`.
//! Source: He et al., "Delving deep into rectifiers", 2015.
//!
//! ```yaml
//! stack: [{conv: {channels: 32, kernel: 3}, init: {kaiming_uniform: {mode: fan_out, nonlinearity: relu}}}]
//! ```

use super::gain::{Mode, Nonlinearity};
use super::{Fans, Initializer, draw_uniform};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Kaiming's uniform distribution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KaimingUniform {
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
    Ok(Box::new(decode::<KaimingUniform>(config)?))
}

impl Initializer for KaimingUniform {
    fn fill(&self, fans: Fans, weight: &mut [f32], rng: &mut Rng) {
        let deviation = self.nonlinearity.gain(self.a) / self.mode.fan(fans).sqrt();
        draw_uniform(3.0_f64.sqrt() * deviation, weight, rng);
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
            assert!(seen.2 <= deviation * 3.0_f64.sqrt() && seen.2 > deviation * 1.72, "{config}: {seen:?}");
        }
    }
}
