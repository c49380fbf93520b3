//! Data transforms: what happens to one decoded sample before it joins a batch.
//!
//! Semantics are torchvision's on Pillow images: what was pretrained there sees the same pixels here. A transform draws
//! only from the generator it is given, so a sample's augmentation depends on its key and on nothing else.

mod center_crop;
mod color_jitter;
mod colour;
mod crop;
mod emitted;
mod flip;
mod grayscale;
mod horizontal_flip;
mod normalize;
mod random_crop;
mod random_resized_crop;
mod resample;
mod resize;
mod rotation;
mod size;
mod to_tensor;
mod vertical_flip;

pub use super::sources::{Image, Item, ItemType};
pub use center_crop::CenterCrop;
pub use color_jitter::{ColorJitter, Spread};
pub use emitted::Emitted;
pub use flip::Flip;
pub use grayscale::Grayscale;
pub use normalize::{Normalize, PerChannel};
pub use random_crop::{Padding, RandomCrop};
pub use random_resized_crop::RandomResizedCrop;
pub use resample::Interpolation;
pub use resize::Resize;
pub use rotation::{Degrees, Rotation};
pub use size::Size;
pub use to_tensor::ToTensor;

use super::{Family, Row};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Builder;
use crate::world::rng::Rng;

/// A data transform.
pub trait Transform: Send + Sync {
    /// Whether two passes over one sample may differ.
    fn random(&self) -> bool {
        false
    }

    /// Transforms one sample.
    ///
    /// # Errors
    /// `P0505` for an item that it does not take.
    fn apply(&self, item: Item, rng: &mut Rng) -> Result<Item>;

    /// What comes out for what goes in.
    ///
    /// # Errors
    /// `P0505` for an item that it does not take.
    fn item_type(&self, input: &ItemType) -> Result<ItemType>;

    /// The same on one sample as nodes of opset 18, `None` when that cannot be done (as for what is random).
    ///
    /// # Errors
    /// `P0505` for a value that it does not take.
    fn emit(&self, emitted: Emitted, b: &mut Builder) -> Result<Option<Emitted>>;
}

/// The family of transforms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transforms;

impl Family for Transforms {
    type Item = dyn Transform;
    const NAME: &'static str = "transform";
    fn rows() -> &'static [Row<dyn Transform>] {
        const ROWS: &[Row<dyn Transform>] = &[
            center_crop::ROW,
            color_jitter::ROW,
            grayscale::ROW,
            horizontal_flip::ROW,
            normalize::ROW,
            random_crop::ROW,
            random_resized_crop::ROW,
            resize::ROW,
            rotation::ROW,
            to_tensor::ROW,
            vertical_flip::ROW,
        ];
        ROWS
    }
}

/// `P0505`, about one transform.
fn shape_error(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::DataShape, message)
}

/// The image of an item; `kind` takes nothing else.
fn image_of(kind: &str, item: Item) -> Result<Image> {
    match item {
        Item::Image(image) => {
            let Image { height, width, channels, ref data } = image;
            let count = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels));
            if count != Some(data.len()) || data.is_empty() {
                let what = format!("an image of {height} × {width} × {channels} with {} bytes", data.len());
                return Err(shape_error(format!("`{kind}` cannot take {what}")));
            }
            Ok(image)
        }
        Item::Array { shape, .. } => Err(not_an_image(kind, &shape)),
    }
}

/// Height, width and channels of an item type; `kind` takes nothing but images.
fn image_type(kind: &str, input: &ItemType) -> Result<(Option<usize>, Option<usize>, usize)> {
    match input {
        ItemType::Image { height, width, channels } => Ok((*height, *width, *channels)),
        ItemType::Array { shape } => Err(not_an_image(kind, shape)),
    }
}

fn not_an_image(kind: &str, shape: &[usize]) -> Diagnostic {
    shape_error(format!("`{kind}` takes images, not arrays of shape {shape:?}")).help(format!(
        "put `{kind}` before `to_tensor`, which turns an image into an array; data that are arrays already take `normalize` only"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Chosen;
    use crate::world::rng::Key;
    use serde_json::Value;

    pub(super) fn image(height: usize, width: usize, channels: usize, data: &[u8]) -> Image {
        assert_eq!(data.len(), height * width * channels);
        Image { height, width, channels, data: data.to_vec() }
    }

    pub(super) fn build(kind: &str, config: Value) -> Box<dyn Transform> {
        Chosen::<Transforms>::new(kind, config).build().unwrap()
    }

    /// The code with which a configuration is refused.
    pub(super) fn refused(kind: &str, config: Value) -> &'static str {
        match Chosen::<Transforms>::new(kind, config).build() {
            Ok(_) => panic!("`{kind}` was built"),
            Err(error) => error.code().id(),
        }
    }

    pub(super) fn apply(transform: &dyn Transform, item: Item) -> Result<Item> {
        transform.apply(item, &mut Key::new(0).rng())
    }

    #[test]
    fn rows_are_sorted_and_documented() {
        let names: Vec<&str> = Transforms::rows().iter().map(|row| row.kind.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for row in Transforms::rows() {
            assert!(row.kind.doc.contains(&format!("{}", row.kind.name)), "{}", row.kind.name);
        }
    }
}
