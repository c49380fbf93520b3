//! The transforms of a dataset, one after another.

use super::dataset::guarded;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Dim, Graph, TensorType, ValueId};
use crate::parts::Chosen;
use crate::parts::transforms::{Item, ItemType, Transform, Transforms, emit_chain};
use crate::world::rng::Key;

/// Changes whenever decoding or a transform gives other bytes from the same sample: features cached before are then made again.
pub const REVISION: u32 = 2;

/// Transforms in their order, with the key of their randomness.
pub struct Pipeline {
    steps: Vec<Step>,
    key: Key,
}

struct Step {
    kind: String,
    at: String,
    transform: Box<dyn Transform>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| &step.kind)).finish()
    }
}

impl Step {
    /// An error points at this transform or at what it says of it.
    fn locate(&self, error: Diagnostic) -> Diagnostic {
        if self.at.is_empty() {
            error
        } else if error.labels().is_empty() {
            error.at_key(&self.at, "")
        } else {
            error.within(&self.at)
        }
    }
}

impl Pipeline {
    /// Builds every transform; the first error is returned.
    pub fn build(chosen: &[Chosen<Transforms>], key: Key) -> Result<Self> {
        let step = |chosen: &Chosen<Transforms>| {
            Ok(Step { kind: chosen.kind.clone(), at: chosen.at.clone(), transform: chosen.build()? })
        };
        Ok(Self { steps: chosen.iter().map(step).collect::<Result<_>>()?, key })
    }

    /// Index of the first transform that draws random numbers: what comes before it may be kept between passes.
    pub fn first_random(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.transform.random())
    }

    /// What comes out for what goes in.
    ///
    /// # Errors
    /// `P0505`, at the transform that does not take what it gets.
    pub fn shape(&self, input: &ItemType) -> Result<ItemType> {
        self.steps
            .iter()
            .try_fold(input.clone(), |item, step| step.transform.shape(&item).map_err(|error| step.locate(error)))
    }

    /// Transforms one sample: a function of the key, the pass, the sample and the item.
    ///
    /// # Errors
    /// `P0505`, at the transform that does not take what it gets.
    pub fn apply(&self, item: Item, pass: u64, sample: usize) -> Result<Item> {
        check(&item)?;
        let key = self.key.with(pass).with(sample as u64);
        self.steps.iter().enumerate().try_fold(item, |item, (index, step)| {
            guarded(|| step.transform.apply(item, &mut key.with(index as u64).rng()))
                .unwrap_or_else(|| Err(Diagnostic::error(Code::Internal, format!("`{}` panicked", step.kind))))
                .map_err(|error| step.locate(error))
        })
    }

    /// Whether a model can carry these transforms in front of it, for images of any size with so many channels.
    ///
    /// # Errors
    /// `P0213` that points at the transform that ONNX cannot reproduce, and says why.
    pub fn carried(&self, channels: usize) -> Result<()> {
        let refused = |why: &str| {
            Diagnostic::error(Code::NotSupported, format!("ONNX cannot reproduce the evaluation transforms: {why}"))
                .help("leave `preprocess` out, and feed `model.onnx` with preprocessed batches")
        };
        if let Some(index) = self.first_random() {
            let step = &self.steps[index];
            return Err(step.locate(refused(&format!("`{}` draws random numbers", step.kind))));
        }
        let mut item = ItemType::Image { h: None, w: None, channels };
        for step in &self.steps {
            item = step.transform.shape(&item).map_err(|error| {
                let message = "a model that carries its preprocessing takes images of any size, and the evaluation transforms do not";
                let refused = Diagnostic::error(Code::NotSupported, message).note(error.message());
                step.locate(match error.help_text() {
                    Some(help) => refused.help(help),
                    None => refused,
                })
            })?;
        }
        let mut scratch = Graph::default();
        let dims = ["1", "H", "W"].map(|name| Dim::Symbol(name.to_owned())).into_iter().chain([Dim::Known(channels)]);
        let image = scratch.add_input("image", TensorType { dtype: DType::U8, dims: dims.collect() });
        match self.emit(&mut Builder::new(&mut scratch, "preprocess"), image)? {
            Some(_) => Ok(()),
            None if matches!(item, ItemType::Image { .. }) => Err(refused("they end in an image")),
            None => Err(refused("one of them has no ONNX form")),
        }
    }

    /// The same on one image inside a graph: `image` is uint8 [1, H, W, C] with any H and W, C being its last known
    /// dimension or 3. Returns f32 [1, …], or `None` when some transform cannot be reproduced there or the last
    /// transform still leaves an image.
    pub fn emit(&self, b: &mut Builder, image: ValueId) -> Result<Option<ValueId>> {
        let channels = b.graph.ty(image).and_then(|ty| match ty.dims.last() {
            Some(Dim::Known(channels)) => Some(*channels),
            _ => None,
        });
        let image_type = ItemType::Image { h: None, w: None, channels: channels.unwrap_or(3) };
        if !matches!(self.shape(&image_type), Ok(ItemType::Array { .. })) {
            return Ok(None);
        }
        emit_chain(self.steps.iter().map(|step| step.transform.as_ref()), b, image, &image_type)
    }
}

/// Transforms rely on what an image says of itself.
fn check(item: &Item) -> Result<()> {
    let Item::Image(image) = item else { return Ok(()) };
    let bytes = image.height.checked_mul(image.width).and_then(|pixels| pixels.checked_mul(image.channels));
    if bytes == Some(image.data.len()) && !image.data.is_empty() && matches!(image.channels, 1 | 3) {
        return Ok(());
    }
    let (height, width, channels) = (image.height, image.width, image.channels);
    Err(Diagnostic::error(Code::DataShape, format!("an image of {height} × {width} with {channels} channels"))
        .note(format!("it holds {} bytes", image.data.len()))
        .help("images have 1 or 3 channels and at least one pixel"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::transforms::Image;
    use serde_json::json;

    fn build(chosen: &[(&str, serde_json::Value)]) -> Result<Pipeline> {
        let chosen: Vec<_> = chosen.iter().map(|(kind, config)| Chosen::new(kind, config.clone())).collect();
        Pipeline::build(&chosen, Key::new(3))
    }

    #[test]
    fn shapes_are_those_of_what_comes_out() {
        let pipeline = build(&[
            ("resize", json!({"size": 8})),
            ("center_crop", json!({"size": [7, 6]})),
            ("to_tensor", json!({})),
            ("normalize", json!({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]})),
        ])
        .unwrap();
        assert_eq!(pipeline.first_random(), None);
        let input = ItemType::Image { h: None, w: None, channels: 3 };
        assert_eq!(pipeline.shape(&input).unwrap(), ItemType::Array { shape: vec![3, 7, 6] });
        let image = Image { height: 11, width: 20, channels: 3, data: vec![255; 660] };
        let out = pipeline.apply(Item::Image(image), 0, 0).unwrap();
        assert_eq!(out, Item::Array { shape: vec![3, 7, 6], data: vec![1.0; 126] });
        let grey = ItemType::Image { h: None, w: None, channels: 1 };
        assert_eq!(pipeline.shape(&grey).unwrap_err().code().id(), "P0505");
    }

    /// Features are cached under [`REVISION`]: when this digest changes, so must it. Random transforms are never cached.
    #[test]
    fn what_transforms_make_is_that_of_the_revision() {
        let data: Vec<u8> = (0..37 * 53 * 3).map(|i: usize| (i * i % 251) as u8).collect();
        let mut digest = blake3::Hasher::new();
        let chains: [&[(&str, serde_json::Value)]; 5] = [
            &[("resize", json!({"size": 24})), ("center_crop", json!({"size": 20}))],
            &[("resize", json!({"size": [70, 11]}))],
            &[("resize", json!({"size": [11, 70], "interpolation": "bicubic"}))],
            &[("resize", json!({"size": [9, 80], "interpolation": "nearest"}))],
            &[("grayscale", json!({}))],
        ];
        for chain in chains {
            let ends = [("to_tensor", json!({})), ("normalize", json!({"mean": [0.5], "std": [0.25]}))];
            let channels = if chain[0].0 == "grayscale" { 2 } else { 1 };
            let pipeline = build(&[chain, &ends[..channels]].concat()).unwrap();
            let image = Image { height: 37, width: 53, channels: 3, data: data.clone() };
            let Item::Array { data, .. } = pipeline.apply(Item::Image(image), 1, 5).unwrap() else { unreachable!() };
            for value in &data {
                digest.update(&value.to_le_bytes());
            }
        }
        assert_eq!(
            (REVISION, digest.finalize().to_hex().as_str()),
            (2, "dce65e55784ecb51430911f0c0a1213c6fcd5e10ea14c76a09ca3adf8e2dd5d1")
        );
    }

    #[test]
    fn hostile_images_are_errors() {
        let pipeline = build(&[("resize", json!({"size": 8})), ("to_tensor", json!({}))]).unwrap();
        for (height, width, channels, bytes) in [(0, 5, 3, 0), (2, 2, 3, 11), (1, 1, 7, 7), (1, 60_000, 1, 60_000)] {
            let image = Image { height, width, channels, data: vec![0; bytes] };
            assert_eq!(pipeline.apply(Item::Image(image), 0, 0).unwrap_err().code().id(), "P0505");
        }
        let huge = Image { height: usize::MAX, width: 2, channels: 3, data: vec![] };
        assert_eq!(pipeline.apply(Item::Image(huge), 0, 0).unwrap_err().code().id(), "P0505");
        assert_eq!(build(&[("resize", json!({"size": 0}))]).unwrap_err().code().id(), "P0203");
        assert_eq!(build(&[("resize", json!({"size": [3, 70000]}))]).unwrap_err().code().id(), "P0203");
        assert_eq!(build(&[("nothing", json!({}))]).unwrap_err().code().id(), "P0205");
    }
}
