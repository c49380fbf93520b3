//! What `horizontal_flip` and `vertical_flip` share: mirror images, with a probability.

use super::{Emitted, Item, ItemType, Transform, image_of, image_type};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Builder;
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `horizontal_flip` and `vertical_flip`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Probability.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    pub p: f64,
}

fn half() -> f64 {
    0.5
}

impl Flip {
    pub(super) fn checked(self) -> Result<Self> {
        if (0.0..=1.0).contains(&self.p) {
            return Ok(self);
        }
        Err(Diagnostic::error(Code::OutOfRange, format!("`p` is a probability between 0 and 1, not {}", self.p)))
    }
}

pub(super) struct Flipping {
    pub(super) flip: Flip,
    /// Left and right change places, or top and bottom.
    pub(super) horizontal: bool,
}

impl Flipping {
    fn kind(&self) -> &'static str {
        if self.horizontal { "horizontal_flip" } else { "vertical_flip" }
    }
}

impl Transform for Flipping {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let mut image = image_of(self.kind(), item)?;
        if rng.uniform() >= self.flip.p {
            return Ok(Item::Image(image));
        }
        let (channels, stride) = (image.channels, image.width * image.channels);
        if self.horizontal {
            for row in image.data.chunks_exact_mut(stride) {
                let (mut left, mut right) = (0, image.width - 1);
                while left < right {
                    for channel in 0..channels {
                        row.swap(left * channels + channel, right * channels + channel);
                    }
                    (left, right) = (left + 1, right - 1);
                }
            }
        } else {
            let (top, bottom) = image.data.split_at_mut(image.height / 2 * stride);
            for (upper, lower) in top.chunks_exact_mut(stride).zip(bottom.rchunks_exact_mut(stride)) {
                upper.swap_with_slice(lower);
            }
        }
        Ok(Item::Image(image))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        image_type(self.kind(), input)?;
        Ok(input.clone())
    }

    fn emit(&self, _: Emitted, _: &mut Builder) -> Result<Option<Emitted>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, build, image, refused};
    use super::*;
    use crate::world::rng::Key;
    use serde_json::json;

    fn flipped(kind: &str, from: super::super::Image) -> Vec<u8> {
        match apply(&*build(kind, json!({"p": 1})), Item::Image(from)) {
            Ok(Item::Image(image)) => image.data,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pixels_change_places_whole() {
        assert_eq!(flipped("horizontal_flip", image(1, 3, 2, &[1, 2, 3, 4, 5, 6])), [5, 6, 3, 4, 1, 2]);
        assert_eq!(flipped("horizontal_flip", image(2, 2, 1, &[1, 2, 3, 4])), [2, 1, 4, 3]);
        assert_eq!(flipped("vertical_flip", image(3, 2, 1, &[1, 2, 3, 4, 5, 6])), [5, 6, 3, 4, 1, 2]);
        assert_eq!(flipped("vertical_flip", image(2, 1, 2, &[1, 2, 3, 4])), [3, 4, 1, 2]);
        assert_eq!(flipped("vertical_flip", image(1, 1, 1, &[7])), [7]);
    }

    #[test]
    fn the_share_of_flips_is_p() {
        let flip = build("horizontal_flip", json!({"p": 0.25}));
        let count = (0..10_000)
            .filter(|i| {
                let item = Item::Image(image(1, 2, 1, &[0, 1]));
                let Ok(Item::Image(out)) = flip.apply(item, &mut Key::new(1).with(*i).rng()) else { panic!() };
                out.data == [1, 0]
            })
            .count();
        // Four standard deviations.
        assert!((2327..2673).contains(&count), "{count}");
        assert_eq!(refused("vertical_flip", json!({"p": 1.5})), "P0203");
    }
}
