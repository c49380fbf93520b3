//! `center_crop`: the middle of an image.

use super::crop::{central, crop};
use super::{Emitted, Item, ItemType, Size, Transform, image_of, image_type};
use crate::diag::Result;
use crate::ir::Builder;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `center_crop`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// Pixels of each side, or `[height, width]`.
    pub size: Size,
}

const DOC: &str = "\
Cuts the middle out of an image; one that is smaller gets a border of zeros.

Source: torchvision `CenterCrop` (halves are rounded to even, the odd pixel of a border is at the end).

    transforms: [{resize: 256}, {center_crop: 224}]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<CenterCrop>("center_crop", Some("size"), DOC),
    build: |config| {
        let crop: CenterCrop = decode(config)?;
        crop.size.checked()?;
        Ok(Box::new(crop))
    },
};

impl Transform for CenterCrop {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let image = image_of("center_crop", item)?;
        let (height, width) = self.size.square();
        if (height, width) == (image.height, image.width) {
            return Ok(Item::Image(image));
        }
        let (top, left) = (central(image.height, height), central(image.width, width));
        Ok(Item::Image(crop(&image, top, left, height, width)))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (_, _, channels) = image_type("center_crop", input)?;
        let (height, width) = self.size.square();
        Ok(ItemType::Image { height: Some(height), width: Some(width), channels })
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
    fn large_is_cut_and_small_is_padded() {
        let out = |size, from| match apply(&*build("center_crop", json!({ "size": size })), Item::Image(from)) {
            Ok(Item::Image(image)) => image.data,
            other => panic!("{other:?}"),
        };
        assert_eq!(out(json!(1), image(3, 3, 1, &[1, 2, 3, 4, 5, 6, 7, 8, 9])), [5]);
        assert_eq!(out(json!([1, 1]), image(1, 4, 1, &[1, 2, 3, 4])), [3]); // round(1.5) = 2
        assert_eq!(out(json!([1, 3]), image(2, 1, 1, &[1, 2])), [0, 1, 0]); // round(0.5) = 0
        assert_eq!(out(json!([1, 4]), image(1, 1, 1, &[9])), [0, 9, 0, 0]);
    }
}
