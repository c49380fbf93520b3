//! `random_resized_crop`: a rectangle of random area and shape, brought to one size.

use super::crop::crop;
use super::resample::{Interpolation, resample};
use super::{Emitted, Item, ItemType, Size, Transform, image_of, image_type};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Builder;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `random_resized_crop`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// Pixels of each side of what comes out, or `[height, width]`.
    pub size: Size,
    /// Smallest and largest area of the rectangle, as a share of the image's.
    #[serde(default = "default_scale")]
    pub scale: [f64; 2],
    /// Smallest and largest width / height of the rectangle.
    #[serde(default = "default_ratio")]
    pub ratio: [f64; 2],
    /// How pixels between pixels are made.
    #[serde(default)]
    pub interpolation: Interpolation,
}

fn default_scale() -> [f64; 2] {
    [0.08, 1.0]
}

fn default_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

const DOC: &str = "\
Cuts out a rectangle whose area is a uniformly drawn share of the image's (`scale`, [0.08, 1]) and whose
width / height is drawn log-uniformly (`ratio`, [3/4, 4/3]), and resizes it. When ten draws do not fit into the
image, the middle is taken, as much as `ratio` allows.

Source: torchvision `RandomResizedCrop` (Szegedy et al., \"Going deeper with convolutions\", 2015).

    transforms: [{random_resized_crop: 224}, horizontal_flip, to_tensor]
    transforms: [{random_resized_crop: {size: 224, scale: [0.5, 1.0]}}]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<RandomResizedCrop>("random_resized_crop", Some("size"), DOC),
    build: |config| {
        let this: RandomResizedCrop = decode(config)?;
        this.size.checked()?;
        for (name, [low, high], most) in [("scale", this.scale, 1.0), ("ratio", this.ratio, 1e6)] {
            if !(low > 0.0 && low <= high && high <= most) {
                let message = format!("`{name}` is two rising numbers above 0 and at most {most}, not [{low}, {high}]");
                return Err(Diagnostic::error(Code::OutOfRange, message));
            }
        }
        Ok(Box::new(this))
    },
};

/// Top, left, height, width.
type Rectangle = (usize, usize, usize, usize);

impl RandomResizedCrop {
    fn draw(&self, height: usize, width: usize, rng: &mut Rng) -> Rectangle {
        let area = height as f64 * width as f64;
        for _ in 0..10 {
            let target = area * rng.range(self.scale[0], self.scale[1]);
            let ratio = rng.range(self.ratio[0].ln(), self.ratio[1].ln()).exp();
            // Python's `round` goes to even, as this does.
            let w = (target * ratio).sqrt().round_ties_even() as usize;
            let h = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return (rng.below(height - h + 1), rng.below(width - w + 1), h, w);
            }
        }
        self.middle(height, width)
    }

    fn middle(&self, height: usize, width: usize) -> Rectangle {
        let [low, high] = self.ratio;
        let ratio = width as f64 / height as f64;
        let (h, w) = if ratio < low {
            ((width as f64 / low).round_ties_even() as usize, width)
        } else if ratio > high {
            (height, (height as f64 * high).round_ties_even() as usize)
        } else {
            (height, width)
        };
        let (h, w) = (h.clamp(1, height), w.clamp(1, width));
        ((height - h) / 2, (width - w) / 2, h, w)
    }
}

impl Transform for RandomResizedCrop {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let image = image_of("random_resized_crop", item)?;
        let (top, left, h, w) = self.draw(image.height, image.width, rng);
        let (height, width) = self.size.square();
        let cut = crop(&image, top as isize, left as isize, h, w);
        Ok(Item::Image(resample(cut, height, width, self.interpolation)?))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (_, _, channels) = image_type("random_resized_crop", input)?;
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

    fn parts(scale: [f64; 2], ratio: [f64; 2]) -> RandomResizedCrop {
        RandomResizedCrop { size: Size::One(8), scale, ratio, interpolation: Interpolation::Bilinear }
    }

    #[test]
    fn rectangles_keep_to_scale_and_ratio() {
        let crop = parts(default_scale(), default_ratio());
        let (mut areas, n) = (0.0, 4000);
        for i in 0..n {
            let (top, left, h, w) = crop.draw(300, 400, &mut Key::new(5).with(i).rng());
            assert!(top + h <= 300 && left + w <= 400);
            let (share, ratio) = ((h * w) as f64 / 120_000.0, w as f64 / h as f64);
            assert!(share > 0.078 && share < 1.001 && ratio > 0.74 && ratio < 1.35, "{share} {ratio}");
            areas += share;
        }
        // Uniform on [0.08, 1] has mean 0.54; what does not fit and is drawn again is among the large ones.
        assert!((0.46..0.55).contains(&(areas / n as f64)), "{}", areas / n as f64);
    }

    #[test]
    fn the_middle_is_taken_when_nothing_fits() {
        let crop = parts([1.0, 1.0], default_ratio());
        assert_eq!(crop.draw(100, 1000, &mut Key::new(0).rng()), (0, 433, 100, 133));
        assert_eq!(crop.draw(1000, 75, &mut Key::new(0).rng()), (450, 0, 100, 75));
        assert_eq!(parts([1.0, 1.0], [1.0, 1.0]).draw(1, 1, &mut Key::new(0).rng()), (0, 0, 1, 1));
        assert_eq!(parts([1.0, 1.0], [100.0, 200.0]).middle(1, 3), (0, 0, 1, 3));
    }

    #[test]
    fn configurations_must_make_sense() {
        for config in [
            json!({"size": 8, "scale": [0.5, 0.1]}),
            json!({"size": 8, "scale": [0.0, 1.0]}),
            json!({"size": 8, "scale": [0.1, 1.5]}),
            json!({"size": 8, "ratio": [-1.0, 1.0]}),
        ] {
            assert_eq!(refused("random_resized_crop", config), "P0203");
        }
        let crop = build("random_resized_crop", json!({"size": [2, 3]}));
        let Ok(Item::Image(out)) = crop.apply(Item::Image(image(1, 1, 3, &[1, 2, 3])), &mut Key::new(0).rng()) else {
            panic!()
        };
        assert_eq!((out.height, out.width, &out.data[..3]), (2, 3, &[1, 2, 3][..]));
    }
}
