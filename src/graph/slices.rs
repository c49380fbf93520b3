//! Gradients of the slices of one value, each padded to its size, and their sum: side by side they are that sum.

use crate::ir::{Attr, Graph, Node, ValueId};

/// Makes a Concat of every sum, of a known shape, of paddings that fill it without overlap. What nobody reads any more is left to `prune`.
pub(super) fn join(graph: &mut Graph) {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        if !node.domain.is_empty() || !matches!(node.op.as_str(), "Add" | "Sum") || node.inputs.len() < 2 {
            continue;
        }
        let Some(shape) = node.output(0).and_then(|sum| graph.shape(sum)) else { continue };
        let slice = |value: &Option<ValueId>| {
            let value =
                value.filter(|value| consumers[value.0 as usize] == [index] && !graph.outputs.contains(value))?;
            Slice::of(graph, &graph.nodes[producers[value.0 as usize]?], &shape)
        };
        let Some(mut slices) = node.inputs.iter().map(slice).collect::<Option<Vec<Slice>>>() else { continue };
        slices.sort_by_key(|slice| slice.from);
        let axis = slices[0].axis;
        let follows = |pair: &[Slice]| pair[0].to == pair[1].from;
        let fills = slices[0].from == 0 && slices.last().is_some_and(|last| last.to == shape[axis] as i64);
        if !fills || slices.iter().any(|slice| slice.axis != axis) || !slices.windows(2).all(follows) {
            continue;
        }
        let node = &mut graph.nodes[index];
        "Concat".clone_into(&mut node.op);
        node.inputs = slices.into_iter().map(|slice| Some(slice.inner)).collect();
        node.attrs = [("axis".to_owned(), Attr::Int(axis as i64))].into();
    }
}

/// What a Pad fills up with zeros along one axis: `inner` stands from `from` to `to`.
struct Slice {
    inner: ValueId,
    axis: usize,
    from: i64,
    to: i64,
}

impl Slice {
    /// Of a Pad to a shape.
    fn of(graph: &Graph, node: &Node, whole: &[usize]) -> Option<Self> {
        let zeros = node.inputs.len() == 2 && matches!(node.text("mode"), None | Some("constant"));
        if !node.domain.is_empty() || node.op != "Pad" || !zeros {
            return None;
        }
        let (inner, pads, rank) = (node.input(0)?, graph.constant(node.input(1)?)?.to_ints()?, whole.len());
        if pads.len() != 2 * rank || pads.iter().any(|pad| *pad < 0) {
            return None;
        }
        let padded = |axis: &usize| pads[*axis] != 0 || pads[rank + axis] != 0;
        let axis = (0..rank).find(padded)?;
        let (from, to) = (pads[axis], i64::try_from(whole[axis]).ok()? - pads[rank + axis]);
        (0..rank).all(|other| other == axis || !padded(&other)).then_some(Self { inner, axis, from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, DType, OPSET, Tensor, TensorType};
    use crate::native::{Options, Session, probe};

    /// The sum of paddings of inputs of these sizes, from these places of six columns: its operators once joined, and whether the numbers are
    /// the same.
    fn sum(pieces: &[(i64, i64)], keep: bool) -> (String, bool) {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let mut parts = Vec::new();
        for (number, (from, size)) in pieces.iter().enumerate() {
            let x = graph.add_input(&format!("x{number}"), TensorType::fixed(DType::F32, &[2, *size as usize]));
            parts.push(Builder::new(&mut graph, "t").pad_zero(x, &[0, *from, 0, 6 - from - size]));
        }
        let mut b = Builder::new(&mut graph, "t");
        let y = if let [a, b_] = parts[..] { b.add(a, b_) } else { b.op("Sum", &parts) };
        graph.outputs = if keep { vec![y, parts[0]] } else { vec![y] };
        probe(&mut graph, &[]).unwrap();
        let run = |graph: &Graph| {
            let feeds: Vec<(String, Tensor)> = pieces
                .iter()
                .enumerate()
                .map(|(i, (_, size))| {
                    let data: Vec<f32> = (0..2 * size).map(|j| (j as f32 + i as f32).sin()).collect();
                    (format!("x{i}"), Tensor::new([2, *size as usize], &data))
                })
                .collect();
            let feeds: Vec<(&str, Tensor)> = feeds.iter().map(|(name, fed)| (name.as_str(), fed.clone())).collect();
            Session::build(graph, &Options::default()).unwrap().call(&feeds).unwrap()
        };
        let before = run(&graph);
        join(&mut graph);
        graph.prune(false);
        graph.verify("join").unwrap();
        let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        (ops.join(" "), run(&graph) == before)
    }

    #[test]
    fn slices_that_fill_a_value_are_joined() {
        assert_eq!(sum(&[(0, 2), (2, 3), (5, 1)], false), ("Concat".to_owned(), true));
        assert_eq!(sum(&[(4, 2), (0, 4)], false), ("Concat".to_owned(), true));
        // A gap, an overlap, an end that is not reached, and a padding that is read elsewhere.
        for pieces in [&[(0, 2), (3, 3)][..], &[(0, 3), (2, 4)], &[(0, 2), (2, 3)]] {
            assert_eq!(sum(pieces, false), ("Pad Pad Add".to_owned(), true), "{pieces:?}");
        }
        assert_eq!(sum(&[(0, 2), (2, 4)], true), ("Pad Pad Add".to_owned(), true));
    }
}
