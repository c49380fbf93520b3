//! Gaussian error linear unit, elementwise, as `torch.nn.GELU`.
//!
//! y = x·Φ(x) = x/2·(1 + erf(x/√2)); with `approximate: tanh`, x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
//! Source: Hendrycks, Gimpel, "Gaussian error linear units", 2016.
//!
//! ```yaml
//! stack: [linear: 256, gelu]
//! ```

use super::Layer;
use crate::diag::Result;
use crate::ir::{Builder, DType, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Form of the unit.
#[derive(Debug, Clone, Copy, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Approximate {
    /// Exact, with the error function.
    #[default]
    None,
    /// With a hyperbolic tangent, within 5e-4 of the exact one.
    Tanh,
}

/// Gaussian error linear unit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Gelu {
    /// Which form is computed.
    #[serde(default)]
    approximate: Approximate,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Layer>> {
    Ok(Box::new(decode::<Gelu>(config)?))
}

impl Layer for Gelu {
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn build(&self, b: &mut Builder, x: ValueId, _input: &[usize], _params: &[ValueId]) -> Result<ValueId> {
        let constant = |b: &mut Builder, value: f64| b.scalar(DType::F32, value);
        let inner = match self.approximate {
            Approximate::None => {
                let root = constant(b, std::f64::consts::SQRT_2);
                let scaled = b.div(x, root);
                b.erf(scaled)
            }
            Approximate::Tanh => {
                let square = b.mul(x, x);
                let cube = b.mul(square, x);
                let weight = constant(b, 0.044_715);
                let cube = b.mul(cube, weight);
                let sum = b.add(x, cube);
                let root = constant(b, (2.0 / std::f64::consts::PI).sqrt());
                let scaled = b.mul(sum, root);
                b.tanh(scaled)
            }
        };
        let (one, half) = (constant(b, 1.0), constant(b, 0.5));
        let gate = b.add(inner, one);
        let halved = b.mul(x, half);
        Ok(b.mul(halved, gate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::layers::tests::ops;
    use serde_json::json;

    #[test]
    fn it_is_written_in_standard_operators() {
        let exact = build(&json!({})).unwrap();
        assert_eq!(ops(exact.as_ref(), &[2, 3]).1, ["Div", "Erf", "Add", "Mul", "Mul"]);
        let tanh = build(&json!({"approximate": "tanh"})).unwrap();
        assert!(ops(tanh.as_ref(), &[2, 3]).1.contains(&"Tanh".to_owned()));
        assert!(build(&json!({"approximate": "sigmoid"})).is_err());
    }
}
