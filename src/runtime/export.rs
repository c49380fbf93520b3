//! Writes the fine-tuned model and checks on the written bytes that it gives the evaluated numbers (DESIGN D13).

use super::evaluate::Raw;
use super::feed::{Feed, LastBatch, cut};
use super::step::Column;
use super::weights::Weights;
use crate::data::{Dataset, Pipeline};
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::Network;
use crate::ir::{Builder, DType, Dim, Graph, Node, Tensor, TensorType, onnx};
use crate::native::{Options, Session};
use crate::parts::sources::Item;
use crate::world;
use ndarray::{ArrayView2, Zip, s};
use std::collections::BTreeMap;
use std::path::Path;

/// Input of the model that carries the preprocessing.
const IMAGE: &str = "image";

/// Images that are compared, and the largest relative difference: a pixel may be a level off where ONNX resizes it.
const IMAGES: usize = 4;
const IMAGE_TOLERANCE: f32 = 0.05;

/// Largest relative difference between the exported model and the evaluation: both are f32 sums in other orders.
const TOLERANCE: f32 = 1e-3;

/// The network with the current weights, one symbolic batch dimension, outputs named after their branches.
pub(super) fn final_graph(
    network: &Network,
    weights: &Weights,
    wanted: &[String],
    metadata: &[(String, String)],
) -> Graph {
    let mut graph = network.graph.clone();
    weights.write_into(&mut graph);
    crate::graph::remove_dropout(&mut graph);
    let mut outputs = Vec::new();
    for wanted in wanted {
        if let Some((name, value)) = network.branches.iter().find(|(name, _)| name == wanted)
            && !outputs.contains(value)
        {
            graph.rename(*value, name);
            outputs.push(*value);
        }
    }
    graph.outputs = outputs;
    graph.prune(true);
    for (key, value) in metadata {
        graph.metadata.insert(key.clone(), value.clone());
    }
    graph
}

/// Encodes and writes a graph.
pub(super) fn write(path: &Path, graph: &Graph) -> Result<Vec<u8>> {
    graph.verify("export")?;
    let bytes = onnx::encode(graph);
    world::write_atomic(path, |out| out.write_all(&bytes))?;
    Ok(bytes)
}

/// The same network behind the evaluation transforms: a decoded image in, uint8 [1, H, W, C] of any size. `None` when ONNX cannot
/// reproduce the transforms.
pub(super) fn with_preprocessing(
    graph: &Graph,
    network: &Network,
    pipeline: &Pipeline,
    channels: usize,
) -> Result<Option<Graph>> {
    let mut whole = graph.clone();
    let old = network.input;
    if whole.name(old) == IMAGE {
        // The image takes the name of the batch that it stands for.
        let free = whole.fresh("preprocessed");
        let name = format!("{}~", whole.name(free));
        whole.rename(old, &name);
    }
    let nodes = std::mem::take(&mut whole.nodes);
    let dims = vec![Dim::Known(1), Dim::Symbol("H".to_owned()), Dim::Symbol("W".to_owned()), Dim::Known(channels)];
    let image = whole.add_input(IMAGE, TensorType { dtype: DType::U8, dims });
    let mut b = Builder::new(&mut whole, "preprocess");
    let Some(end) = pipeline.emit(&mut b, image)? else { return Ok(None) };
    let before: Vec<Node> = std::mem::replace(&mut whole.nodes, nodes);
    whole.replace_uses(old, end);
    let after = std::mem::take(&mut whole.nodes);
    whole.nodes = before.into_iter().chain(after).collect();
    whole.inputs.retain(|value| *value != old);
    // One image a call: what was free is 1.
    for value in whole.outputs.clone() {
        whole.set_batch(value, Dim::Known(1));
    }
    whole.verify("preprocessing")?;
    Ok(Some(whole))
}

/// Runs the model that carries the preprocessing on the first images of a dataset and compares with what the evaluation gave.
pub(super) fn check_images(bytes: &[u8], branch: &str, dataset: &Dataset, raw: &Raw, options: &Options) -> Result<()> {
    let mut session = Session::from_bytes(bytes, options)?;
    let Some(output) = session.outputs().iter().position(|(name, _)| name == branch) else { return Ok(()) };
    let scale = raw.scores.iter().fold(1.0f32, |m, x| m.max(x.abs()));
    for row in 0..dataset.len().min(IMAGES) {
        // A sample that cannot be read has been told of.
        let Ok(Item::Image(image)) = dataset.load(row) else { continue };
        let x = Tensor::from_bytes(DType::U8, vec![1, image.height, image.width, image.channels], image.data);
        let x = x.ok_or_else(|| Diagnostic::error(Code::Internal, "an image of another size than it says"))?;
        let outputs = session.call(&[(IMAGE, x)])?;
        let found = outputs.get(output).and_then(Tensor::to_vec::<f32>).unwrap_or_default();
        let evaluated = raw.scores.get(row * raw.units..).and_then(|rest| rest.get(..found.len())).unwrap_or_default();
        let worst = found.iter().zip(evaluated).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
        if found.len() != raw.units || worst > IMAGE_TOLERANCE * scale || found.iter().any(|x| x.is_nan()) {
            let message = "the exported model that takes images does not give the evaluated numbers";
            return Err(Diagnostic::error(Code::ExportMismatch, message)
                .note(format!("image `{}`: off by {worst}", dataset.sample_name(row)))
                .help("`export: {preprocess: false}` leaves it out"));
        }
    }
    Ok(())
}

/// Runs the written model at batch 1 and 7 on the first samples of a dataset and compares with what the evaluation gave.
pub(super) fn check(
    bytes: &[u8],
    network: &Network,
    branch: &str,
    feed: &Feed,
    raw: &Raw,
    options: &Options,
) -> Result<()> {
    if raw.units == 0 || feed.dataset.is_empty() {
        return Ok(());
    }
    let mut session = Session::from_bytes(bytes, options)?;
    // Only what was evaluated can be compared.
    let Some(output) = session.outputs().iter().position(|(name, _)| name == branch) else { return Ok(()) };
    let scale = raw.scores.iter().fold(1.0f32, |m, x| m.max(x.abs()));
    let input = network.graph.name(network.input).to_owned();
    let limit = feed.dataset.len().min(14);
    let evaluated = ArrayView2::from_shape((feed.dataset.len(), raw.units), &raw.scores)
        .map_err(|error| Diagnostic::error(Code::Internal, "scores without a shape").note(error.to_string()))?;
    for size in [1, 7] {
        let order: Vec<usize> = (0..limit).collect();
        let mut row = 0;
        for fed in feed.batches(cut(&order, size, LastBatch::Short), 0) {
            let fed = fed?;
            let mut shape = vec![fed.rows.len()];
            shape.extend(&network.sample);
            let x = Tensor::new(shape, fed.micro.data.first().map_or(&[], Column::f32));
            let outputs = session.call(&[(input.as_str(), x)])?;
            let rows = fed.rows.len();
            let Some(found) = outputs.get(output).and_then(Tensor::to_vec::<f32>) else { continue };
            let shape = |error: ndarray::ShapeError| {
                Diagnostic::error(Code::ExportMismatch, "the exported model gives another number of units")
                    .note(error.to_string())
            };
            let found = ArrayView2::from_shape((rows, raw.units), &found).map_err(shape)?;
            let block = evaluated.slice(s![row..row + rows, ..]);
            let worst = Zip::from(found).and(block).fold(0.0f32, |worst, a, b| {
                let off = (a - b).abs();
                // `max` passes NaN over.
                if off.is_nan() { f32::INFINITY } else { worst.max(off) }
            });
            if worst > TOLERANCE * scale {
                return Err(Diagnostic::error(
                    Code::ExportMismatch,
                    "the exported model does not give the evaluated numbers",
                )
                .note(format!("batch {size}, samples {row} to {}: off by {worst}", row + rows - 1)));
            }
            row += fed.rows.len();
        }
    }
    Ok(())
}

/// What the model was made of: no clock, no path, no host.
pub(super) fn metadata(spec: &crate::spec::Spec, classes: &[String]) -> Vec<(String, String)> {
    let mut entries = BTreeMap::new();
    entries.insert("pipe.name".to_owned(), spec.name.clone());
    let digest = blake3::hash(crate::spec::identity(spec).as_bytes());
    entries.insert("pipe.spec".to_owned(), digest.to_hex().to_string());
    entries.insert("pipe.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    if !classes.is_empty()
        && let Ok(names) = serde_json::to_string(classes)
    {
        entries.insert("pipe.classes".to_owned(), names);
    }
    entries.into_iter().collect()
}
