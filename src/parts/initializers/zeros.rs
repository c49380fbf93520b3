//! Zeros everywhere.
//!
//! A last layer of zeros starts with equal scores for every class.
//!
//! ```yaml
//! stack: [{linear: 10, init: zeros}]
//! ```

use super::{Fans, Initializer};
use crate::diag::Result;
use crate::parts::decode;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Zeros everywhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Zeros {}

pub(super) fn build(config: &Value) -> Result<Box<dyn Initializer>> {
    Ok(Box::new(decode::<Zeros>(config)?))
}

impl Initializer for Zeros {
    fn fill(&self, _fans: Fans, weight: &mut [f32], _rng: &mut Rng) {
        weight.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::initializers::tests::moments;
    use serde_json::json;

    #[test]
    fn every_element_is_the_same() {
        let (mean, deviation, largest) = moments(build(&json!({})).unwrap().as_ref());
        assert_eq!((mean, deviation, largest), (0.0, 0.0, 0.0));
    }
}
