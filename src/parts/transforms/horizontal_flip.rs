//! `horizontal_flip`: left and right change places, with a probability.

use super::Transform;
use super::flip::{Flip, Flipping};
use crate::parts::{Kind, Row, decode};

const DOC: &str = "\
Swaps left and right with probability `p` (0.5).

Source: torchvision `RandomHorizontalFlip`.

    transforms: [horizontal_flip, to_tensor]
    transforms: [{horizontal_flip: 0.3}, to_tensor]
";

pub(super) const ROW: Row<dyn Transform> = Row {
    kind: Kind::of::<Flip>("horizontal_flip", Some("p"), DOC),
    build: |config| Ok(Box::new(Flipping { flip: decode::<Flip>(config)?.checked()?, horizontal: true })),
};
