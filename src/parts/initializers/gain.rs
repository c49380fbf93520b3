//! What Kaiming's initialisers know of a layer: which fan counts and what follows.

use super::Fans;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which fan keeps its variance.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Mode {
    /// Forward: the inputs of one output.
    #[default]
    FanIn,
    /// Backward: the outputs of one input.
    FanOut,
}

impl Mode {
    /// The fan, at least 1.
    pub(super) fn fan(self, fans: Fans) -> f64 {
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
pub(super) enum Nonlinearity {
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
    pub(super) fn gain(self, a: f64) -> f64 {
        match self {
            Nonlinearity::LeakyRelu => (2.0 / (1.0 + a * a)).sqrt(),
            Nonlinearity::Relu => std::f64::consts::SQRT_2,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Linear => 1.0,
        }
    }
}
