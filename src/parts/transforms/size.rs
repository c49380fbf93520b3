//! Sizes of images in a spec: one number, or height and width.

use crate::diag::{Code, Diagnostic, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Pixels of a side above which an image is taken for a mistake.
pub(super) const MAX_SIDE: usize = 1 << 15;

/// `224` or `[224, 320]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    /// One number of pixels.
    One(#[schemars(range(min = 1, max = 32768))] usize),
    /// Height and width in pixels.
    Both(#[schemars(inner(range(min = 1, max = 32768)))] [usize; 2]),
}

impl Size {
    /// Itself, when every side is a number of pixels that an image can have.
    pub(super) fn checked(self) -> Result<Self> {
        let (height, width) = self.square();
        for side in [height, width] {
            if !(1..=MAX_SIDE).contains(&side) {
                let message = format!("a side of an image has 1 to {MAX_SIDE} pixels, not {side}");
                return Err(Diagnostic::error(Code::OutOfRange, message));
            }
        }
        Ok(self)
    }

    /// Height and width, one number being both.
    pub(super) fn square(self) -> (usize, usize) {
        match self {
            Self::One(side) => (side, side),
            Self::Both([height, width]) => (height, width),
        }
    }
}
