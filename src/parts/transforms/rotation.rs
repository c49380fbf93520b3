//! `rotation`: turns an image around its centre by a random angle.

use super::{Emitted, Image, Item, ItemType, Transform, image_of, image_type};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Builder;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `rotation`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Largest angle in degrees, to either side, or the range `[smallest, largest]`; counter-clockwise.
    pub degrees: Degrees,
}

/// `15` or `[-15, 30]`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Degrees {
    /// Up to this to either side.
    Most(#[schemars(range(min = 0))] f64),
    /// From and to.
    Range([f64; 2]),
}

const DOC: &str = "\
Turns an image counter-clockwise around its centre by a uniformly drawn angle. It keeps its size, takes the nearest
pixel, and is 0 where nothing was.

Source: torchvision `RandomRotation` on Pillow images.

    transforms: [{rotation: 15}, to_tensor]
    transforms: [{rotation: {degrees: [0, 90]}}, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Rotation>("rotation", Some("degrees"), DOC),
    build: |config| {
        let rotation: Rotation = decode(config)?;
        let (low, high) = rotation.range();
        if !(low.is_finite() && high.is_finite() && low <= high) {
            let message = "`degrees` is a number of at least 0 or two rising numbers";
            return Err(Diagnostic::error(Code::OutOfRange, message));
        }
        Ok(Box::new(rotation))
    },
};

impl Rotation {
    fn range(&self) -> (f64, f64) {
        match self.degrees {
            Degrees::Most(most) => (-most, most),
            Degrees::Range([low, high]) => (low, high),
        }
    }
}

/// Turned counter-clockwise by `angle` degrees, as Pillow's `Image.rotate` does.
pub(super) fn rotate(image: &Image, angle: f64) -> Image {
    let Image { height, width, channels, .. } = *image;
    let angle = angle.rem_euclid(360.0);
    if angle == 0.0 || angle == 360.0 {
        return image.clone();
    }
    if angle == 180.0 {
        return gather(image, |x, y| (width - 1 - x, height - 1 - y));
    }
    if height == width && angle == 90.0 {
        return gather(image, |x, y| (width - 1 - y, x));
    }
    if height == width && angle == 270.0 {
        return gather(image, |x, y| (y, height - 1 - x));
    }
    // From a pixel of the output to one of the input; 16 bits after the point, steps added up, as Pillow does.
    let radians = -angle.to_radians();
    let (cos, sin) = (fifteen_digits(radians.cos()), fifteen_digits(radians.sin()));
    let (cx, cy) = (width as f64 / 2.0, height as f64 / 2.0);
    let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
    let x0 = fixed(cos * -cx + sin * -cy + cx + cos * 0.5 + sin * 0.5);
    let y0 = fixed(-sin * -cx + cos * -cy + cy - sin * 0.5 + cos * 0.5);
    let (dx, dy, down_x, down_y) = (fixed(cos), fixed(-sin), fixed(sin), fixed(cos));
    let mut data = vec![0; image.data.len()];
    for (row, line) in data.chunks_exact_mut(width * channels).enumerate() {
        let (mut x, mut y) = (x0 + down_x * row as i64, y0 + down_y * row as i64);
        for pixel in line.chunks_exact_mut(channels) {
            let (from_x, from_y) = (x >> 16, y >> 16);
            if (0..width as i64).contains(&from_x) && (0..height as i64).contains(&from_y) {
                let from = (from_y as usize * width + from_x as usize) * channels;
                pixel.copy_from_slice(&image.data[from..from + channels]);
            }
            (x, y) = (x + dx, y + dy);
        }
    }
    Image { height, width, channels, data }
}

/// Rounded to 15 decimal digits, as Pillow rounds the matrix.
fn fifteen_digits(value: f64) -> f64 {
    format!("{value:.15}").parse().unwrap_or(value)
}

fn gather(image: &Image, from: impl Fn(usize, usize) -> (usize, usize)) -> Image {
    let Image { height, width, channels, .. } = *image;
    let mut data = vec![0; image.data.len()];
    for (i, pixel) in data.chunks_exact_mut(channels).enumerate() {
        let (x, y) = from(i % width, i / width);
        pixel.copy_from_slice(&image.data[(y * width + x) * channels..][..channels]);
    }
    Image { height, width, channels, data }
}

impl Transform for Rotation {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let image = image_of("rotation", item)?;
        let (low, high) = self.range();
        Ok(Item::Image(rotate(&image, rng.range(low, high))))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        image_type("rotation", input)?;
        Ok(input.clone())
    }

    fn emit(&self, _: Emitted, _: &mut Builder) -> Result<Option<Emitted>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, refused};
    use super::*;
    use serde_json::json;

    #[test]
    fn quarter_turns_move_every_pixel() {
        let from = image(2, 2, 1, &[1, 2, 3, 4]);
        assert_eq!(rotate(&from, 90.0).data, [2, 4, 1, 3]);
        assert_eq!(rotate(&from, -90.0).data, [3, 1, 4, 2]);
        assert_eq!(rotate(&from, 180.0).data, [4, 3, 2, 1]);
        assert_eq!(rotate(&from, 720.0).data, from.data);
        // Not square: the middle turns, what was outside is 0.
        assert_eq!(rotate(&image(1, 3, 1, &[1, 2, 3]), 90.0).data, [0, 2, 0]);
    }

    #[test]
    fn angles_must_be_a_range() {
        for config in [json!({"degrees": -1}), json!({"degrees": [5, 1]})] {
            assert_eq!(refused("rotation", config), "P0203");
        }
    }
}
