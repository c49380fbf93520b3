//! Data transforms: what happens to a sample between the source and the batch, a file per kind.
//!
//! The semantics are those of torchvision's v2 transforms on PIL images, so that preprocessing written for them can be carried over.
//! Random numbers come only from the generator that is passed in. [`emit_chain`] writes the ONNX form that an exported model carries.

mod center_crop;
mod color;
mod color_jitter;
mod cubic;
mod emit;
mod flip;
mod grayscale;
mod normalize;
mod random_crop;
mod random_resized_crop;
mod resample;
mod resize;
mod rotation;
#[cfg(test)]
mod tests;
mod to_tensor;

pub use super::sources::{Image, Item, ItemType};
pub use emit::emit_chain;

use super::{Family, Row};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, ValueId};
use crate::world::rng::Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// A step between the source and the batch.
pub trait Transform: Send + Sync {
    /// Whether it draws random numbers; what comes before the first such step may be cached.
    fn random(&self) -> bool {
        false
    }
    /// Transforms one sample.
    ///
    /// # Errors
    /// `P0505` for a sample that it cannot take.
    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item>;
    /// What it makes of such an item.
    ///
    /// # Errors
    /// `P0505` when it does not take such an item.
    fn shape(&self, input: &ItemType) -> Result<ItemType>;
    /// Emits its ONNX form. Images are f32 [1, C, H, W]: pixels 0 … 255 before `to_tensor`, 0 … 1 after it.
    /// `None` when ONNX cannot reproduce it.
    fn emit(&self, b: &mut Builder, x: ValueId, input: &ItemType) -> Result<Option<ValueId>> {
        let _ = (b, x, input);
        Ok(None)
    }
}

/// The family of transforms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transforms;

impl Family for Transforms {
    type Item = dyn Transform;
    const NAME: &'static str = "transform";
    fn rows() -> &'static [Row<dyn Transform>] {
        &[
            center_crop::ROW,
            color_jitter::ROW,
            grayscale::ROW,
            flip::HORIZONTAL,
            normalize::ROW,
            random_crop::ROW,
            random_resized_crop::ROW,
            resize::ROW,
            rotation::ROW,
            to_tensor::ROW,
            flip::VERTICAL,
        ]
    }
}

/// Largest side that a transform may ask for: JPEG's own limit.
const LARGEST_SIDE: usize = 65_535;

/// One side of a square, or height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Size {
    /// One number.
    Side(usize),
    /// Height and width.
    Both([usize; 2]),
}

impl Size {
    /// Height and width, a single number being a square.
    fn square(self) -> (usize, usize) {
        match self {
            Self::Side(side) => (side, side),
            Self::Both([height, width]) => (height, width),
        }
    }

    /// Sides from 1 to [`LARGEST_SIDE`].
    fn checked(self) -> Result<Self> {
        let (height, width) = self.square();
        if [height, width].iter().all(|side| (1..=LARGEST_SIDE).contains(side)) {
            Ok(self)
        } else {
            Err(out_of_range(format!("`size` is {height} × {width}; sides go from 1 to {LARGEST_SIDE}")).at("size", ""))
        }
    }
}

fn out_of_range(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::OutOfRange, message)
}

/// A probability, or `P0203`.
fn probability(name: &str, p: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&p) {
        Ok(p)
    } else {
        Err(out_of_range(format!("`{name}` is {p}; a probability lies in 0 … 1")).at(name, ""))
    }
}
