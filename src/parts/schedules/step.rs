//! Drops by a factor every few epochs, as `torch.optim.lr_scheduler.StepLR`.
//!
//! factor = gamma^⌊epoch / every⌋, epochs counted from 0.
//!
//! ```yaml
//! schedule: {epochs: 90, batch: 256, lr: {step: {every: 30, gamma: 0.1}}}
//! ```

use super::{Position, Schedule};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Drops by a factor every few epochs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepDecay {
    /// Epochs between two drops.
    #[schemars(range(min = 1))]
    #[schemars(extend("unit" = "epochs"))]
    every: u64,
    /// Factor of a drop.
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0))]
    gamma: f64,
    /// Steps over which the rate first rises linearly from zero: a number of steps, or, below 1, a share of all
    /// steps, such as `5%`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    warmup: f64,
}

fn tenth() -> f64 {
    0.1
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Schedule>> {
    let step: StepDecay = decode(config)?;
    if step.every == 0 {
        return Err(Diagnostic::error(Code::OutOfRange, "`every` must be at least 1 epoch").at("every", ""));
    }
    Ok(Box::new(step))
}

impl Schedule for StepDecay {
    fn factor(&self, step: u64, total: u64, per_epoch: u64) -> f64 {
        let drops = step / per_epoch.max(1) / self.every;
        let factor = self.gamma.powf(drops as f64);
        match Position::of(self.warmup, step, total) {
            Position::Warming(warming) => warming * factor,
            Position::At(_) => factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::schedules::tests::close;
    use serde_json::json;

    #[test]
    fn it_drops_at_whole_epochs() {
        let lr = build(&json!({"every": 2, "gamma": 0.5})).unwrap();
        close(lr.as_ref(), 12, 2, &[1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]);
        assert!(build(&json!({"every": 0})).is_err());
    }
}
