//! `to_tensor`: pixels to numbers.

use super::{Item, ItemType, Transform};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, ValueId};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> =
    Row { kind: Kind::of::<ToTensor>("to_tensor", None, DOC), build: |value| Ok(Box::new(decode::<ToTensor>(value)?)) };

const DOC: &str = "\
Turns an image into an array f32 [C, H, W] of values v / 255.

Source: torchvision's ToTensor.

```yaml
transforms: [to_tensor]
```";

/// Configuration of `to_tensor`: nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToTensor {}

impl Transform for ToTensor {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let image = item.into_image("to_tensor")?;
        let plane = image.height * image.width;
        let mut data = vec![0.0; plane * image.channels];
        if image.channels == 1 {
            for (out, value) in data.iter_mut().zip(&image.data) {
                *out = f32::from(*value) / 255.0;
            }
        } else {
            let (red, rest) = data.split_at_mut(plane);
            let (green, blue) = rest.split_at_mut(plane);
            let planes = red.iter_mut().zip(green).zip(blue);
            for (((r, g), b), pixel) in planes.zip(image.data.chunks_exact(3)) {
                *r = f32::from(pixel[0]) / 255.0;
                *g = f32::from(pixel[1]) / 255.0;
                *b = f32::from(pixel[2]) / 255.0;
            }
        }
        Ok(Item::Array { shape: vec![image.channels, image.height, image.width], data })
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        match input.image("to_tensor")? {
            (Some(h), Some(w), channels) => Ok(ItemType::Array { shape: vec![channels, h, w] }),
            _ => Err(Diagnostic::error(Code::DataShape, "the images that reach `to_tensor` differ in size")
                .help("put `resize: [height, width]`, or `resize` and `center_crop`, before `to_tensor`")),
        }
    }

    fn emit(&self, b: &mut Builder, x: ValueId, _: &ItemType) -> Result<Option<ValueId>> {
        let full = b.scalar(DType::F32, 255.0);
        Ok(Some(b.div(x, full)))
    }
}
