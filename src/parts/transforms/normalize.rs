//! `normalize`: (x − mean) / std for each channel.

use super::{Emitted, Item, ItemType, Transform, shape_error};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, Tensor};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `normalize`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// What is subtracted: one number, or one for each channel.
    pub mean: PerChannel,
    /// What is divided by: one number, or one for each channel.
    pub std: PerChannel,
}

/// `0.5` or `[0.485, 0.456, 0.406]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerChannel {
    /// The same for every channel.
    One(f32),
    /// One for each channel.
    Each(#[schemars(length(min = 1))] Vec<f32>),
}

const DOC: &str = "\
Shifts and scales each channel: y = (x − mean) / std. It takes arrays whose first dimension is the channel,
so `to_tensor` stands before it where data are images.

Source: torchvision `Normalize`.

    transforms: [to_tensor, {normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}]
    transforms: [{normalize: {mean: 0.5, std: 0.25}}]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Normalize>("normalize", None, DOC),
    build: |config| Ok(Box::new(decode::<Normalize>(config)?.checked()?)),
};

impl PerChannel {
    fn values(&self) -> &[f32] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }

    fn of(&self, channel: usize) -> f32 {
        match self {
            Self::One(value) => *value,
            Self::Each(values) => values[channel],
        }
    }

    fn fits(&self, channels: usize) -> bool {
        match self {
            Self::One(_) => true,
            Self::Each(values) => values.len() == channels,
        }
    }
}

impl Normalize {
    fn checked(self) -> Result<Self> {
        let wrong = |message: &str| Err(Diagnostic::error(Code::OutOfRange, message));
        if !self.mean.values().iter().chain(self.std.values()).all(|value| value.is_finite()) {
            return wrong("`mean` and `std` are finite numbers");
        }
        if self.std.values().iter().any(|std| *std <= 0.0) {
            return wrong("`std` is above 0");
        }
        match (&self.mean, &self.std) {
            (PerChannel::Each(mean), PerChannel::Each(std)) if mean.len() != std.len() => {
                wrong(&format!("`mean` has {} numbers and `std` has {}", mean.len(), std.len()))
            }
            _ if self.mean.values().is_empty() || self.std.values().is_empty() => {
                wrong("`mean` and `std` have numbers")
            }
            _ => Ok(self),
        }
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        let channels = shape.first().copied().unwrap_or(1);
        if self.mean.fits(channels) && self.std.fits(channels) {
            return Ok(());
        }
        let wanted = self.mean.values().len().max(self.std.values().len());
        Err(shape_error(format!("`normalize` has {wanted} channels and the data have {channels}, in shape {shape:?}")))
    }
}

fn not_an_array() -> Diagnostic {
    shape_error("`normalize` takes numbers, not images").help("add `to_tensor` before it")
}

impl Transform for Normalize {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let Item::Array { shape, mut data } = item else { return Err(not_an_array()) };
        self.check(&shape)?;
        let channels = shape.first().copied().unwrap_or(1).max(1);
        let plane = (data.len() / channels).max(1);
        for (channel, values) in data.chunks_exact_mut(plane).take(channels).enumerate() {
            let (mean, std) = (self.mean.of(channel), self.std.of(channel));
            for value in values {
                *value = (*value - mean) / std;
            }
        }
        Ok(Item::Array { shape, data })
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let ItemType::Array { shape } = input else { return Err(not_an_array()) };
        self.check(shape)?;
        Ok(input.clone())
    }

    fn emit(&self, emitted: Emitted, b: &mut Builder) -> Result<Option<Emitted>> {
        if emitted.pixels {
            return Err(not_an_array());
        }
        self.check(&[emitted.channels])?;
        let mut constant = |values: &[f32]| b.constant(Tensor::new([1, values.len(), 1, 1], values));
        let (mean, std) = (constant(self.mean.values()), constant(self.std.values()));
        let centred = b.sub(emitted.value, mean);
        Ok(Some(emitted.with(b.div(centred, std))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, build, refused};
    use super::*;
    use serde_json::json;

    #[test]
    fn each_channel_has_its_own_numbers() {
        let normalize = build("normalize", json!({"mean": [1.0, 2.0], "std": [2.0, 4.0]}));
        let item = Item::Array { shape: vec![2, 1, 2], data: vec![1.0, 3.0, 2.0, 10.0] };
        let Item::Array { data, .. } = apply(&*normalize, item).unwrap() else { panic!() };
        assert_eq!(data, [0.0, 1.0, 0.0, 2.0]);
        let scalar = build("normalize", json!({"mean": 1, "std": 0.5}));
        let item = Item::Array { shape: vec![], data: vec![2.0] };
        assert_eq!(apply(&*scalar, item).unwrap(), Item::Array { shape: vec![], data: vec![2.0] });
    }

    #[test]
    fn numbers_must_make_sense_and_fit() {
        for config in [
            json!({"mean": 0, "std": 0}),
            json!({"mean": 0, "std": [1.0, -1.0]}),
            json!({"mean": [0.0, 0.0], "std": [1.0, 1.0, 1.0]}),
            json!({"mean": [], "std": 1}),
        ] {
            assert_eq!(refused("normalize", config), "P0203");
        }
        let normalize = build("normalize", json!({"mean": [1.0, 2.0], "std": 1}));
        let three = Item::Array { shape: vec![3], data: vec![0.0; 3] };
        assert_eq!(apply(&*normalize, three).unwrap_err().code().id(), "P0505");
    }
}
