//! ONNX files: read, brought to one opset, written.
//!
//! What is read is untrusted: sizes are compared before anything is allocated, external data stays below the model's folder, and
//! every fault is a diagnostic that names the thing.

mod beside;
mod body;
mod external;
mod fold;
mod functions;
mod lift;
mod normalise;
mod order;
pub mod proto;
mod read;
mod tensor;
mod write;

use super::{Graph, Tensor, ValueId};
use crate::diag::{Code, Diagnostic, Result};
use crate::world;
pub use beside::external_files;
pub use body::{Body, rename_captures};
use external::External;
use functions::Functions;
pub use normalise::{Known, READ, known};
use prost::Message;
use proto::ModelProto;
use rayon::prelude::*;
use std::path::Path;

/// A model that was read, and what is worth saying about it.
#[derive(Debug)]
pub struct Loaded {
    /// The graph, at [`super::OPSET`], verified.
    pub graph: Graph,
    /// What the reader did not stop at.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a model file, its external data from the same folder.
///
/// # Errors
/// `P0301` when it is no ONNX file, `P0302` when its graph is not valid, `P0303` for opsets that are not covered, `P0310` for its
/// external data, `P0213` for parts of the format that are not handled.
pub fn load(path: &Path) -> Result<Loaded> {
    let bytes = world::read(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    decode(&bytes, Some(folder)).map_err(|cause| cause.note(format!("in `{}`", path.display())))
}

/// Reads a model from bytes. Without a folder, external data is an error.
///
/// # Errors
/// As [`load`].
pub fn decode(bytes: &[u8], folder: Option<&Path>) -> Result<Loaded> {
    let mut model = ModelProto::decode(bytes).map_err(|cause| {
        Diagnostic::error(Code::ModelRead, "the file is not an ONNX model, or it is cut short")
            .note(cause.to_string())
            .help("compare its size and checksum with the source")
    })?;
    let Some(mut proto) = model.graph.take() else {
        return Err(Diagnostic::error(Code::ModelRead, "the file holds no graph")
            .note(format!("{} bytes", bytes.len()))
            .help("it may be empty, or another kind of protobuf file"));
    };
    let mut functions = Functions::take(&mut model)?;
    let version = functions::standard_version(&model.opset_import);
    let standard = proto.node.iter().any(|node| read::domain(node.domain()).is_empty());
    if standard && !normalise::READ.contains(&version) {
        let text = format!("the model uses opset {version}");
        return Err(Diagnostic::error(Code::OpsetRange, text)
            .note(format!("opsets {} to {} are read", normalise::READ.start(), normalise::READ.end()))
            .help("export the model with opset 18"));
    }
    let nodes = functions.inline(std::mem::take(&mut proto.node), version)?;
    let staged = read::graph(&mut proto, nodes, &mut External::new(folder), false)?;
    let mut graph = normalise::normalise(staged)?.graph;
    lift::weights(&mut graph)?;
    for import in &model.opset_import {
        let domain = read::domain(import.domain());
        if !domain.is_empty() {
            graph.opsets.insert(domain.to_owned(), import.version());
        }
    }
    graph.metadata = read::properties(&model.metadata_props);
    graph.prune(true);
    graph.verify("normalise")?;
    Ok(Loaded { graph, warnings: Vec::new() })
}

/// Digest of a graph: of the bytes of its file without the constants, and of each constant. Two graphs with the same digest are the same.
pub fn digest(graph: &Graph) -> [u8; 32] {
    let mut bare = graph.clone();
    let constants: Vec<(ValueId, Tensor)> = std::mem::take(&mut bare.initializers).into_iter().collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(&encode(&bare)).as_bytes());
    let each: Vec<blake3::Hash> = constants.par_iter().map(|(_, tensor)| blake3::hash(tensor.bytes())).collect();
    for ((id, tensor), bytes) in constants.iter().zip(each) {
        let text = format!("{} {} {:?}\n", graph.name(*id), tensor.dtype(), tensor.shape());
        hasher.update(text.as_bytes()).update(bytes.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The bytes of a model file that holds the graph.
pub fn encode(graph: &Graph) -> Vec<u8> {
    write::model(graph).encode_to_vec()
}

#[cfg(test)]
mod tests;
