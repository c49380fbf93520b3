//! Floating-point operations of a training step, counted from the shapes of its matrix products.
//!
//! A product of [m, k] and [k, n] counts 2·m·n·k, a convolution 2·N·(output channels)·(output places)·(input channels / groups)·(taps).
//! Backward counts the same once more for each of the two operands through which a gradient flows, whatever operators emit it. All else
//! (normalisation, activations, the optimizer) counts nothing, so shares of a peak are lower bounds.

use super::train::TrainGraph;
use crate::ir::{DOMAIN, DType, Graph, Node};

/// Counts for one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flops {
    /// Of the forward pass.
    pub forward: f64,
    /// Of forward and backward.
    pub step: f64,
}

impl Flops {
    /// Counts a training step.
    pub fn of(train: &TrainGraph) -> Self {
        let graph = &train.graph;
        let mut moves = vec![false; graph.value_count()];
        for (param, _) in &train.params {
            if let Some(value) = graph.find(param) {
                moves[value.0 as usize] = true;
            }
        }
        let mut sum = Self::default();
        for node in &graph.nodes[..train.forward] {
            let moved = |at: usize| node.input(at).is_some_and(|value| moves[value.0 as usize]);
            if let Some(product) = product(graph, node) {
                let operands = 1.0 + f64::from(u8::from(moved(0))) + f64::from(u8::from(moved(1)));
                sum.forward += product;
                sum.step += product * operands;
            }
            if graph.reads(node).iter().any(|value| moves[value.0 as usize]) {
                for output in node.outputs.iter().flatten() {
                    moves[output.0 as usize] =
                        matches!(graph.dtype(*output), None | Some(DType::F32 | DType::F16 | DType::Bf16));
                }
            }
        }
        sum
    }
}

/// Operations of one node, if it is a matrix product of known shapes.
fn product(graph: &Graph, node: &Node) -> Option<f64> {
    // Own operators are called as the standard ones that they stand for.
    if !node.domain.is_empty() && node.domain != DOMAIN {
        return None;
    }
    let shape = |value| graph.shape(value);
    let size = |shape: &[usize]| shape.iter().map(|size| *size as f64).product::<f64>();
    let (a, b, y) = (shape(node.input(0)?)?, shape(node.input(1)?)?, shape(node.output(0)?)?);
    let inner = match node.op.as_str() {
        "Conv" => size(b.get(1..)?),
        // Every input place meets every tap of its group. In forward the gradient of a convolution's input stands for a transposed one.
        "ConvTranspose" | "ConvDataGrad" => return Some(2.0 * size(&a) * size(b.get(1..)?)),
        "MatMul" => *a.last()? as f64,
        "Gemm" => *a.get(usize::from(node.int("transA", 0) == 0))? as f64,
        _ => return None,
    };
    Some(2.0 * size(&y) * inner)
}

#[cfg(test)]
mod tests {
    use super::super::recompute::Recomputed;
    use super::*;
    use crate::ir::{Attr, Builder, Tensor, TensorType};

    #[test]
    fn products_count_by_their_shapes() {
        let mut graph = Graph::default();
        let fixed = |shape: &[usize]| TensorType::fixed(DType::F32, shape);
        let x = graph.add_input("x", fixed(&[2, 4, 5, 5]));
        let w = graph.add_input("w", fixed(&[6, 2, 3, 3]));
        let v = graph.add_input("v", fixed(&[96, 7]));
        let y = Builder::new(&mut graph, "c").op_with("Conv", &[x, w], &[("group", Attr::Int(2))]);
        let flat = Builder::new(&mut graph, "f").op("Flatten", &[y]);
        let cut = Builder::new(&mut graph, "s").slice(flat, &[0], &[96], &[1], &[1]);
        let z = Builder::new(&mut graph, "m").matmul(cut, v);
        for (value, shape) in [(y, &[2, 6, 3, 3][..]), (flat, &[2, 54]), (cut, &[2, 96]), (z, &[2, 7])] {
            graph.set_type(value, Some(fixed(shape)));
        }
        let forward = graph.nodes.len();
        let mut train = TrainGraph {
            graph,
            batch: 2,
            data: vec!["x".to_owned()],
            forward,
            keys: None,
            params: vec![("w".to_owned(), String::new()), ("v".to_owned(), String::new())],
            states: Vec::new(),
            sums: Vec::new(),
            terms: Vec::new(),
            recomputed: Recomputed::default(),
        };
        let (conv, matmul) = (2.0 * 2.0 * 6.0 * 9.0 * 2.0 * 9.0, 2.0 * 2.0 * 7.0 * 96.0);
        // The data of the first layer needs no gradient.
        assert_eq!(Flops::of(&train), Flops { forward: conv + matmul, step: 2.0 * conv + 3.0 * matmul });
        train.params.remove(0);
        assert_eq!(Flops::of(&train).step, conv + 2.0 * matmul);
    }

    #[test]
    fn transposed_operands_and_convolutions_count_as_they_are() {
        let mut graph = Graph::default();
        let fixed = |shape: &[usize]| TensorType::fixed(DType::F32, shape);
        let a = graph.add_input("a", fixed(&[8, 3]));
        let b = graph.add_initializer("b", Tensor::new([5, 8], &[0f32; 40]));
        let x = graph.add_input("x", fixed(&[1, 2, 4]));
        let w = graph.add_initializer("w", Tensor::new([2, 3, 2], &[0f32; 12]));
        let y = Builder::new(&mut graph, "g").gemm(a, b, true, true);
        let z = Builder::new(&mut graph, "t").op("ConvTranspose", &[x, w]);
        graph.set_type(y, Some(fixed(&[3, 5])));
        graph.set_type(z, Some(fixed(&[1, 3, 5])));
        assert_eq!(product(&graph, &graph.nodes[0]), Some(2.0 * 15.0 * 8.0));
        assert_eq!(product(&graph, &graph.nodes[1]), Some(2.0 * 8.0 * 6.0));
        let own = Node { op: "ConvDataGrad".to_owned(), domain: DOMAIN.to_owned(), ..graph.nodes[1].clone() };
        assert_eq!(product(&graph, &own), Some(2.0 * 8.0 * 6.0));
    }
}
