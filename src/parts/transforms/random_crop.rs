//! `random_crop`: a window at a random place.

use super::resample::cut;
use super::{Item, ItemType, LARGEST_SIDE, Size, Transform, out_of_range};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<RandomCrop>("random_crop", Some("size"), DOC),
    build: |value| {
        let this: RandomCrop = decode(value)?;
        this.size.checked()?;
        if this.pads().iter().any(|pad| *pad > LARGEST_SIDE) {
            return Err(out_of_range(format!("`padding` goes from 0 to {LARGEST_SIDE}")).at("padding", ""));
        }
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
Cuts a window out of an image at a random place, after padding it with 0.

`padding` is a number for all sides, [left and right, top and bottom], or [left, top, right, bottom]. An image that is smaller than \
the window is an error unless `pad_if_needed`, which adds what is missing on both sides. Source: torchvision's RandomCrop.

```yaml
transforms:
  - random_crop: {size: 32, padding: 4}
```";

/// Configuration of `random_crop`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RandomCrop {
    /// Side of a square, or height and width.
    #[schemars(extend("unit" = "pixels"))]
    size: Size,
    /// Zeros around the image, none unless given.
    #[serde(default)]
    #[schemars(extend("unit" = "pixels"))]
    padding: Option<Padding>,
    /// Whether images that are too small are padded.
    #[serde(default)]
    pad_if_needed: bool,
}

/// Zeros at each side.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Padding {
    /// At all sides.
    All(usize),
    /// Left and right, top and bottom.
    Pairs([usize; 2]),
    /// Left, top, right, bottom.
    Each([usize; 4]),
}

impl RandomCrop {
    /// Left, top, right, bottom.
    fn pads(&self) -> [usize; 4] {
        match self.padding {
            None => [0; 4],
            Some(Padding::All(pad)) => [pad; 4],
            Some(Padding::Pairs([x, y])) => [x, y, x, y],
            Some(Padding::Each(pads)) => pads,
        }
    }

    /// First row or column of the padded axis in the image's coordinates, and how many places the window has.
    fn places(&self, size: usize, target: usize, before: usize, after: usize) -> Option<(isize, usize)> {
        let mut first = -(before as isize);
        let mut padded = size + before + after;
        if padded < target {
            if !self.pad_if_needed {
                return None;
            }
            let lacking = target - padded;
            first -= lacking as isize;
            padded += 2 * lacking;
        }
        Some((first, padded - target + 1))
    }

    fn window(&self, h: usize, w: usize) -> Result<[(isize, usize); 2]> {
        let (height, width) = self.size.square();
        let [left, top, right, bottom] = self.pads();
        if let (Some(rows), Some(columns)) = (self.places(h, height, top, bottom), self.places(w, width, left, right)) {
            Ok([rows, columns])
        } else {
            let message = format!("an image of {h} × {w} is too small for `random_crop` to {height} × {width}");
            Err(Diagnostic::error(Code::DataShape, message).help("set `pad_if_needed: true`, or resize it before"))
        }
    }
}

impl Transform for RandomCrop {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let image = item.into_image("random_crop")?;
        let [rows, columns] = self.window(image.height, image.width)?;
        let top = rows.0 + rng.below(rows.1) as isize;
        let left = columns.0 + rng.below(columns.1) as isize;
        Ok(Item::Image(cut(&image, top, left, self.size.square())))
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        let (h, w, channels) = input.image("random_crop")?;
        if let (Some(h), Some(w)) = (h, w) {
            self.window(h, w)?;
        }
        let (height, width) = self.size.square();
        Ok(ItemType::Image { h: Some(height), w: Some(width), channels })
    }
}
