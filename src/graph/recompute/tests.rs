use super::*;
use crate::autodiff::differentiate;
use crate::graph::peak_bytes;
use crate::ir::{Builder, OPSET, Tensor, TensorType};
use crate::kernels::Device;
use crate::native::{Options, Session, probe};

const ROWS: usize = 64;
const WIDTH: usize = 32;

/// x through blocks of Relu(x·W) + x, the sum of what comes out, and the gradients of the weights.
struct Chain {
    graph: Graph,
    x: ValueId,
    forward: usize,
    known: usize,
    /// What the nodes of the blocks make.
    made: Vec<ValueId>,
}

fn chain(blocks: usize, noise: bool) -> Chain {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    let x = graph.add_input("x", TensorType::fixed(DType::F32, &[ROWS, WIDTH]));
    let weights: Vec<ValueId> = (0..blocks)
        .map(|i| graph.add_input(&format!("w{i}"), TensorType::fixed(DType::F32, &[WIDTH, WIDTH])))
        .collect();
    let mut b = Builder::new(&mut graph, "chain");
    let mut y = x;
    for (i, w) in weights.iter().enumerate() {
        b.rescope(format!("/block{i}"));
        let product = b.matmul(y, *w);
        let product = if noise { b.op("RandomNormalLike", &[product]) } else { product };
        let open = b.op("Relu", &[product]);
        y = b.add(open, y);
    }
    let made = graph.nodes.iter().filter_map(|node| node.output(0)).collect();
    let square = Builder::new(&mut graph, "loss").mul(y, y);
    let loss = Builder::new(&mut graph, "loss").reduce_sum(square, &[0, 1], false);
    graph.outputs = vec![loss];
    probe(&mut graph, &[]).unwrap();
    let (forward, known) = (graph.nodes.len(), graph.value_count());
    let wanted = if noise { vec![x] } else { weights };
    let gradients = differentiate(&mut graph, loss, &wanted).unwrap();
    graph.outputs.extend(gradients);
    Chain { graph, x, forward, known, made }
}

impl Chain {
    fn again(&self, chosen: &[ValueId]) -> (Graph, Recomputed) {
        let mut graph = self.graph.clone();
        let made = apply(
            &mut graph,
            self.forward,
            &chosen.iter().copied().collect(),
            &[self.x],
            &vec![true; self.known],
            Device::Cpu,
        );
        graph.verify("recompute").unwrap();
        (graph, made)
    }
}

fn run(graph: &Graph) -> Vec<Tensor> {
    let feeds: Vec<(String, Tensor)> = graph
        .inputs
        .iter()
        .map(|input| {
            let shape = graph.shape(*input).unwrap();
            let data: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * 0.37).sin() * 0.3).collect();
            (graph.name(*input).to_owned(), Tensor::new(shape, &data))
        })
        .collect();
    let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    Session::build(graph, &Options { threads: 1, ..Options::default() }).unwrap().call(&feeds).unwrap()
}

#[test]
fn what_is_made_again_is_not_kept_and_is_the_same() {
    let chain = chain(16, false);
    let (graph, made) = chain.again(&chain.made);
    assert!(made.segments > 2 && made.nodes > 16, "{made:?}");
    assert_eq!(run(&graph), run(&chain.graph));
    let [before, after] = [&chain.graph, &graph].map(|graph| peak_bytes(graph, ROWS, Device::Cpu));
    let gradients = (16 * WIDTH * WIDTH * size_of::<f32>()) as u64;
    assert!(2 * (after - gradients) < before - gradients, "{after} for {before} bytes");
}

#[test]
fn copies_run_when_the_gradient_is_there() {
    let chain = chain(4, false);
    // One block in the middle.
    let (graph, made) = chain.again(&chain.made[3..6]);
    assert_eq!(made, Recomputed { nodes: 3, segments: 1 });
    let after = graph.nodes.iter().find(|node| node.op == AFTER).unwrap();
    let producers = graph.producers();
    let gradient = producers[after.input(1).unwrap().0 as usize].unwrap();
    assert!(gradient >= chain.forward && graph.name(after.input(0).unwrap()).contains("block0"));
}

#[test]
fn what_draws_numbers_runs_once() {
    let mut chain = chain(3, true);
    let (graph, made) = chain.again(&chain.made.clone());
    let drawn = graph.nodes.iter().filter(|node| node.op == "RandomNormalLike").count();
    assert_eq!((drawn, made.nodes > 0), (3, true));
    // Nothing depends on data: it is all weights.
    chain.x = *chain.graph.outputs.last().unwrap();
    assert_eq!(chain.again(&chain.made.clone()).1, Recomputed::default());
}
