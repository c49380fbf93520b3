//! `grayscale`: luma.

use super::{Image, Item, ItemType, Transform, color::luma, out_of_range};
use crate::diag::Result;
use crate::ir::{Builder, DType, Tensor, ValueId};
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Grayscale>("grayscale", Some("channels"), DOC),
    build: |value| {
        let this: Grayscale = decode(value)?;
        if this.channels != 1 && this.channels != 3 {
            return Err(
                out_of_range(format!("`channels` is {}; an image has 1 or 3", this.channels)).at("channels", "")
            );
        }
        Ok(Box::new(this))
    },
};

const DOC: &str = "\
The luma of an image (ITU-R 601), in one channel or three equal ones.

With `channels: 3` a grey image, such as those of MNIST, fits a network for colour images. Source: torchvision's Grayscale.

```yaml
transforms: [grayscale: 3]
```";

/// Configuration of `grayscale`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Grayscale {
    /// 1 or 3 channels, 1 unless given.
    #[serde(default = "one")]
    channels: usize,
}

fn one() -> usize {
    1
}

impl Transform for Grayscale {
    fn apply(&self, item: Item, _: &mut Rng) -> Result<Item> {
        let mut image: Image = item.into_image("grayscale")?;
        image.data = match (image.channels, self.channels) {
            (1, 1) => image.data,
            (1, _) => image.data.iter().flat_map(|value| [*value; 3]).collect(),
            (_, 1) => image.data.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect(),
            _ => image.data.chunks_exact(3).flat_map(|p| [luma(p[0], p[1], p[2]); 3]).collect(),
        };
        image.channels = self.channels;
        Ok(Item::Image(image))
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        let (h, w, _) = input.image("grayscale")?;
        Ok(ItemType::Image { h, w, channels: self.channels })
    }

    fn emit(&self, b: &mut Builder, x: ValueId, input: &ItemType) -> Result<Option<ValueId>> {
        let (_, _, channels) = input.image("grayscale")?;
        let mut grey = x;
        if channels == 3 {
            // Whole numbers below 2^24 throughout, so f32 gives Pillow's fixed-point result exactly.
            let weights = b.constant(Tensor::new([1, 3, 1, 1], &[19_595f32, 38_470.0, 7_471.0]));
            let weighted = b.mul(x, weights);
            let sum = b.reduce_sum(weighted, &[1], true);
            let half = b.scalar(DType::F32, 32_768.0);
            let sum = b.add(sum, half);
            let unit = b.scalar(DType::F32, 1.0 / 65_536.0);
            let scaled = b.mul(sum, unit);
            grey = b.op("Floor", &[scaled]);
        }
        Ok(Some(if self.channels == 3 { b.concat(&[grey, grey, grey], 1) } else { grey }))
    }
}
