//! A chain of transforms with the key of its random numbers.

use super::dataset::guarded;
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::sources::{Item, ItemType};
use crate::parts::transforms::Transform;
use crate::world::rng::Key;

/// What happens to a sample between the source and the batch.
pub struct Pipeline {
    transforms: Vec<Box<dyn Transform>>,
    key: Key,
}

impl Pipeline {
    /// A chain; `key` is that of the seed, the word `augment` and the stream.
    pub fn new(transforms: Vec<Box<dyn Transform>>, key: Key) -> Self {
        Self { transforms, key }
    }

    /// The transforms in order.
    pub fn transforms(&self) -> &[Box<dyn Transform>] {
        &self.transforms
    }

    /// Position of the first transform that draws random numbers: what comes before it may be cached.
    pub fn first_random(&self) -> Option<usize> {
        self.transforms.iter().position(|transform| transform.random())
    }

    /// Shape of a row of a batch, from what the source gives.
    ///
    /// # Errors
    /// `P0505` when a transform does not take what reaches it, when images are never made arrays, or when sizes stay open.
    pub fn output_shape(&self, input: &ItemType) -> Result<Vec<usize>> {
        let mut ty = input.clone();
        for transform in &self.transforms {
            ty = transform.shape(&ty)?;
        }
        match ty {
            ItemType::Array { shape } => Ok(shape),
            ItemType::Image { .. } => Err(Diagnostic::error(Code::DataShape, "the transforms end with an image")
                .help("end them with `to_tensor`, usually followed by `normalize`")),
        }
    }

    /// Applies all transforms to the sample with this index in its source, on this pass. `name` is for messages.
    ///
    /// # Errors
    /// `P0505` naming the sample.
    pub fn apply(&self, item: Item, pass: u64, index: usize, name: &str) -> Result<Item> {
        let key = self.key.with(pass).with(index as u64);
        let mut item = item;
        for (position, transform) in self.transforms.iter().enumerate() {
            let mut rng = key.with(position as u64).rng();
            item =
                guarded(name, || transform.apply(item, &mut rng)).map_err(|error| error.note(format!("`{name}`")))?;
        }
        Ok(item)
    }
}
