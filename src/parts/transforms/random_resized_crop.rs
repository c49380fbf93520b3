//! `random_resized_crop`: a random part of an image, resized.

use super::resample::{Interpolation, Window, resample};
use super::{Item, ItemType, Size, Transform, out_of_range};
use crate::diag::Result;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<RandomResizedCrop>("random_resized_crop", Some("size"), DOC),
    build: |value| {
        let this: RandomResizedCrop = decode(value)?;
        this.size.checked()?;
        for (name, [low, high]) in [("scale", this.scale), ("ratio", this.ratio)] {
            if !(0.0 < low && low <= high && high.is_finite()) {
                return Err(out_of_range(format!("`{name}` goes from {low} to {high}; it starts above 0 and rises"))
                    .at(name, ""));
            }
        }
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
Cuts out a random part of an image and resizes it.

The part has a share of the area drawn from `scale` and a width : height drawn log-uniformly from `ratio`; after ten draws that do not \
fit, it is the largest central part within `ratio`. Source: torchvision's RandomResizedCrop; Szegedy et al., \"Going deeper with \
convolutions\", 2015.

```yaml
transforms:
  - random_resized_crop: {size: 224, scale: [0.35, 1.0]}
```";

/// Configuration of `random_resized_crop`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RandomResizedCrop {
    /// Side of a square, or height and width.
    #[schemars(extend("unit" = "pixels"))]
    size: Size,
    /// Share of the area, from … to; [0.08, 1] unless given.
    #[serde(default = "scale")]
    scale: [f64; 2],
    /// Width : height, from … to; [3/4, 4/3] unless given.
    #[serde(default = "ratio")]
    ratio: [f64; 2],
    /// Filter, `bilinear` unless given.
    #[serde(default)]
    interpolation: Interpolation,
    /// Whether the filter grows with the reduction.
    #[serde(default = "yes")]
    antialias: bool,
}

fn scale() -> [f64; 2] {
    [0.08, 1.0]
}

fn ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

fn yes() -> bool {
    true
}

impl RandomResizedCrop {
    fn window(&self, height: usize, width: usize, rng: &mut Rng) -> Window {
        let [low, high] = self.ratio;
        let area = (height * width) as f64;
        for _ in 0..10 {
            let target = area * rng.range(self.scale[0], self.scale[1]);
            let aspect = rng.range(low.ln(), high.ln()).exp();
            let w = (target * aspect).sqrt().round_ties_even() as usize;
            let h = (target / aspect).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = rng.below(height - h + 1);
                let left = rng.below(width - w + 1);
                return Window { top, left, height: h, width: w };
            }
        }
        fallback(height, width, low, high)
    }
}

/// The largest central part whose ratio lies within the limits.
fn fallback(height: usize, width: usize, low: f64, high: f64) -> Window {
    let ratio = width as f64 / height as f64;
    let (h, w) = if ratio < low {
        ((width as f64 / low).round_ties_even() as usize, width)
    } else if ratio > high {
        (height, (height as f64 * high).round_ties_even() as usize)
    } else {
        (height, width)
    };
    let (h, w) = (h.clamp(1, height), w.clamp(1, width));
    Window { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
}

impl Transform for RandomResizedCrop {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let image = item.into_image("random_resized_crop")?;
        let window = self.window(image.height, image.width, rng);
        resample(&image, window, self.size.square(), self.interpolation, self.antialias).map(Item::Image)
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        let (_, _, channels) = input.image("random_resized_crop")?;
        let (height, width) = self.size.square();
        Ok(ItemType::Image { h: Some(height), w: Some(width), channels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_never_fits_is_the_central_one() {
        assert_eq!(fallback(10, 100, 0.75, 4.0 / 3.0), Window { top: 0, left: 43, height: 10, width: 13 });
        assert_eq!(fallback(100, 10, 0.75, 4.0 / 3.0), Window { top: 43, left: 0, height: 13, width: 10 });
        assert_eq!(fallback(10, 10, 0.75, 4.0 / 3.0), Window { top: 0, left: 0, height: 10, width: 10 });
    }

    #[test]
    fn parts_lie_inside_and_have_the_area_and_ratio_asked_for() {
        let config = RandomResizedCrop {
            size: Size::Side(8),
            scale: [0.25, 0.5],
            ratio: [0.5, 2.0],
            interpolation: Interpolation::Bilinear,
            antialias: true,
        };
        let mut rng = crate::world::rng::Key::new(5).rng();
        for _ in 0..500 {
            let window = config.window(120, 160, &mut rng);
            assert!(window.top + window.height <= 120 && window.left + window.width <= 160);
            let area = (window.height * window.width) as f64 / (120.0 * 160.0);
            let ratio = window.width as f64 / window.height as f64;
            assert!((0.24..0.51).contains(&area), "{area}");
            assert!((0.48..2.05).contains(&ratio), "{ratio}");
        }
    }
}
