//! One value everywhere.
//!
//! ```yaml
//! stack: [{linear: 10, init: {constant: 0.01}}]
//! ```

use super::{Fans, Initializer};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// One value everywhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Constant {
    /// The value.
    value: f32,
}

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(decode::<Constant>(config)?))
}

impl Initializer for Constant {
    fn fill(&self, _fans: Fans, weight: &mut [f32], _rng: &mut Rng) {
        weight.fill(self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::tests::moments;
    use serde_json::json;

    #[test]
    fn every_element_is_the_same() {
        let (mean, deviation, largest) = moments(build(&json!({"value": 0.25})).unwrap().as_ref());
        assert_eq!((mean, deviation, largest), (0.25, 0.0, 0.25));
    }
}
