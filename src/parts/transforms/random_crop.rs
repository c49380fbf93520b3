//! `random_crop`: a rectangle from anywhere in the image.

use super::crop::crop;
use super::size::MAX_SIDE;
use super::{Emitted, Item, ItemType, Size, Transform, image_of, image_type, shape_error};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Builder;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `random_crop`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// Pixels of each side, or `[height, width]`.
    pub size: Size,
    /// Zeros put around the image before: on each side, `[left and right, top and bottom]`, or `[left, top, right, bottom]`.
    #[serde(default)]
    pub padding: Padding,
}

/// `4`, `[4, 8]` or `[4, 8, 4, 8]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Padding {
    /// The same on each side.
    Same(#[schemars(range(max = 32768))] usize),
    /// Left and right, top and bottom.
    Two(#[schemars(inner(range(max = 32768)))] [usize; 2]),
    /// Left, top, right, bottom.
    Four(#[schemars(inner(range(max = 32768)))] [usize; 4]),
}

impl Default for Padding {
    fn default() -> Self {
        Self::Same(0)
    }
}

const DOC: &str = "\
Cuts a rectangle out of the image at a uniformly drawn place, after a border of zeros was put around it.

Source: torchvision `RandomCrop`.

    transforms: [{random_crop: {size: 32, padding: 4}}, horizontal_flip, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<RandomCrop>("random_crop", Some("size"), DOC),
    build: |config| {
        let crop: RandomCrop = decode(config)?;
        crop.size.checked()?;
        if let Some(side) = crop.sides().into_iter().find(|side| *side > MAX_SIDE) {
            let message = format!("`padding` has at most {MAX_SIDE} pixels, not {side}");
            return Err(Diagnostic::error(Code::OutOfRange, message));
        }
        Ok(Box::new(crop))
    },
};

impl RandomCrop {
    /// Left, top, right, bottom.
    fn sides(&self) -> [usize; 4] {
        match self.padding {
            Padding::Same(all) => [all; 4],
            Padding::Two([x, y]) => [x, y, x, y],
            Padding::Four(sides) => sides,
        }
    }

    /// How far the rectangle may move down and right.
    fn room(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let [left, top, right, bottom] = self.sides();
        let (wanted_height, wanted_width) = self.size.square();
        let down = (height + top + bottom).checked_sub(wanted_height);
        let across = (width + left + right).checked_sub(wanted_width);
        down.zip(across).ok_or_else(|| {
            let wanted = format!("{wanted_height} × {wanted_width}");
            shape_error(format!("`random_crop` cannot cut {wanted} out of an image of {height} × {width}"))
                .help("add `padding`, or a `resize` before it")
        })
    }
}

impl Transform for RandomCrop {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let image = image_of("random_crop", item)?;
        let (down, across) = self.room(image.height, image.width)?;
        let [left, top, ..] = self.sides();
        let (height, width) = self.size.square();
        let y = rng.below(down + 1) as isize - top as isize;
        let x = rng.below(across + 1) as isize - left as isize;
        Ok(Item::Image(crop(&image, y, x, height, width)))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (height, width, channels) = image_type("random_crop", input)?;
        if let (Some(height), Some(width)) = (height, width) {
            self.room(height, width)?;
        }
        let (height, width) = self.size.square();
        Ok(ItemType::Image { height: Some(height), width: Some(width), channels })
    }

    fn emit(&self, _: Emitted, _: &mut Builder) -> Result<Option<Emitted>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, image, refused};
    use super::*;
    use crate::world::rng::Key;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn every_place_is_as_likely() {
        // A pixel of value 1 and a border of one: nine places, at one of which it shows.
        let crop = build("random_crop", json!({"size": 1, "padding": 1}));
        let mut seen = BTreeMap::new();
        for i in 0..9000 {
            let from = Item::Image(image(1, 1, 1, &[1]));
            let Ok(Item::Image(out)) = crop.apply(from, &mut Key::new(2).with(i).rng()) else { panic!() };
            *seen.entry(out.data).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 2);
        // 1000 ± four standard deviations.
        assert!((880..1120).contains(&seen[&vec![1]]), "{seen:?}");
    }

    #[test]
    fn borders_are_left_top_right_bottom() {
        let out = |padding| {
            let crop = build("random_crop", json!({"size": [2, 3], "padding": padding}));
            match crop.apply(Item::Image(image(1, 2, 1, &[1, 2])), &mut Key::new(0).rng()) {
                Ok(Item::Image(image)) => image.data,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(out(json!([1, 0, 0, 1])), [0, 1, 2, 0, 0, 0]);
        assert_eq!(out(json!([0, 1, 1, 0])), [0, 0, 0, 1, 2, 0]);
    }

    #[test]
    fn small_images_and_large_borders_are_refused() {
        let crop = build("random_crop", json!({"size": 5, "padding": [0, 2]}));
        let ty = |width| ItemType::Image { height: Some(1), width: Some(width), channels: 1 };
        assert!(crop.item_type(&ty(5)).is_ok());
        assert_eq!(crop.item_type(&ty(4)).unwrap_err().code().id(), "P0505");
        assert_eq!(refused("random_crop", json!({"size": 1, "padding": 40000})), "P0203");
        assert_eq!(refused("random_crop", json!({"size": 1, "padding": -1})), "P0202");
        assert_eq!(refused("random_crop", json!({"size": 1, "fill": 1})), "P0202");
    }
}
