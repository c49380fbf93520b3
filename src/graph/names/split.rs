//! Undoes what exporters merge, and notices what they fold.

use super::Names;
use super::roles::role;
use super::scopes::module_path;
use crate::diag::{Code, Diagnostic};
use crate::ir::{Graph, Node, ValueId};
use std::collections::BTreeSet;

/// An initializer that got copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Its name, which the first reader keeps.
    pub name: String,
    /// The names of the copies, one for each further reader.
    pub copies: Vec<String>,
}

/// Gives every reader of a shared parameter or statistic a copy of its own.
///
/// Exporters merge equal initializers: three fresh LayerNorms share one weight. So vectors and scalars are split; tensors of rank 2
/// and more are tied on purpose (embedding and output layer) and stay so unless `tied_split`. What a body reads stays shared, and so does
/// what is read in slices, as biases of recurrent layers are whose gates the exporter puts into another order.
pub fn split_shared(graph: &mut Graph, tied_split: bool) -> Vec<Split> {
    let names = Names::of(graph);
    let captured: BTreeSet<String> =
        graph.nodes.iter().flat_map(Node::bodies).flat_map(|(_, captures)| captures.iter().cloned()).collect();
    let mut splits = Vec::new();
    for param in names.params().iter().chain(names.buffers()) {
        let fixed = graph.outputs.contains(&param.value) || captured.contains(graph.name(param.value));
        if fixed || (param.shape.len() >= 2 && !tied_split) {
            continue;
        }
        let Some(tensor) = graph.constant(param.value).cloned() else { continue };
        let mut copies = Vec::new();
        let readings = readings(graph, param.value);
        if readings.iter().any(|(index, _)| graph.nodes[*index].op == "Slice") {
            continue;
        }
        for (index, part) in readings.into_iter().skip(1) {
            let hint = copy_name(graph, index, part, param.value);
            let copy = graph.add_initializer(&hint, tensor.clone());
            let title = graph.nodes[index].title();
            for (place, input) in graph.nodes[index].inputs.iter_mut().enumerate() {
                if *input == Some(param.value) && part_of(&title, place) == part {
                    *input = Some(copy);
                }
            }
            copies.push(graph.name(copy).to_owned());
        }
        if !copies.is_empty() {
            splits.push(Split { name: param.name.clone(), copies });
        }
    }
    splits
}

/// The nodes that read a value, each once for every part that the value plays in it: fresh biases and running means are all zeros and
/// merge within one BatchNorm, whereas both factors of a square are one parameter.
fn readings(graph: &Graph, value: ValueId) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.inputs.contains(&Some(value))) {
        let title = node.title();
        for (place, _) in node.inputs.iter().enumerate().filter(|(_, input)| **input == Some(value)) {
            let reading = (index, part_of(&title, place));
            if !found.contains(&reading) {
                found.push(reading);
            }
        }
    }
    found
}

fn part_of(title: &str, place: usize) -> &'static str {
    role(title, place).map_or("", |role| role.part)
}

/// The path of the reader where it has one, so that the copy is called what it was called before the merge.
fn copy_name(graph: &Graph, index: usize, part: &str, value: ValueId) -> String {
    let node = &graph.nodes[index];
    match module_path(node).or_else(|| (!node.name.is_empty()).then(|| node.name.clone())) {
        Some(owner) if !part.is_empty() => format!("{owner}.{part}"),
        _ => graph.name(value).to_owned(),
    }
}

/// `P0311`, a warning, for a network of convolutions and activations whose BatchNorm was folded away by the exporter.
pub fn folded_batch_norm(graph: &Graph, names: &Names) -> Option<Diagnostic> {
    let convolutions = graph.nodes.iter().filter(|node| node.op == "Conv");
    let (mut count, mut biased) = (0, 0);
    for node in convolutions {
        count += 1;
        biased += usize::from(node.input(2).is_some_and(|bias| names.param_of(bias).is_some()));
    }
    let normalised = graph.nodes.iter().any(|node| node.op.ends_with("Normalization") && node.op != "LpNormalization");
    let rectified = graph.nodes.iter().any(|node| node.op == "Relu" || node.op == "Clip");
    if count < 4 || biased < count || normalised || !rectified {
        return None;
    }
    Some(
        Diagnostic::warning(
            Code::FoldedBatchNorm,
            format!("the model has {count} convolutions, all with a bias, and no BatchNorm: it was probably folded when exported"),
        )
        .note("folded BatchNorm cannot be trained or frozen on its own, and fine-tuning all layers is less stable without it")
        .help("export in training mode (`training=torch.onnx.TrainingMode.TRAINING`, `do_constant_folding=False`) to keep it; ignore this for a network that never had it, such as VGG"),
    )
}
