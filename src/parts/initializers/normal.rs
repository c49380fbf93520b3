//! Normal distribution.
//!
//! w ~ N(mean, std²).
//!
//! ```yaml
//! stack: [{linear: 10, init: {normal: {std: 0.02}}}]
//! ```

use super::{Fans, Initializer, draw_normal};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Normal distribution.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Normal {
    /// Mean of the distribution.
    #[serde(default)]
    mean: f64,
    /// Standard deviation of the distribution.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    std: f64,
}

fn one() -> f64 {
    1.0
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(decode::<Normal>(config)?))
}

impl Initializer for Normal {
    fn fill(&self, _fans: Fans, weight: &mut [f32], rng: &mut Rng) {
        draw_normal(self.mean, self.std, weight, rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::tests::moments;
    use serde_json::json;

    #[test]
    fn moments_are_those_of_the_distribution() {
        for (config, mean, deviation) in [(json!({}), 0.0, 1.0), (json!({"mean": 3.0, "std": 0.5}), 3.0, 0.5)] {
            let seen = moments(build(&config).unwrap().as_ref());
            assert!((seen.0 - mean).abs() < 0.03 * deviation, "{config}: {seen:?}");
            assert!((seen.1 / deviation - 1.0).abs() < 0.02, "{config}: {seen:?} is not {deviation}");
        }
    }
}
