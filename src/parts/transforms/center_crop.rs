//! `center_crop`: the middle of an image.

use super::emit::{crop_to, pad_to, sides};
use super::resample::cut;
use super::{Item, ItemType, Size, Transform};
use crate::diag::Result;
use crate::ir::{Builder, DType, ValueId};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<CenterCrop>("center_crop", Some("size"), DOC),
    build: |value| {
        let this: CenterCrop = decode(value)?;
        this.size.checked()?;
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
Cuts the middle out of an image; an image that is too small is padded with 0 first.

The first row is round((height − size) / 2) with halves to even. Source: torchvision's CenterCrop.

```yaml
transforms:
  - center_crop: 224
```";

/// Configuration of `center_crop`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CenterCrop {
    /// Side of a square, or height and width.
    #[schemars(extend("unit" = "pixels"))]
    size: Size,
}

/// First position of the window on an axis of `size`; negative where it is padded.
fn start(size: usize, target: usize) -> isize {
    if size < target {
        return -(((target - size) / 2) as isize);
    }
    ((size - target) as f64 / 2.0).round_ties_even() as isize
}

impl Transform for CenterCrop {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let image = item.into_image("center_crop")?;
        let (height, width) = self.size.square();
        if (height, width) == (image.height, image.width) {
            return Ok(Item::Image(image));
        }
        let (top, left) = (start(image.height, height), start(image.width, width));
        Ok(Item::Image(cut(&image, top, left, (height, width))))
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        let (_, _, channels) = input.image("center_crop")?;
        let (height, width) = self.size.square();
        Ok(ItemType::Image { h: Some(height), w: Some(width), channels })
    }

    fn emit(&self, b: &mut Builder, x: ValueId, _: &ItemType) -> Result<Option<ValueId>> {
        let (height, width) = self.size.square();
        let target = b.ints(&[height as i64, width as i64]);
        let padded = pad_to(b, x, target);
        let sides = sides(b, padded);
        let spare = b.sub(sides, target);
        let spare = b.cast(spare, DType::F32);
        let half = b.scalar(DType::F32, 0.5);
        let middle = b.mul(spare, half);
        // ONNX rounds halves to even, as Python does.
        let middle = b.op("Round", &[middle]);
        let first = b.cast(middle, DType::I64);
        Ok(Some(crop_to(b, padded, first, target)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_torchvisions() {
        assert_eq!([start(257, 256), start(259, 256), start(261, 256), start(256, 256)], [0, 2, 2, 0]);
        assert_eq!([start(255, 256), start(253, 256)], [0, -1]);
    }
}
