//! Types and static shapes of every value of a graph, from ONNX Runtime itself (DESIGN D4): a session of which every value is an
//! output. Large float weights go in as inputs of their shape: no shape depends on their numbers, and nothing can be folded from them.

use super::session::{Level, Options, Session};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{DType, Graph, TensorType, ValueId};

/// Elements above which a float constant is probed as an input. Small ones stay: `Resize` scales and the like shape their outputs.
const SMALL: usize = 64;

/// Sets the type of every value that a node makes, with `dims` for symbolic dimensions. Values whose shape ONNX Runtime does not know statically
/// keep unknown dimensions.
///
/// # Errors
/// `P0608` with ONNX Runtime's words when it refuses the graph.
pub fn probe(graph: &mut Graph, dims: &[(String, usize)]) -> Result<()> {
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
    bare.outputs.clone_from(&made);
    let options = Options { threads: 1, level: Level::Basic, dims: dims.to_vec(), profile: None };
    let session = Session::build(&bare, &options).map_err(refused)?;
    for (name, ty) in session.outputs() {
        let (Some(value), Some((dtype, shape))) = (graph.find(&name), ty) else { continue };
        let old = graph.ty(value);
        let dims = shape
            .iter()
            .enumerate()
            .map(|(axis, size)| match usize::try_from(*size) {
                Ok(size) => crate::ir::Dim::Known(size),
                Err(_) => old
                    .as_ref()
                    .and_then(|ty| ty.dims.get(axis).cloned())
                    .unwrap_or_else(|| crate::ir::Dim::Symbol(String::new())),
            })
            .collect();
        graph.set_type(value, Some(TensorType { dtype, dims }));
    }
    Ok(())
}

/// A graph that cannot even be loaded is another matter than one that fails while it runs.
fn refused(error: Diagnostic) -> Diagnostic {
    if error.code() != Code::RunFailed {
        return error;
    }
    let refused = Diagnostic::error(Code::ProbeFailed, "ONNX Runtime does not take the model");
    error.notes().iter().fold(refused, Diagnostic::note)
}
