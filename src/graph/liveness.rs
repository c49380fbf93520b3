//! How much memory the values of a graph take at most while ONNX Runtime runs it.
//!
//! ONNX Runtime runs the nodes one after the other in an order of its own. A value takes memory from the node that makes it to the last one
//! that reads it; outputs of the graph stay. Some operators write over what they read, others give a view of it.

use crate::ir::{DOMAIN, Dim, Graph, Node, TensorType, ValueId};
use crate::kernels::{self, AFTER, Device};

/// Operators whose output may take the memory of an input of its size that nobody reads any more: those of elements.
const IN_PLACE: &[&str] = &[
    "Abs",
    "Add",
    "Ceil",
    "Celu",
    "Clip",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "LeakyRelu",
    "Log",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
];

/// Operators whose output is their first input under another shape.
const VIEWS: &[&str] = &["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

fn is_view(node: &Node) -> bool {
    match node.domain.as_str() {
        "" => VIEWS.contains(&node.op.as_str()),
        domain => domain == DOMAIN && node.op == AFTER,
    }
}

/// Bytes to which ONNX Runtime rounds every piece of memory.
const PIECE: u64 = 256;

/// Most bytes that the values which nodes make take at a time, with `batch` for free dimensions. Inputs and initializers are not counted; values
/// of unknown type count nothing.
pub fn peak_bytes(graph: &Graph, batch: usize, device: Device) -> u64 {
    peak(graph, batch, device, false)
}

/// The same where the outputs of the graph have memory of their own, which is not counted either.
pub fn peak_bytes_beside_outputs(graph: &Graph, batch: usize, device: Device) -> u64 {
    peak(graph, batch, device, true)
}

fn peak(graph: &Graph, batch: usize, device: Device, bound: bool) -> u64 {
    let order = order(graph);
    let mut memory = Memory::new(graph, &order, batch, device);
    if bound {
        graph.outputs.iter().for_each(|output| memory.elsewhere[output.0 as usize] = true);
    }
    for index in order {
        memory.run(graph, &graph.nodes[index]);
    }
    memory.peak
}

/// The order in which ONNX Runtime runs the nodes: depth first from those that nobody reads, the last of them first, and from each to what it
/// reads, again the last first; a node runs when all that it reads has run.
fn order(graph: &Graph) -> Vec<usize> {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let read = |node: &Node| node.outputs.iter().flatten().any(|output| !consumers[output.0 as usize].is_empty());
    let leaves = (0..graph.nodes.len()).filter(|index| !read(&graph.nodes[*index]));
    let mut stack: Vec<(usize, bool)> = leaves.map(|index| (index, false)).collect();
    let mut seen = vec![false; graph.nodes.len()];
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some((index, leave)) = stack.pop() {
        if leave {
            order.push(index);
        } else if !std::mem::replace(&mut seen[index], true) {
            stack.push((index, true));
            let reads = graph.reads(&graph.nodes[index]);
            let mut before: Vec<usize> = reads.iter().filter_map(|value| producers[value.0 as usize]).collect();
            before.sort_unstable();
            stack.extend(before.into_iter().filter(|index| !seen[*index]).map(|index| (index, false)));
        }
    }
    order
}

/// Pieces of memory and who still needs them.
struct Memory {
    /// The piece that a value lies in, by value; none for what no node made.
    piece: Vec<Option<usize>>,
    /// Bytes and readers to come, by piece.
    pieces: Vec<(u64, usize)>,
    /// Readers of each value, outputs of the graph one more.
    readers: Vec<usize>,
    /// Values that depend on constants alone: they are made when the graph is loaded.
    constant: Vec<bool>,
    /// Values whose memory is not counted.
    elsewhere: Vec<bool>,
    /// What a free dimension counts as.
    batch: usize,
    device: Device,
    now: u64,
    peak: u64,
}

impl Memory {
    fn new(graph: &Graph, order: &[usize], batch: usize, device: Device) -> Self {
        let mut readers: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
        for output in &graph.outputs {
            readers[output.0 as usize] += 1;
        }
        let mut constant = vec![false; graph.value_count()];
        for value in graph.initializers.keys() {
            constant[value.0 as usize] = true;
        }
        for index in order {
            let node = &graph.nodes[*index];
            if graph.reads(node).iter().all(|value| constant[value.0 as usize]) {
                node.outputs.iter().flatten().for_each(|output| constant[output.0 as usize] = true);
            }
        }
        let (piece, elsewhere) = (vec![None; graph.value_count()], vec![false; graph.value_count()]);
        Self { piece, pieces: Vec::new(), readers, constant, elsewhere, batch, device, now: 0, peak: 0 }
    }

    fn run(&mut self, graph: &Graph, node: &Node) {
        for (number, output) in node.outputs.iter().enumerate() {
            let Some(output) = output else { continue };
            let to_come = self.readers[output.0 as usize];
            let bytes = self.bytes(graph, *output);
            if self.constant[output.0 as usize] || self.elsewhere[output.0 as usize] || to_come == 0 {
                continue;
            }
            let view = is_view(node);
            let taken = if number == 0 { self.taken(node, bytes) } else { None };
            let piece = match taken {
                Some(piece) => {
                    self.pieces[piece].1 += to_come;
                    Some(piece)
                }
                // A view of an input of the graph.
                None if view => None,
                None => {
                    self.pieces.push((bytes, to_come));
                    self.now += bytes;
                    Some(self.pieces.len() - 1)
                }
            };
            self.piece[output.0 as usize] = piece;
        }
        self.peak = self.peak.max(self.now);
        let mut reads = graph.reads(node);
        reads.sort_unstable();
        reads.dedup();
        for piece in reads.iter().filter_map(|read| self.piece[read.0 as usize]) {
            let (bytes, to_come) = &mut self.pieces[piece];
            *to_come -= 1;
            if *to_come == 0 {
                self.now -= *bytes;
            }
        }
    }

    /// The piece of an input that an output may take.
    fn taken(&self, node: &Node, bytes: u64) -> Option<usize> {
        let piece = |input: Option<ValueId>| self.piece[input?.0 as usize];
        if is_view(node) {
            return piece(node.input(0));
        }
        let last = |piece: &usize| self.pieces[*piece] == (bytes, 1);
        let inputs = node.inputs.iter().map(|input| piece(*input));
        let readable = match node.domain.as_str() {
            "" if IN_PLACE.contains(&node.op.as_str()) => 2,
            DOMAIN if self.device == Device::Cpu && kernels::works_in_place(&node.op) => 1,
            _ => 0,
        };
        inputs.take(readable).flatten().find(last)
    }

    fn bytes(&self, graph: &Graph, value: ValueId) -> u64 {
        let size = |dim: &Dim| match dim {
            Dim::Known(size) => *size as u64,
            Dim::Symbol(_) => self.batch as u64,
        };
        let bytes = |ty: TensorType| ty.dims.iter().map(size).product::<u64>() * ty.dtype.size() as u64;
        graph.ty(value).map_or(0, |ty| bytes(ty).next_multiple_of(PIECE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, DType};

    /// Relu(x), twice added to itself: pieces of 1 KiB.
    fn chain(keep: bool) -> Graph {
        let mut graph = Graph::default();
        let x = graph
            .add_input("x", TensorType { dtype: DType::F32, dims: vec![Dim::Symbol(String::new()), Dim::Known(64)] });
        let mut b = Builder::new(&mut graph, "t");
        let first = b.node("", "Relu", &[Some(x)], &[], 1)[0];
        let second = b.node("", "Add", &[Some(first), Some(first)], &[], 1)[0];
        let third = b.node("", "MatMul", &[Some(second), Some(second)], &[], 1)[0];
        for value in [first, second, third] {
            graph.set_type(value, graph.ty(x));
        }
        graph.outputs = if keep { vec![first, third] } else { vec![third] };
        graph
    }

    #[test]
    fn what_nobody_reads_any_more_is_written_over() {
        // Add takes the memory of Relu, MatMul may not.
        assert_eq!(peak_bytes(&chain(false), 4, Device::Cpu), 2048);
        // An output stays.
        assert_eq!(peak_bytes(&chain(true), 4, Device::Cpu), 3072);
        assert_eq!(peak_bytes_beside_outputs(&chain(true), 4, Device::Cpu), 1024);
        assert_eq!(peak_bytes(&chain(false), 8, Device::Cpu), 4096);
    }

    #[test]
    fn own_operators_write_over_their_first_input_on_the_processor() {
        let mut graph = Graph::default();
        let shape = TensorType::fixed(DType::F32, &[4, 64]);
        let inputs = [0, 1].map(|i| graph.add_input(&format!("x{i}"), shape.clone()));
        let mut b = Builder::new(&mut graph, "t");
        let dy = b.op("MatMul", &[inputs[0], inputs[1]]);
        let dx = b.node(DOMAIN, "GateGrad", &[Some(dy), Some(inputs[1])], &[], 1)[0];
        for value in [dy, dx] {
            graph.set_type(value, Some(shape.clone()));
        }
        graph.outputs = vec![dx];
        let peak = |graph: &Graph, device| peak_bytes(graph, 1, device);
        assert_eq!([Device::Cpu, Device::Cuda].map(|device| peak(&graph, device)), [1024, 2048]);
        // Not where it is read again.
        graph.outputs.push(dy);
        assert_eq!(peak(&graph, Device::Cpu), 2048);
    }

    #[test]
    fn nodes_run_from_the_leaf_that_is_last_in_the_file() {
        let mut graph = chain(false);
        let x = graph.inputs[0];
        let mut b = Builder::new(&mut graph, "u");
        let other = b.node("", "Relu", &[Some(x)], &[], 1)[0];
        graph.outputs.push(other);
        assert_eq!(order(&graph), [3, 0, 1, 2]);
    }
}
