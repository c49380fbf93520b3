//! `resize`: to a shorter side or to a size.

use super::emit::{resize_to, sides};
use super::resample::{Interpolation, Window, resample, shorter_side};
use super::{Image, Item, ItemType, Size, Transform};
use crate::diag::Result;
use crate::ir::{Builder, ValueId};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Resize>("resize", Some("size"), DOC),
    build: |value| {
        let this: Resize = decode(value)?;
        this.size.checked()?;
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
Resizes an image.

A single number is the length of the shorter side; the longer one is truncated to keep the ratio. Two numbers are height and width. \
With `antialias`, the default, the filter grows with the reduction, as Pillow's always does; then `bicubic` and `nearest` give \
Pillow's pixels and `bilinear` is within one level of them. Source: torchvision's Resize on images of Pillow 13.

```yaml
transforms:
  - resize: 256
  - resize: {size: [224, 320], interpolation: bicubic}
```";

/// Configuration of `resize`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resize {
    /// Length of the shorter side, or height and width.
    #[schemars(extend("unit" = "pixels"))]
    size: Size,
    /// Filter, `bilinear` unless given.
    #[serde(default)]
    interpolation: Interpolation,
    /// Whether the filter grows with the reduction; without effect on `nearest`.
    #[serde(default = "yes")]
    antialias: bool,
}

fn yes() -> bool {
    true
}

impl Resize {
    fn target(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        match self.size {
            Size::Side(side) => shorter_side(height, width, side),
            Size::Both([height, width]) => Ok((height, width)),
        }
    }
}

impl Transform for Resize {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let image: Image = item.into_image("resize")?;
        let target = self.target(image.height, image.width)?;
        if target == (image.height, image.width) {
            return Ok(Item::Image(image));
        }
        resample(&image, Window::whole(&image), target, self.interpolation, self.antialias).map(Item::Image)
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        let (h, w, channels) = input.image("resize")?;
        let size = match (self.size, h, w) {
            (Size::Both([h, w]), ..) => Some((h, w)),
            (Size::Side(side), Some(h), Some(w)) => Some(shorter_side(h, w, side)?),
            _ => None,
        };
        Ok(ItemType::Image { h: size.map(|s| s.0), w: size.map(|s| s.1), channels })
    }

    fn emit(&self, b: &mut Builder, x: ValueId, _: &ItemType) -> Result<Option<ValueId>> {
        let target = match self.size {
            Size::Both([height, width]) => b.ints(&[height as i64, width as i64]),
            Size::Side(side) => {
                // sides · side / shortest, in whole numbers: the shorter one becomes `side`, the longer one is truncated.
                let sides = sides(b, x);
                let shortest = b.op_with("ReduceMin", &[sides], &[("keepdims", crate::ir::Attr::Int(1))]);
                let side = b.ints(&[side as i64]);
                let product = b.mul(sides, side);
                b.div(product, shortest)
            }
        };
        Ok(Some(resize_to(b, x, target, self.interpolation, self.antialias)))
    }
}
