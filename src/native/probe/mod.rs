//! Types and static shapes of every value of a graph, from ONNX Runtime itself (DESIGN D4): a session of which every value is an
//! output. Large float weights go in as inputs of their shape: no shape depends on their numbers, and nothing can be folded from them.
//!
//! ONNX Runtime computes constants while it loads a graph, so a hostile one takes any memory and time. [`probe_untrusted`] loads it in
//! a confined process of its own.

mod confined;

pub use confined::{Confined, PROBE_MEMORY, PROBE_SECONDS, answer, confine_probes};

use super::session::{Level, Options, Session, TensorType as Found};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{DType, Dim, Graph, TensorType, ValueId, onnx};

/// Sizes of symbolic dimensions by name.
pub type Sizes = Vec<(String, usize)>;

/// Names and types of the outputs of a session.
type Outputs = Vec<(String, Option<Found>)>;

/// Elements above which a float constant is probed as an input. Small ones stay: `Resize` scales and the like shape their outputs.
const SMALL: usize = 64;

/// Sets the type of every value that a node makes, with `dims` for symbolic dimensions. Values whose shape ONNX Runtime does not know statically
/// keep unknown dimensions.
///
/// # Errors
/// `P0608` with ONNX Runtime's words when it refuses the graph.
pub fn probe(graph: &mut Graph, dims: &[(String, usize)]) -> Result<()> {
    let found = outputs(&onnx::encode(&bare(graph)), dims)?;
    set_types(graph, found);
    Ok(())
}

/// As [`probe`], for a graph that nobody vouches for, once for each of some choices of sizes: in a process of its own, if the program
/// has set one up with [`confine_probes`]. Gives the graph back with the types of each choice.
///
/// # Errors
/// As [`probe`]; `P0609` when the process went over its limits or died, or when what is constant in the graph would.
pub fn probe_untrusted<const K: usize>(graph: &Graph, choices: [Sizes; K]) -> Result<[Graph; K]> {
    let model = onnx::encode(&bare(graph));
    let found = match confined::registered() {
        Some(confined) => confined.ask(&model, &choices)?,
        None => choices.iter().map(|sizes| outputs(&model, sizes)).collect::<Result<Vec<_>>>()?,
    };
    let mut found = found.into_iter();
    let graphs = choices.map(|_| {
        let mut graph = graph.clone();
        set_types(&mut graph, found.next().unwrap_or_default());
        graph
    });
    if let Some(confined) = confined::registered() {
        graphs.iter().try_for_each(|graph| confined.admit(constant_bytes(graph)))?;
    }
    Ok(graphs)
}

/// Bytes of all values of known shape that depend on constants alone. A session of the whole graph may compute them when it is loaded,
/// also those that the probe did not because they are made from large weights or are too large.
fn constant_bytes(graph: &Graph) -> u64 {
    let mut constant = vec![false; graph.value_count()];
    for value in graph.initializers.keys() {
        constant[value.0 as usize] = true;
    }
    let mut total = 0u64;
    for node in &graph.nodes {
        if !graph.reads(node).iter().all(|value| constant[value.0 as usize]) {
            continue;
        }
        for output in node.outputs.iter().flatten() {
            constant[output.0 as usize] = true;
            let Some(ty) = graph.ty(*output) else { continue };
            let sizes = ty.shape().unwrap_or_else(|| vec![0]);
            let bytes = sizes.iter().fold(ty.dtype.size() as u64, |bytes, size| bytes.saturating_mul(*size as u64));
            total = total.saturating_add(bytes);
        }
    }
    total
}

/// The graph with every value as an output and large float weights as inputs.
fn bare(graph: &Graph) -> Graph {
    let mut bare = graph.clone();
    let large: Vec<ValueId> = bare
        .initializers
        .iter()
        .filter(|(_, tensor)| {
            matches!(tensor.dtype(), DType::F32 | DType::F64 | DType::F16 | DType::Bf16) && tensor.len() > SMALL
        })
        .map(|(id, _)| *id)
        .collect();
    for id in &large {
        let ty = bare.ty(*id);
        bare.initializers.remove(id);
        bare.set_type(*id, ty);
        bare.inputs.push(*id);
    }
    let made: Vec<ValueId> = bare.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
    for value in &made {
        bare.set_type(*value, None);
    }
    bare.outputs = made;
    bare
}

/// Names and types of the outputs of an encoded model.
fn outputs(model: &[u8], dims: &[(String, usize)]) -> Result<Outputs> {
    let options = Options { threads: 1, level: Level::Basic, dims: dims.to_vec(), ..Options::default() };
    Ok(Session::from_bytes(model, &options).map_err(refused)?.outputs())
}

/// A graph that cannot even be loaded is another matter than one that fails while it runs.
fn refused(error: Diagnostic) -> Diagnostic {
    if error.code() != Code::RunFailed {
        return error;
    }
    let refused = Diagnostic::error(Code::ProbeFailed, "ONNX Runtime does not take the model");
    error.notes().iter().fold(refused, Diagnostic::note)
}

fn set_types(graph: &mut Graph, found: Outputs) {
    for (name, ty) in found {
        let (Some(value), Some((dtype, shape))) = (graph.find(&name), ty) else { continue };
        let old = graph.ty(value);
        let dims = shape
            .iter()
            .enumerate()
            .map(|(axis, size)| match usize::try_from(*size) {
                Ok(size) => Dim::Known(size),
                Err(_) => {
                    old.as_ref().and_then(|ty| ty.dims.get(axis).cloned()).unwrap_or_else(|| Dim::Symbol(String::new()))
                }
            })
            .collect();
        graph.set_type(value, Some(TensorType { dtype, dims }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Tensor};

    #[test]
    fn what_depends_on_constants_alone_is_counted() {
        let mut graph = Graph::default();
        let x = graph.add_input("x", TensorType::fixed(DType::F32, &[1]));
        let w = graph.add_initializer("w", Tensor::vector(&[1.0f32]));
        let mut b = Builder::new(&mut graph, "t");
        let large = b.op("Expand", &[w]);
        let huge = b.op("Expand", &[large]);
        let read = b.add(huge, x);
        graph.set_type(large, Some(TensorType::fixed(DType::F32, &[1000, 10])));
        graph.set_type(read, Some(TensorType::fixed(DType::F32, &[5000])));
        assert_eq!(constant_bytes(&graph), 40_000);
        graph.set_type(huge, Some(TensorType::fixed(DType::F64, &[usize::MAX, 2])));
        assert_eq!(constant_bytes(&graph), u64::MAX);
    }
}
