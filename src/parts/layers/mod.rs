//! New layers of a branch.

mod average_pool;
mod batch_norm;
mod conv;
mod dropout;
mod flatten;
mod gelu;
mod global_average_pool;
mod layer_norm;
mod leaky_relu;
mod linear;
mod max_pool;
mod relu;
mod sigmoid;
mod softmax;
mod tanh;
mod window;

use super::head::head;
use super::{Family, Kind, Row};
use crate::diag::{Code, Diagnostic, Result};
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
        const ROWS: &[Row<dyn Layer>] = &[
            Row {
                kind: Kind::of::<average_pool::AveragePool>("average_pool", Some("kernel"), head!("average_pool.rs")),
                build: average_pool::build,
            },
            Row {
                kind: Kind::of::<batch_norm::BatchNorm>("batch_norm", None, head!("batch_norm.rs")),
                build: batch_norm::build,
            },
            Row { kind: Kind::of::<conv::Conv>("conv", None, head!("conv.rs")), build: conv::build },
            Row {
                kind: Kind::of::<dropout::Dropout>("dropout", Some("p"), head!("dropout.rs")),
                build: dropout::build,
            },
            Row { kind: Kind::of::<flatten::Flatten>("flatten", None, head!("flatten.rs")), build: flatten::build },
            Row { kind: Kind::of::<gelu::Gelu>("gelu", None, head!("gelu.rs")), build: gelu::build },
            Row {
                kind: Kind::of::<global_average_pool::GlobalAveragePool>(
                    "global_average_pool",
                    None,
                    head!("global_average_pool.rs"),
                ),
                build: global_average_pool::build,
            },
            Row {
                kind: Kind::of::<layer_norm::LayerNorm>("layer_norm", None, head!("layer_norm.rs")),
                build: layer_norm::build,
            },
            Row {
                kind: Kind::of::<leaky_relu::LeakyRelu>("leaky_relu", Some("slope"), head!("leaky_relu.rs")),
                build: leaky_relu::build,
            },
            Row { kind: Kind::of::<linear::Linear>("linear", Some("units"), head!("linear.rs")), build: linear::build },
            Row {
                kind: Kind::of::<max_pool::MaxPool>("max_pool", Some("kernel"), head!("max_pool.rs")),
                build: max_pool::build,
            },
            Row { kind: Kind::of::<relu::Relu>("relu", None, head!("relu.rs")), build: relu::build },
            Row { kind: Kind::of::<sigmoid::Sigmoid>("sigmoid", None, head!("sigmoid.rs")), build: sigmoid::build },
            Row {
                kind: Kind::of::<softmax::Softmax>("softmax", Some("axis"), head!("softmax.rs")),
                build: softmax::build,
            },
            Row { kind: Kind::of::<tanh::Tanh>("tanh", None, head!("tanh.rs")), build: tanh::build },
        ];
        ROWS
    }
}

/// `P0307` that says what a layer needs and what came in.
fn refuse(layer: &str, needs: &str, input: &[usize]) -> Diagnostic {
    let sizes = input.iter().skip(1).map(|size| format!(", {size}")).collect::<String>();
    let came = if input.is_empty() { "[]".to_owned() } else { format!("[N{sizes}]") };
    Diagnostic::error(Code::ShapeMismatch, format!("`{layer}` needs {needs}, but its input is {came}"))
}

/// Number of spatial dimensions of [N, C, size…], one to three.
fn spatial(layer: &str, input: &[usize]) -> Result<usize> {
    match input.len() {
        3..=5 => Ok(input.len() - 2),
        _ => Err(refuse(layer, "[N, channels, size…] with one to three sizes", input).help(
            "begin the branch where the model still has sizes, before it pools or flattens; `linear` takes [N, features]",
        )),
    }
}

/// Refuses a count that is 0 or beyond what fits into memory.
fn count(key: &str, value: usize) -> Result<()> {
    if (1..=1 << 24).contains(&value) {
        return Ok(());
    }
    let message = format!("`{key}` must lie between 1 and {}, not {value}", 1 << 24);
    Err(Diagnostic::error(Code::OutOfRange, message).at(key, ""))
}

#[cfg(test)]
mod tests {
    use super::{Family, Layer, Layers};
    use crate::diag::Code;
    use crate::ir::{Builder, DType, Graph, TensorType};

    /// Output shape, and the operators in order of a graph that passes verification.
    pub(super) fn ops(layer: &dyn Layer, input: &[usize]) -> (Vec<usize>, Vec<String>) {
        let mut graph = Graph::default();
        let x = graph.add_input("x", TensorType::fixed(DType::F32, input));
        let params: Vec<_> = layer
            .params(input)
            .unwrap()
            .iter()
            .map(|param| graph.add_input(param.name, TensorType::fixed(DType::F32, &param.shape)))
            .collect();
        let y = layer.build(&mut Builder::new(&mut graph, "layer"), x, input, &params).unwrap();
        graph.outputs.push(y);
        graph.verify("layer").unwrap();
        (layer.shape(input).unwrap(), graph.nodes.iter().map(|node| node.op.clone()).collect())
    }

    /// The input is refused with `P0307` and words that hold `needle`.
    pub(super) fn refused(layer: &dyn Layer, input: &[usize], needle: &str) {
        let error = layer.shape(input).unwrap_err();
        assert_eq!(error.code(), Code::ShapeMismatch);
        assert!(error.message().contains(needle), "{}", error.message());
    }

    #[test]
    fn no_layer_panics_on_odd_shapes() {
        let configs = [
            serde_json::json!({}),
            serde_json::json!({"kernel": 2}),
            serde_json::json!({"units": 2}),
            serde_json::json!({"channels": 2, "kernel": 1}),
        ];
        let shapes: [&[usize]; 7] = [&[], &[0], &[1], &[1, 0], &[1, 2, 0], &[1, 2, 3, 0], &[1; 8]];
        for row in Layers::rows() {
            let Some(layer) = configs.iter().find_map(|config| (row.build)(config).ok()) else {
                panic!("`{}` has no configuration here", row.kind.name);
            };
            for shape in shapes {
                let _ = layer.params(shape);
                if layer.shape(shape).is_ok() {
                    ops(layer.as_ref(), shape);
                }
            }
        }
    }
}
