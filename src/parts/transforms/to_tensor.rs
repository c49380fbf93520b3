//! `to_tensor`: an image of bytes H × W × C becomes an array of numbers in [0, 1], C × H × W.

use super::{Emitted, Item, ItemType, Transform, image_of, image_type, shape_error};
use crate::diag::Result;
use crate::ir::{Builder, DType};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `to_tensor` has nothing to configure.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToTensor {}

const DOC: &str = "\
Turns an image of bytes (H × W × C) into numbers between 0 and 1 (C × H × W): x = byte / 255.

Source: torchvision `ToTensor`.

    transforms: [{resize: 256}, {center_crop: 224}, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<ToTensor>("to_tensor", None, DOC),
    build: |config| Ok(Box::new(decode::<ToTensor>(config)?)),
};

impl Transform for ToTensor {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let image = image_of("to_tensor", item)?;
        let (channels, pixels) = (image.channels, image.height * image.width);
        let mut data = vec![0.0; image.data.len()];
        for (channel, plane) in data.chunks_exact_mut(pixels).enumerate() {
            for (out, pixel) in plane.iter_mut().zip(image.data.chunks_exact(channels)) {
                *out = f32::from(pixel[channel]) / 255.0;
            }
        }
        Ok(Item::Array { shape: vec![channels, image.height, image.width], data })
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (height, width, channels) = image_type("to_tensor", input)?;
        let (Some(height), Some(width)) = (height, width) else {
            return Err(shape_error("images of different sizes cannot form a batch")
                .help("add `resize: [height, width]`, or `resize` and `center_crop`, before `to_tensor`"));
        };
        Ok(ItemType::Array { shape: vec![channels, height, width] })
    }

    fn emit(&self, emitted: Emitted, b: &mut Builder) -> Result<Option<Emitted>> {
        let emitted = emitted.expect_pixels("to_tensor")?;
        let scale = b.scalar(DType::F32, 255.0);
        Ok(Some(Emitted { pixels: false, ..emitted.with(b.div(emitted.value, scale)) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, image};
    use super::*;

    #[test]
    fn channels_come_first_and_255_is_1() {
        let pixels = image(1, 2, 3, &[0, 51, 255, 102, 153, 204]);
        let Item::Array { shape, data } = apply(&ToTensor {}, Item::Image(pixels)).unwrap() else { panic!() };
        assert_eq!(shape, [3, 1, 2]);
        assert_eq!(data, [0.0, 0.4, 0.2, 0.6, 1.0, 0.8]);
    }

    #[test]
    fn sizes_must_be_known() {
        let unknown = ItemType::Image { height: None, width: Some(2), channels: 3 };
        assert_eq!(ToTensor {}.item_type(&unknown).unwrap_err().code().id(), "P0505");
    }
}
