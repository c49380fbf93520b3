//! Mean squared error, as `torch.nn.MSELoss`.
//!
//! ℓ = Σ_u (x_u − y_u)²/U over the U units of a sample.
//!
//! ```yaml
//! loss: mse
//! ```

use super::{Labels, Loss, mean, rows};
use crate::diag::Result;
use crate::ir::{Builder, ValueId};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Mean squared error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mse {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Loss>> {
    Ok(Box::new(decode::<Mse>(config)?))
}

impl Loss for Mse {
    fn labels(&self) -> Labels {
        Labels::Values
    }

    fn classifies(&self) -> bool {
        false
    }

    fn check(&self, output: &[usize]) -> Result<()> {
        super::units("mse", output).map(|_| ())
    }

    fn build(&self, b: &mut Builder, output: ValueId, labels: ValueId, shape: &[usize]) -> Result<ValueId> {
        self.check(shape)?;
        let (values, units) = rows(b, output, shape);
        let error = b.sub(values, labels);
        let square = b.mul(error, error);
        Ok(mean(b, square, units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Tensor;
    use crate::parts::losses::evaluate::{close, per_sample};
    use serde_json::json;

    #[test]
    fn squares_are_averaged_over_units() {
        let mse = build(&json!({})).unwrap();
        let labels = Tensor::new([2, 2], &[1.0_f32, 2.0, 0.0, 0.0]);
        close(&per_sample(mse.as_ref(), &[2.0, 5.0, 0.0, -4.0], &[2, 2], &labels), &[5.0, 8.0], 1e-6);
        let labels = Tensor::new([2, 1], &[1.0_f32, 2.0]);
        close(&per_sample(mse.as_ref(), &[2.0, 5.0], &[2], &labels), &[1.0, 9.0], 1e-6);
        assert!(mse.check(&[2, 3, 4]).is_err());
    }
}
