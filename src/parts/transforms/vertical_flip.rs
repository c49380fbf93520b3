//! `vertical_flip`: top and bottom change places, with a probability.

use super::Transform;
use super::flip::{Flip, Flipping};
use crate::parts::{Kind, Row, decode};

const DOC: &str = "\
Swaps top and bottom with probability `p` (0.5).

Source: torchvision `RandomVerticalFlip`.

    transforms: [{vertical_flip: 0.3}, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Flip>("vertical_flip", Some("p"), DOC),
    build: |config| Ok(Box::new(Flipping { flip: decode::<Flip>(config)?.checked()?, horizontal: false })),
};
