//! `resize`: another size, by the shorter side or by both.

use super::resample::{Interpolation, resample, shorter_side};
use super::{Emitted, Item, ItemType, Size, Transform, image_of, image_type};
use crate::diag::Result;
use crate::ir::Builder;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `resize`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// Pixels of the shorter side (the longer one follows, rounded down), or `[height, width]`.
    pub size: Size,
    /// How pixels between pixels are made.
    #[serde(default)]
    pub interpolation: Interpolation,
}

const DOC: &str = "\
Resizes an image. One number is the length of the shorter side, the other side being
floor(size · long / short); `[height, width]` is both. Bilinear and bicubic are antialiased.

Source: torchvision `Resize` on Pillow images.

    transforms: [{resize: 256}]
    transforms: [{resize: {size: [224, 320], interpolation: bicubic}}]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Resize>("resize", Some("size"), DOC),
    build: |config| {
        let resize: Resize = decode(config)?;
        resize.size.checked()?;
        Ok(Box::new(resize))
    },
};

impl Resize {
    fn target(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        match self.size {
            Size::One(side) => shorter_side(height, width, side),
            Size::Both([height, width]) => Ok((height, width)),
        }
    }
}

impl Transform for Resize {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let image = image_of("resize", item)?;
        let (height, width) = self.target(image.height, image.width)?;
        Ok(Item::Image(resample(image, height, width, self.interpolation)?))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (height, width, channels) = image_type("resize", input)?;
        let target = match (self.size, height, width) {
            (Size::Both(sides), ..) => Some(sides.into()),
            (Size::One(side), Some(height), Some(width)) => Some(shorter_side(height, width, side)?),
            (Size::One(_), ..) => None,
        };
        Ok(ItemType::Image { height: target.map(|t| t.0), width: target.map(|t| t.1), channels })
    }

    fn emit(&self, _: Emitted, _: &mut Builder) -> Result<Option<Emitted>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, build, image};
    use super::*;
    use serde_json::json;

    #[test]
    fn halving_a_step_averages_it() {
        // Triangle of half-width 2 around the centres 1 and 3: weights 1 3 3 1 (the first and last lose one outside).
        let item = Item::Image(image(1, 4, 1, &[0, 0, 200, 200]));
        let Item::Image(out) = apply(&*build("resize", json!({"size": [1, 2]})), item).unwrap() else { panic!() };
        assert_eq!(out.data, [29, 171]);
    }

    #[test]
    fn types_follow_what_is_known() {
        let resize = build("resize", json!({"size": 256}));
        let ty = |height, width| ItemType::Image { height, width, channels: 3 };
        assert_eq!(resize.item_type(&ty(Some(375), Some(500))).unwrap(), ty(Some(256), Some(341)));
        assert_eq!(resize.item_type(&ty(None, None)).unwrap(), ty(None, None));
        let both = build("resize", json!({"size": [2, 3], "interpolation": "nearest"}));
        assert_eq!(both.item_type(&ty(None, None)).unwrap(), ty(Some(2), Some(3)));
        let array = ItemType::Array { shape: vec![3, 2, 2] };
        assert_eq!(both.item_type(&array).unwrap_err().code().id(), "P0505");
    }
}
