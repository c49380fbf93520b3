//! What Kaiming's initialisers are configured with: which fan counts and what follows the layer.

use super::Fans;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which fan keeps its variance.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Mode {
    /// Forward: the inputs of one output.
    #[default]
    FanIn,
    /// Backward: the outputs of one input.
    FanOut,
}

impl Mode {
    /// The fan, at least 1.
    fn fan(self, fans: Fans) -> f64 {
        let fan = match self {
            Mode::FanIn => fans.fan_in,
            Mode::FanOut => fans.fan_out,
        };
        fan.max(1) as f64
    }
}

/// What follows a layer.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Nonlinearity {
    /// A rectifier with the slope `a` below zero.
    #[default]
    LeakyRelu,
    /// A rectifier.
    Relu,
    /// A hyperbolic tangent.
    Tanh,
    /// Nothing, or a sigmoid.
    Linear,
}

impl Nonlinearity {
    /// torch's `calculate_gain`.
    fn gain(self, a: f64) -> f64 {
        match self {
            Nonlinearity::LeakyRelu => (2.0 / (1.0 + a * a)).sqrt(),
            Nonlinearity::Relu => std::f64::consts::SQRT_2,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Linear => 1.0,
        }
    }
}

/// Configuration of both distributions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kaiming {
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

impl Kaiming {
    /// gain/√fan.
    pub(super) fn deviation(&self, fans: Fans) -> f64 {
        self.nonlinearity.gain(self.a) / self.mode.fan(fans).sqrt()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    /// Configurations and the deviations that they give for fan_in 50 and fan_out 200.
    pub(in crate::parts::initializers) fn kaiming() -> Vec<(Value, f64)> {
        vec![
            (json!({}), (2.0_f64 / 50.0).sqrt()),
            (json!({"mode": "fan_out", "nonlinearity": "relu"}), (2.0_f64 / 200.0).sqrt()),
            (json!({"a": 5.0_f64.sqrt()}), (1.0_f64 / 150.0).sqrt()),
            (json!({"nonlinearity": "tanh"}), 5.0 / 3.0 / 50.0_f64.sqrt()),
            (json!({"nonlinearity": "linear", "a": 9}), (1.0_f64 / 50.0).sqrt()),
        ]
    }
}
