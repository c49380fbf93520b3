//! New layers of a branch.

use super::{Family, Row};
use crate::diag::Result;
use crate::ir::{Builder, ValueId};

/// How a parameter of a new layer starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Uniform in [−bound, bound].
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// One value everywhere.
    Constant(f32),
}

/// A parameter that a layer asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewParam {
    /// Last part of its name, such as `weight`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// torch's default for this layer; a spec's `init` replaces it for `weight`.
    pub start: Start,
    /// `false` for running statistics.
    pub trainable: bool,
}

/// A layer. Shapes include the batch dimension at index 0; its size is a stand-in and must not be baked in.
pub trait Layer: Send + Sync {
    /// Shape of what it makes of one input of this shape.
    ///
    /// # Errors
    /// `P0307` when it does not take such an input.
    fn shape(&self, input: &[usize]) -> Result<Vec<usize>>;
    /// Parameters for an input of this shape.
    fn params(&self, input: &[usize]) -> Result<Vec<NewParam>> {
        let _ = input;
        Ok(Vec::new())
    }
    /// Emits its nodes in evaluation form; `params` are in the order of [`Layer::params`]. Dropout and BatchNormalization are emitted
    /// as plain ONNX nodes: the training form is chosen by the graph room.
    fn build(&self, b: &mut Builder, x: ValueId, input: &[usize], params: &[ValueId]) -> Result<ValueId>;
}

/// The family of layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layers;

impl Family for Layers {
    type Item = dyn Layer;
    const NAME: &'static str = "layer";
    fn rows() -> &'static [Row<dyn Layer>] {
        &[]
    }
}
