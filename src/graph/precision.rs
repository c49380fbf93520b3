//! Mixed precision: products of matrices and convolutions, forward and backward, read and write half precision. What only moves, adds or
//! gates their results, or normalises them by the statistics of a batch, leaves these in half precision; all else is single.
//!
//! Casts stand in front of and behind such nodes, one for each value that is read; weights stay f32, which makes them the master copy. Layer
//! norms, softmax, losses, sums and the optimizer are single, as under `torch.autocast`; statistics of a batch and sums over it are too,
//! while the images that they are of are not.

use crate::ir::{Attr, Builder, TensorType};
use crate::ir::{DOMAIN, DType, Graph, Node, ValueId};
use crate::kernels;
use crate::spec::Precision;
use std::collections::{BTreeMap, BTreeSet};

/// Which values of a node are in half precision.
struct Halves {
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// Lowers a graph whose types are known. Gives the values that are made in half precision now, each with the one that it stands for.
pub(super) fn lower(graph: &mut Graph, precision: Precision) -> Vec<(ValueId, ValueId)> {
    let half = match precision {
        Precision::F32 | Precision::Tf32 => return Vec::new(),
        Precision::F16 => DType::F16,
        Precision::Bf16 => DType::Bf16,
    };
    let mut cast: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    // Values that came into being in half precision: nothing is lost when they are read so.
    let mut born: BTreeSet<ValueId> = BTreeSet::new();
    let mut halves_of = Vec::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        let Some(halves) = product(graph, &node).or_else(|| follower(graph, &node, half, &born)) else {
            graph.nodes.push(node);
            continue;
        };
        for index in halves.inputs {
            let Some(Some(input)) = node.inputs.get_mut(index) else { continue };
            *input = *cast.entry(*input).or_insert_with(|| to(graph, *input, half));
        }
        let mut back = Vec::new();
        for index in halves.outputs {
            let Some(Some(output)) = node.outputs.get_mut(index) else { continue };
            let wide = *output;
            let name = graph.name(wide).to_owned();
            let narrow = graph.fresh(&format!("{name}/half"));
            set(graph, narrow, wide, half);
            *output = narrow;
            back.push((narrow, wide));
        }
        graph.nodes.push(node);
        for (narrow, wide) in back {
            let made =
                Builder::new(graph, "precision").op_with("Cast", &[narrow], &[("to", Attr::Int(DType::F32 as i64))]);
            if let Some(last) = graph.nodes.last_mut() {
                last.outputs.iter_mut().filter(|slot| **slot == Some(made)).for_each(|slot| *slot = Some(wide));
            }
            // It is read as it is.
            cast.insert(wide, narrow);
            born.insert(wide);
            halves_of.push((narrow, wide));
        }
    }
    halves_of
}

/// A product or convolution of floats, or a gradient of one.
fn product(graph: &Graph, node: &Node) -> Option<Halves> {
    let named = match node.domain.as_str() {
        "" if matches!(node.op.as_str(), "MatMul" | "Gemm") => true,
        _ => kernels::is_for_cudnn(graph, node),
    };
    let single = node.inputs.iter().flatten().all(|value| graph.dtype(*value) == Some(DType::F32));
    (named && single).then(|| Halves { inputs: (0..node.inputs.len()).collect(), outputs: vec![0] })
}

/// A node that leaves in half precision what is there already.
fn follower(graph: &Graph, node: &Node, half: DType, born: &BTreeSet<ValueId>) -> Option<Halves> {
    let halves = |inputs: &[usize], output: bool| Halves {
        inputs: inputs.to_vec(),
        outputs: if output { vec![0] } else { Vec::new() },
    };
    let halves = match (node.domain.as_str(), node.op.as_str()) {
        ("", "Relu" | "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity") => halves(&[0], true),
        ("", "Add") => halves(&[0, 1], true),
        // Not in bfloat16 in the standard's opset.
        ("", "MaxPool") if half == DType::F16 => halves(&[0], true),
        ("", "BatchNormalization") if kernels::is_of_batch(node) => halves(&[0], true),
        (DOMAIN, _) => kernels::on_cuda(graph, node).map(|of| halves(of.inputs, of.output))?,
        _ => return None,
    };
    let mut some = false;
    let there = halves.inputs.iter().all(|index| {
        let Some(value) = node.input(*index) else { return false };
        some |= born.contains(&value);
        born.contains(&value) || is_bias(graph, value)
    });
    (there && some).then_some(halves)
}

/// A row of parameters, which is added to what a product gave.
fn is_bias(graph: &Graph, value: ValueId) -> bool {
    let stored = graph.inputs.contains(&value) || graph.constant(value).is_some();
    stored && graph.dtype(value) == Some(DType::F32) && graph.shape(value).is_some_and(|shape| shape.len() == 1)
}

fn to(graph: &mut Graph, value: ValueId, dtype: DType) -> ValueId {
    let made = Builder::new(graph, "precision").cast(value, dtype);
    set(graph, made, value, dtype);
    made
}

/// Gives a value the shape of another and a type.
fn set(graph: &mut Graph, value: ValueId, like: ValueId, dtype: DType) {
    let shape = graph.shape(like);
    graph.set_type(value, shape.map(|shape| TensorType::fixed(dtype, &shape)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::OPSET;
    use crate::native::probe;

    /// What a residual block does in training, forward and the first of its gradients.
    fn block() -> Graph {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let image = TensorType::fixed(DType::F32, &[2, 4, 6, 6]);
        let [x, dy] = ["x", "dy"].map(|name| graph.add_input(name, image.clone()));
        let w = graph.add_input("w", TensorType::fixed(DType::F32, &[4, 4, 1, 1]));
        let [scale, bias, a, b] =
            ["scale", "bias", "a", "b"].map(|name| graph.add_input(name, TensorType::fixed(DType::F32, &[4])));
        let mut builder = Builder::new(&mut graph, "block");
        let made = builder.op("Conv", &[x, w]);
        let attrs = [("training_mode", Attr::Int(1)), ("momentum", Attr::Float(0.0))];
        let norm = builder.node("", "BatchNormalization", &[made, scale, bias, a, b].map(Some), &attrs, 3);
        let open = builder.op("Relu", &[norm[0]]);
        let apart = builder.op("Relu", &[x]);
        let sum = builder.add(open, made);
        let rest = builder.add(open, apart);
        let back = builder.node(DOMAIN, "ConvDataGrad", &[dy, w].map(Some), &shape_of(), 1)[0];
        let gate = builder.node(DOMAIN, "GateGrad", &[back, open].map(Some), &[("low", Attr::Float(0.0))], 1)[0];
        let sums = builder.node(DOMAIN, "BatchNormSums", &[gate, made, norm[1], norm[2]].map(Some), &[], 1)[0];
        let all = [gate, made, scale, norm[1], norm[2], sums].map(Some);
        let dx = builder.node(DOMAIN, "BatchNormDataGrad", &all, &[], 1)[0];
        graph.outputs = vec![sum, rest, dx, norm[1]];
        probe(&mut graph, &[]).unwrap();
        graph
    }

    fn shape_of() -> [(&'static str, Attr); 2] {
        [("shape", Attr::Ints(vec![6, 6])), ("kernel_shape", Attr::Ints(vec![1, 1]))]
    }

    #[test]
    fn what_follows_a_convolution_stays_in_half_precision() {
        for (precision, half) in [(Precision::Bf16, DType::Bf16), (Precision::F16, DType::F16)] {
            let mut graph = block();
            lower(&mut graph, precision);
            graph.prune(false);
            graph.verify("lowered").unwrap();
            let found: Vec<(String, Vec<DType>)> = graph
                .nodes
                .iter()
                .filter(|node| node.op != "Cast")
                .map(|node| {
                    let types = node.inputs.iter().flatten().map(|value| graph.dtype(*value).unwrap());
                    (node.op.clone(), types.collect())
                })
                .collect();
            let f = DType::F32;
            let wanted = [
                ("Conv", vec![half, half]),
                ("BatchNormalization", vec![half, f, f, f, f]),
                ("Relu", vec![half]),
                ("Relu", vec![f]),
                ("Add", vec![half, half]),
                // One of the two is single.
                ("Add", vec![f, f]),
                ("ConvDataGrad", vec![half, half]),
                ("GateGrad", vec![half, half]),
                ("BatchNormSums", vec![half, half, f, f]),
                ("BatchNormDataGrad", vec![half, half, f, f, f, f]),
            ]
            .map(|(op, types)| (op.to_owned(), types));
            assert_eq!(found, wanted);
            let outputs: Vec<_> = graph.outputs.iter().map(|output| graph.dtype(*output).unwrap()).collect();
            assert_eq!(outputs, [f; 4]);
            // Four values go in, and what is read in f32 comes back: two outputs, and the one Relu that the sum in f32 reads.
            assert_eq!(graph.nodes.iter().filter(|node| node.op == "Cast").count(), 3 + 3);
        }
    }
}
