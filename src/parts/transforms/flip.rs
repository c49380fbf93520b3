//! `horizontal_flip` and `vertical_flip`.

use super::{Image, Item, ItemType, Transform, probability};
use crate::diag::Result;
use crate::parts::{Kind, Row, decode};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const HORIZONTAL: Row<dyn Transform> = Row {
    kind: Kind::of::<Flip>("horizontal_flip", Some("p"), HORIZONTAL_DOC),
    build: |value| {
        let config: Flip = decode(value)?;
        Ok(Box::new(Flipping { p: probability("p", config.p)?, name: "horizontal_flip", flip: horizontal }))
    },
};

pub(super) const VERTICAL: Row<dyn Transform> = Row {
    kind: Kind::of::<Flip>("vertical_flip", Some("p"), VERTICAL_DOC),
    build: |value| {
        let config: Flip = decode(value)?;
        Ok(Box::new(Flipping { p: probability("p", config.p)?, name: "vertical_flip", flip: vertical }))
    },
};

const HORIZONTAL_DOC: &str = "\
Mirrors an image left to right with probability `p`, ½ unless given.

Source: torchvision's RandomHorizontalFlip.

```yaml
transforms: [horizontal_flip]
```";

const VERTICAL_DOC: &str = "\
Mirrors an image top to bottom with probability `p`, ½ unless given.

Source: torchvision's RandomVerticalFlip.

```yaml
transforms: [vertical_flip: 0.1]
```";

/// Configuration of `horizontal_flip` and `vertical_flip`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Flip {
    /// Probability, ½ unless given.
    #[serde(default = "half")]
    p: f64,
}

fn half() -> f64 {
    0.5
}

struct Flipping {
    p: f64,
    name: &'static str,
    flip: fn(&mut Image),
}

/// Mirrors left to right in place.
pub(super) fn horizontal(image: &mut Image) {
    let (stride, c) = (image.stride(), image.channels);
    for row in image.data.chunks_exact_mut(stride.max(1)) {
        if c == 3 {
            let (pixels, _) = row.as_chunks_mut::<3>();
            pixels.reverse();
        } else {
            row.reverse();
        }
    }
}

/// Mirrors top to bottom in place.
pub(super) fn vertical(image: &mut Image) {
    let stride = image.stride();
    let (upper, lower) = image.data.split_at_mut(image.height / 2 * stride);
    let lower = &mut lower[image.height % 2 * stride..];
    for (a, b) in upper.chunks_exact_mut(stride.max(1)).zip(lower.chunks_exact_mut(stride.max(1)).rev()) {
        a.swap_with_slice(b);
    }
}

impl Transform for Flipping {
    fn random(&self) -> bool {
        true
    }

    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item> {
        let mut image = item.into_image(self.name)?;
        if rng.uniform() < self.p {
            (self.flip)(&mut image);
        }
        Ok(Item::Image(image))
    }

    fn shape(&self, input: &ItemType) -> Result<ItemType> {
        input.image(self.name)?;
        Ok(input.clone())
    }
}
