//! What a source model takes, and where a new head goes.

use crate::diag::{Code, Diagnostic, Result};
use crate::graph::names::{Names, Place, module_path, split_shared};
use crate::graph::usual_size;
use crate::ir::{DType, Dim, Graph, ValueId, onnx};
use std::path::Path;

/// A model as a spec has to know it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    /// Shape of a sample, with sizes for free dimensions.
    pub(super) sample: Vec<usize>,
    /// Free dimensions that were given a size, by name.
    pub(super) free: Vec<(String, usize)>,
    /// Where the new head goes.
    pub(super) head: Head,
}

/// A place for a new head.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Head {
    /// The last linear layer, by a name that the spec may use, and how many units it has.
    Replaces(String, usize),
    /// A value that is the end of the model, and its rank.
    From(String, usize),
}

/// Operators between the last layer and the output that a new head makes useless.
const BEHIND: &[&str] =
    &["Softmax", "LogSoftmax", "Sigmoid", "Identity", "Flatten", "Reshape", "Squeeze", "Cast", "Add", "Dropout"];

/// Reads a model.
///
/// # Errors
/// Those of [`onnx::load`]; `P0312` for several inputs or one that is no batch of floats.
pub(super) fn read(path: &Path) -> Result<Model> {
    let mut graph = onnx::load(path)?.graph;
    split_shared(&mut graph, false);
    let [input] = graph.inputs[..] else {
        let names: Vec<&str> = graph.inputs.iter().map(|input| graph.name(*input)).collect();
        return Err(Diagnostic::error(Code::InputRole, format!("the model has {} inputs", names.len()))
            .note(format!("they are {}", names.join(", ")))
            .help("specs feed one input in this version"));
    };
    let Some(ty) = graph.ty(input).filter(|ty| ty.dtype == DType::F32 && !ty.dims.is_empty()) else {
        let error = Diagnostic::error(Code::InputRole, format!("`{}` takes no floats", graph.name(input)));
        return Err(error.help("specs feed pictures and numbers in this version"));
    };
    let (mut sample, mut free) = (Vec::new(), Vec::new());
    let rank = ty.dims.len();
    for (axis, dim) in ty.dims.iter().enumerate().skip(1) {
        match dim {
            Dim::Known(size) => sample.push(*size),
            Dim::Symbol(name) => {
                let size = usual_size(rank, axis);
                sample.push(size);
                if !name.is_empty() {
                    free.push((name.clone(), size));
                }
            }
        }
    }
    let head = head(&graph)?;
    Ok(Model { sample, free, head })
}

fn head(graph: &Graph) -> Result<Head> {
    let Some(output) = graph.outputs.first().copied() else {
        return Err(Diagnostic::error(Code::InputRole, "the model has no output"));
    };
    let (names, producers) = (Names::of(graph), graph.producers());
    let mut at = output;
    while let Some(index) = producers[at.0 as usize] {
        let node = &graph.nodes[index];
        let weights = node.input(1).and_then(|weights| graph.constant(weights));
        match (node.op.as_str(), weights) {
            ("Gemm" | "MatMul", Some(weights)) if weights.shape().len() == 2 => {
                let turned = node.op == "Gemm" && node.int("transB", 0) != 0;
                let units = weights.shape()[usize::from(!turned)];
                return Ok(match name(graph, &names, index, at) {
                    Some(name) => Head::Replaces(name, units),
                    None => end(graph, output),
                });
            }
            (op, _) if BEHIND.contains(&op) => {
                // Of a sum it is the operand that was computed.
                let inputs = || node.inputs.iter().flatten().copied();
                match inputs().find(|input| producers[input.0 as usize].is_some()) {
                    Some(input) => at = input,
                    None => break,
                }
            }
            _ => break,
        }
    }
    Ok(end(graph, output))
}

fn end(graph: &Graph, output: ValueId) -> Head {
    Head::From(graph.name(output).to_owned(), graph.ty(output).map_or(2, |ty| ty.dims.len()))
}

/// A name that means this node and nothing else: the path of its module, its own, or that of the value it makes.
fn name(graph: &Graph, names: &Names, index: usize, made: ValueId) -> Option<String> {
    let node = &graph.nodes[index];
    let candidates = [module_path(node), Some(node.name.clone()), Some(graph.name(made).to_owned())];
    let means = |name: &String| match names.place(graph, name) {
        Ok(Place::Node(found)) => found == index,
        Ok(Place::Module(found)) => {
            found.contains(&index) && found.iter().all(|at| *at >= index || is_part(graph, *at))
        }
        Ok(Place::Value(_)) | Err(_) => false,
    };
    candidates.into_iter().flatten().find(means)
}

/// Whether a node of a linear layer only prepares its weights.
fn is_part(graph: &Graph, index: usize) -> bool {
    matches!(graph.nodes[index].op.as_str(), "Transpose" | "Constant" | "Identity")
}
