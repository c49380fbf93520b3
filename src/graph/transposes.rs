//! Transposes of matrices in front of and behind products, which a Gemm does by itself.
//!
//! ONNX Runtime would fold them too, but what it puts in their place has another place in its order, in which every gradient of a weight runs
//! after all of the backward chain, so that all that they read is kept until the end (see `autodiff`'s order).

use crate::ir::{Attr, Graph, Node, ValueId};

/// Folds them into every Gemm of a graph whose types are known. What nobody reads any more is left to `prune`.
pub(super) fn fold(graph: &mut Graph) {
    let producers = graph.producers();
    for index in 0..graph.nodes.len() {
        if !is_gemm(&graph.nodes[index]) {
            continue;
        }
        for (input, name) in ["transA", "transB"].into_iter().enumerate() {
            let node = &graph.nodes[index];
            let maker =
                node.input(input).and_then(|value| producers[value.0 as usize]).map(|maker| &graph.nodes[maker]);
            let Some(inner) = maker.filter(|maker| is_transpose(maker)).and_then(|maker| maker.input(0)) else {
                continue;
            };
            let flipped = 1 - node.int(name, 0);
            let node = &mut graph.nodes[index];
            node.inputs[input] = Some(inner);
            node.attrs.insert(name.to_owned(), Attr::Int(flipped));
        }
    }
    let consumers = graph.consumers();
    let outputs = graph.outputs.clone();
    for index in 0..graph.nodes.len() {
        let Some(made) = graph.nodes[index].input(0).filter(|_| is_transpose(&graph.nodes[index])) else { continue };
        let alone = consumers[made.0 as usize].len() == 1 && !outputs.contains(&made);
        let gemm = producers[made.0 as usize].map(|maker| &graph.nodes[maker]).filter(|maker| alone && is_gemm(maker));
        let Some(product) = gemm.filter(|gemm| gemm.input(2).is_none()).cloned() else { continue };
        let [a, b] = ["transA", "transB"].map(|name| product.int(name, 0));
        let node = &mut graph.nodes[index];
        let output: Vec<Option<ValueId>> = node.outputs.clone();
        *node = Node { name: node.name.clone(), outputs: output, ..product };
        node.inputs.truncate(2);
        node.inputs.swap(0, 1);
        node.attrs.insert("transA".to_owned(), Attr::Int(1 - b));
        node.attrs.insert("transB".to_owned(), Attr::Int(1 - a));
    }
}

fn is_gemm(node: &Node) -> bool {
    node.domain.is_empty() && node.op == "Gemm"
}

/// Of a matrix.
fn is_transpose(node: &Node) -> bool {
    node.domain.is_empty() && node.op == "Transpose" && node.ints("perm") == Some(&[1, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, DType, OPSET, Tensor, TensorType};
    use crate::native::{Options, Session, probe};

    #[test]
    fn a_product_takes_the_transposes_around_it() {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let a = graph.add_input("a", TensorType::fixed(DType::F32, &[2, 3]));
        let b = graph.add_input("b", TensorType::fixed(DType::F32, &[4, 3]));
        let mut builder = Builder::new(&mut graph, "t");
        let turned = builder.transpose(b, &[1, 0]);
        let product = builder.gemm(a, turned, false, false);
        let y = builder.transpose(product, &[1, 0]);
        // One whose product is read by others too stays.
        let other = builder.gemm(a, turned, false, false);
        let [relu, z] = [builder.op("Relu", &[other]), builder.transpose(other, &[1, 0])];
        graph.outputs = vec![y, relu, z];
        probe(&mut graph, &[]).unwrap();
        let run = |graph: &Graph| {
            let feeds = [("a", [2, 3]), ("b", [4, 3])].map(|(name, shape)| {
                let data: Vec<f32> = (0..shape[0] * shape[1]).map(|i| (i as f32).sin()).collect();
                (name, Tensor::new(shape, &data))
            });
            Session::build(graph, &Options::default()).unwrap().call(&feeds).unwrap()
        };
        let before = run(&graph);
        fold(&mut graph);
        graph.prune(false);
        graph.verify("fold").unwrap();
        let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        assert_eq!(ops, ["Gemm", "Gemm", "Relu", "Transpose"]);
        assert_eq!(run(&graph), before);
    }
}
