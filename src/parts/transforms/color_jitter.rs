//! `color_jitter`: random brightness, contrast, saturation and hue.

use super::{Item, ItemType, Transform, color, out_of_range};
use crate::diag::Result;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<ColorJitter>("color_jitter", None, DOC),
    build: |value| {
        let this: ColorJitter = decode(value)?;
        Ok(Box::new(Jitter {
            ranges: [
                factor("brightness", this.brightness)?,
                factor("contrast", this.contrast)?,
                factor("saturation", this.saturation)?,
                turn(this.hue)?,
            ],
        }))
    },
};

const DOC: &str = "\
Changes brightness, contrast, saturation and hue by random amounts, in random order.

A number b stands for factors in [max(0, 1 − b), 1 + b], for hue h ≤ ½ for turns in [−h, h]; a pair gives the range itself. What is not \
given is left as it is. The arithmetic is Pillow's, on whole levels. Source: torchvision's ColorJitter.

```yaml
transforms:
  - color_jitter: {brightness: 0.4, contrast: 0.4, saturation: [0.8, 1.5], hue: 0.1}
```";

/// Configuration of `color_jitter`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ColorJitter {
    /// Factor of all levels.
    #[serde(default)]
    brightness: Option<Amount>,
    /// Factor of the distance to the mean luma.
    #[serde(default)]
    contrast: Option<Amount>,
    /// Factor of the distance to grey.
    #[serde(default)]
    saturation: Option<Amount>,
    /// Turn of the hue, at most ½ either way.
    #[serde(default)]
    hue: Option<Amount>,
}

/// How far, or from where to where.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Amount {
    /// Around the neutral value.
    Around(f64),
    /// From … to.
    Range([f64; 2]),
}

fn factor(name: &str, amount: Option<Amount>) -> Result<Option<(f64, f64)>> {
    let (low, high) = match amount {
        None => return Ok(None),
        Some(Amount::Around(around)) if around >= 0.0 => ((1.0 - around).max(0.0), 1.0 + around),
        Some(Amount::Around(around)) => return Err(out_of_range(format!("`{name}` is {around}, below 0")).at(name, "")),
        Some(Amount::Range([low, high])) => (low, high),
    };
    if !(0.0 <= low && low <= high && high.is_finite()) {
        return Err(
            out_of_range(format!("`{name}` goes from {low} to {high}; factors start at 0 and rise")).at(name, "")
        );
    }
    Ok(((low, high) != (1.0, 1.0)).then_some((low, high)))
}

fn turn(amount: Option<Amount>) -> Result<Option<(f64, f64)>> {
    let (low, high) = match amount {
        None => return Ok(None),
        Some(Amount::Around(around)) => (-around, around),
        Some(Amount::Range([low, high])) => (low, high),
    };
    if !(-0.5 <= low && low <= high && high <= 0.5) {
        return Err(
            out_of_range(format!("`hue` goes from {low} to {high}; turns lie in −½ … ½ and rise")).at("hue", "")
        );
    }
    Ok(((low, high) != (0.0, 0.0)).then_some((low, high)))
}

struct Jitter {
    /// Brightness, contrast, saturation, hue.
    ranges: [Option<(f64, f64)>; 4],
}

impl Transform for Jitter {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let mut image = item.into_image("color_jitter")?;
        let order = rng.permutation(4);
        let amounts = self.ranges.map(|range| range.map(|(low, high)| rng.range(low, high)));
        for step in order {
            match (step, amounts[step]) {
                (0, Some(amount)) => color::brightness(&mut image, amount as f32),
                (1, Some(amount)) => color::contrast(&mut image, amount as f32),
                (2, Some(amount)) => color::saturation(&mut image, amount as f32),
                (3, Some(amount)) => color::hue(&mut image, amount),
                _ => {}
            }
        }
        Ok(Item::Image(image))
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        input.image("color_jitter")?;
        Ok(input.clone())
    }
}
