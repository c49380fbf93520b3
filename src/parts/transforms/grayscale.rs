//! `grayscale`: luma of a colour image.

use super::{Emitted, Image, Item, ItemType, Transform, image_of, image_type, shape_error};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Tensor};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// `grayscale`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grayscale {
    /// 1, or 3 for the same grey in each channel.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3))]
    pub channels: usize,
}

fn one() -> usize {
    1
}

const DOC: &str = "\
Turns colours into grey: L = (19595·R + 38470·G + 7471·B + 32768) / 65536, rounded down (ITU-R 601 luma), as one
channel or as three equal ones.

Source: torchvision `Grayscale` on Pillow images.

    transforms: [grayscale, to_tensor]
    transforms: [{grayscale: {channels: 3}}, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Grayscale>("grayscale", Some("channels"), DOC),
    build: |config| {
        let grayscale: Grayscale = decode(config)?;
        if ![1, 3].contains(&grayscale.channels) {
            let message = format!("`channels` is 1 or 3, not {}", grayscale.channels);
            return Err(Diagnostic::error(Code::OutOfRange, message));
        }
        Ok(Box::new(grayscale))
    },
};

/// Weights of red, green and blue, in 65536ths.
const WEIGHTS: [u32; 3] = [19595, 38470, 7471];

/// Luma of a pixel of three channels.
pub(super) fn luma(pixel: &[u8]) -> u8 {
    let sum: u32 = WEIGHTS.iter().zip(pixel).map(|(weight, byte)| weight * u32::from(*byte)).sum();
    ((sum + 0x8000) >> 16) as u8
}

/// `kind` takes grey and colour images and nothing else.
pub(super) fn grey_or_colour(kind: &str, channels: usize) -> Result<()> {
    if [1, 3].contains(&channels) {
        return Ok(());
    }
    Err(shape_error(format!("`{kind}` takes images of 1 or 3 channels, not {channels}")))
}

impl Transform for Grayscale {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let Image { height, width, channels, mut data } = image_of("grayscale", item)?;
        grey_or_colour("grayscale", channels)?;
        if channels == 3 {
            data = data.chunks_exact(3).map(luma).collect();
        }
        if self.channels == 3 {
            data = data.iter().flat_map(|grey| [*grey; 3]).collect();
        }
        Ok(Item::Image(Image { height, width, channels: self.channels, data }))
    }

    fn item_type(&self, input: &ItemType) -> Result<ItemType> {
        let (height, width, channels) = image_type("grayscale", input)?;
        grey_or_colour("grayscale", channels)?;
        Ok(ItemType::Image { height, width, channels: self.channels })
    }

    fn emit(&self, emitted: Emitted, b: &mut Builder) -> Result<Option<Emitted>> {
        let mut emitted = emitted.expect_pixels("grayscale")?;
        grey_or_colour("grayscale", emitted.channels)?;
        if emitted.channels == 3 {
            // Below 2²⁴ everything is a whole number of f32, and dividing by 2¹⁶ is exact.
            let weights = b.constant(Tensor::new([1, 3, 1, 1], &WEIGHTS.map(|weight| weight as f32)));
            let weighted = b.mul(emitted.value, weights);
            let sum = b.reduce_sum(weighted, &[1], true);
            let (half, scale) = (b.scalar(DType::F32, 32768.0), b.scalar(DType::F32, 65536.0));
            let sum = b.add(sum, half);
            let luma = b.div(sum, scale);
            emitted.value = b.op("Floor", &[luma]);
        }
        if self.channels == 3 {
            emitted.value = b.concat(&[emitted.value; 3], 1);
        }
        Ok(Some(Emitted { channels: self.channels, ..emitted }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{apply, build, image, refused};
    use super::*;
    use serde_json::json;

    #[test]
    fn grey_stays_and_colours_have_their_luma() {
        let colours = image(1, 4, 3, &[255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]);
        let Item::Image(out) = apply(&*build("grayscale", json!({})), Item::Image(colours)).unwrap() else { panic!() };
        assert_eq!((out.channels, out.data), (1, vec![76, 150, 29, 9]));
        let grey = Item::Image(image(1, 2, 1, &[7, 8]));
        let Item::Image(out) = apply(&*build("grayscale", json!({"channels": 3})), grey).unwrap() else { panic!() };
        assert_eq!((out.channels, out.data), (3, vec![7, 7, 7, 8, 8, 8]));
        assert_eq!(refused("grayscale", json!({"channels": 2})), "P0203");
    }
}
