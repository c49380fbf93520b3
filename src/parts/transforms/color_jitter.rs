//! `color_jitter`: brightness, contrast, saturation and hue changed by random factors in random order.

use super::colour::{blend_black, blend_grey, blend_mean, turn_hue};
use super::grayscale::grey_or_colour;
use super::{Emitted, Item, ItemType, Transform, image_of, image_type};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Builder;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `color_jitter`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColorJitter {
    /// Factors of brightness: `b` is [max(0, 1 − b), 1 + b].
    #[serde(default)]
    pub brightness: Spread,
    /// Factors of contrast: `c` is [max(0, 1 − c), 1 + c].
    #[serde(default)]
    pub contrast: Spread,
    /// Factors of saturation: `s` is [max(0, 1 − s), 1 + s].
    #[serde(default)]
    pub saturation: Spread,
    /// Turns of the hue, as a share of the circle: `h` is [−h, h], at most half of it.
    #[serde(default)]
    pub hue: Spread,
}

/// `0.4` or `[0.8, 1.5]`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Spread {
    /// To either side of what changes nothing.
    Around(#[schemars(range(min = 0))] f64),
    /// Smallest and largest.
    Range([f64; 2]),
}

impl Default for Spread {
    fn default() -> Self {
        Self::Around(0.0)
    }
}

const DOC: &str = "\
Changes brightness, contrast, saturation and hue by factors that are drawn uniformly, in an order that is drawn too.
Each is 0 (off) unless given. On grey images saturation and hue change nothing.

Source: torchvision `ColorJitter` on Pillow images.

    transforms: [{color_jitter: {brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}}, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<ColorJitter>("color_jitter", None, DOC),
    build: |config| Ok(Box::new(Jitter::new(&decode(config)?)?)),
};

/// The four ranges, `None` for what is off, in torchvision's order.
struct Jitter([Option<[f64; 2]>; 4]);

impl Jitter {
    fn new(config: &ColorJitter) -> Result<Self> {
        let factor = |name, spread| range(name, spread, 1.0, [0.0, f64::MAX]);
        Ok(Self([
            factor("brightness", config.brightness)?,
            factor("contrast", config.contrast)?,
            factor("saturation", config.saturation)?,
            range("hue", config.hue, 0.0, [-0.5, 0.5])?,
        ]))
    }
}

fn range(name: &str, spread: Spread, centre: f64, [least, most]: [f64; 2]) -> Result<Option<[f64; 2]>> {
    let [low, high] = match spread {
        // A factor below 0 is cut off; a hue past half the circle is a mistake.
        Spread::Around(around) if around >= 0.0 && centre > 0.0 => [(centre - around).max(least), centre + around],
        Spread::Around(around) if around >= 0.0 => [centre - around, centre + around],
        Spread::Around(_) => [f64::NAN; 2],
        Spread::Range(range) => range,
    };
    if !(least <= low && low <= high && high <= most) {
        let bounds = if most < 1.0 { format!("between {least} and {most}") } else { "of at least 0".to_owned() };
        let message = format!("`{name}` is a spread of at least 0, or two rising numbers {bounds}");
        return Err(Diagnostic::error(Code::OutOfRange, message));
    }
    Ok((low != centre || high != centre).then_some([low, high]))
}

impl Transform for Jitter {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let mut image = image_of("color_jitter", item)?;
        grey_or_colour("color_jitter", image.channels)?;
        let order = rng.permutation(4);
        // All are drawn, so that switching one on leaves the others as they were.
        let factors = self.0.map(|range| (range, rng.uniform()));
        for which in order {
            let (Some([low, high]), uniform) = factors[which] else { continue };
            let factor = low + (high - low) * uniform;
            match which {
                0 => blend_black(&mut image, factor as f32),
                1 => blend_mean(&mut image, factor as f32),
                2 => blend_grey(&mut image, factor as f32),
                _ => turn_hue(&mut image, factor),
            }
        }
        Ok(Item::Image(image))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (.., channels) = image_type("color_jitter", input)?;
        grey_or_colour("color_jitter", channels)?;
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
    use serde_json::json;

    #[test]
    fn off_changes_nothing_and_one_factor_is_that_factor() {
        let from = || Item::Image(image(1, 1, 3, &[10, 20, 30]));
        assert_eq!(apply(&*build("color_jitter", json!({})), from()).unwrap(), from());
        let double = build("color_jitter", json!({"brightness": [2.0, 2.0]}));
        assert_eq!(apply(&*double, from()).unwrap(), Item::Image(image(1, 1, 3, &[20, 40, 60])));
    }

    #[test]
    fn ranges_are_torchvisions() {
        let jitter = Jitter::new(&decode(&json!({"brightness": 1.5, "contrast": 0.25, "hue": 0.5})).unwrap()).unwrap();
        assert_eq!(jitter.0, [Some([0.0, 2.5]), Some([0.75, 1.25]), None, Some([-0.5, 0.5])]);
        for config in
            [json!({"hue": 0.6}), json!({"brightness": -1}), json!({"contrast": [2, 1]}), json!({"hue": [-1, 0]})]
        {
            assert_eq!(refused("color_jitter", config), "P0203");
        }
    }
}
