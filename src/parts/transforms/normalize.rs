//! `normalize`: (x − mean) / std.

use super::{Item, ItemType, Transform, out_of_range};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, Tensor, ValueId};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Normalize>("normalize", None, DOC),
    build: |value| {
        let this: Normalize = decode(value)?;
        for (name, numbers) in [("mean", this.mean.numbers()), ("std", this.std.numbers())] {
            if numbers.is_empty() || numbers.iter().any(|value| !value.is_finite()) {
                return Err(out_of_range(format!("`{name}` takes finite numbers, one or one a channel")).at(name, ""));
            }
        }
        if this.std.numbers().iter().any(|value| *value <= 0.0) {
            return Err(out_of_range("`std` is divided by and must be above 0").at("std", ""));
        }
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
(x − mean) / std for each channel, the first dimension of the array.

A single number is for all channels. Source: torchvision's Normalize.

```yaml
transforms:
  - normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
```";

/// Configuration of `normalize`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Normalize {
    /// What is subtracted.
    mean: PerChannel,
    /// What is divided by.
    std: PerChannel,
}

/// A number for all channels, or one for each.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum PerChannel {
    /// For all.
    All(f32),
    /// For each.
    Each(Vec<f32>),
}

impl PerChannel {
    fn numbers(&self) -> &[f32] {
        match self {
            Self::All(number) => std::slice::from_ref(number),
            Self::Each(numbers) => numbers,
        }
    }

    fn of(&self, channel: usize) -> f32 {
        let numbers = self.numbers();
        numbers[if numbers.len() == 1 { 0 } else { channel }]
    }
}

impl Normalize {
    fn check(&self, shape: &[usize]) -> Result<usize> {
        let channels = shape.first().copied().unwrap_or(1);
        for (name, count) in [("mean", self.mean.numbers().len()), ("std", self.std.numbers().len())] {
            if count != 1 && count != channels {
                let message = format!("`{name}` has {count} numbers, the data has {channels} channels");
                let error = Diagnostic::error(Code::DataShape, message).at(name, format!("{count} numbers"));
                return Err(error.help(format!("write {channels}, one for each channel, or one number for all")));
            }
        }
        Ok(channels)
    }
}

impl Transform for Normalize {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let Item::Array { shape, mut data } = item else { return Err(needs_array()) };
        let channels = self.check(&shape)?;
        let plane = (data.len() / channels.max(1)).max(1);
        for (channel, values) in data.chunks_exact_mut(plane).enumerate() {
            let (mean, std) = (self.mean.of(channel), self.std.of(channel));
            for value in values {
                *value = (*value - mean) / std;
            }
        }
        Ok(Item::Array { shape, data })
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        let ItemType::Array { shape } = input else { return Err(needs_array()) };
        self.check(shape)?;
        Ok(input.clone())
    }

    fn emit(&self, b: &mut Builder, x: ValueId, input: &ItemType) -> Result<Option<ValueId>> {
        let ItemType::Array { shape } = input else { return Err(needs_array()) };
        self.check(shape)?;
        // [1, C, 1, …] against a batch of such arrays.
        let mut constant = |numbers: &[f32]| {
            let mut dims = vec![1; shape.len() + 1];
            if let Some(channels) = dims.get_mut(1) {
                *channels = numbers.len();
            }
            b.constant(Tensor::new(dims, numbers))
        };
        let (mean, std) = (constant(self.mean.numbers()), constant(self.std.numbers()));
        let centred = b.sub(x, mean);
        Ok(Some(b.div(centred, std)))
    }
}

fn needs_array() -> Diagnostic {
    Diagnostic::error(Code::DataShape, "`normalize` works on arrays, but an image reaches it")
        .help("put `to_tensor` before it")
}
