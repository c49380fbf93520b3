//! Chooses between own operators and standard ones.

use crate::ir::{Attr, Builder, DOMAIN, DType, Graph, Node, ValueId};

/// What stands in the place of outputs of a node: the output and the value that is to take its name.
type Instead = Vec<(ValueId, ValueId)>;

/// Puts own operators in the place of nodes on which ONNX Runtime is slow, and standard ones in the place of own operators over other
/// types than theirs. Shapes must be known.
pub fn prefer(graph: &mut Graph) {
    super::lower_if(graph, |graph, node, operator| {
        let typed = node.inputs.iter().flatten().zip(operator.inputs);
        typed.into_iter().any(|(value, wanted)| graph.dtype(*value).is_some_and(|dtype| dtype != *wanted))
    });
    for node in std::mem::take(&mut graph.nodes) {
        let start = graph.nodes.len();
        let floats = node.input(0).is_some_and(|x| graph.dtype(x) == Some(DType::F32) && graph.shape(x).is_some());
        let instead = match node.op.as_str() {
            "Conv" if node.domain.is_empty() && floats => convolution(graph, &node),
            "BatchNormalization" if node.domain.is_empty() && floats => batch_norm(graph, &node),
            _ => None,
        };
        let Some(instead) = instead else {
            graph.nodes.push(node);
            continue;
        };
        for output in graph.nodes[start..].iter_mut().flat_map(|made| made.outputs.iter_mut().flatten()) {
            if let Some((old, _)) = instead.iter().find(|(_, value)| value == output) {
                *output = *old;
            }
        }
    }
}

/// What nodes that stand for another are called after.
fn scope(node: &Node) -> String {
    if node.name.is_empty() { node.title() } else { node.name.clone() }
}

/// A convolution of narrow groups whose weights are computed or fed; with constant weights ONNX Runtime's own form is faster. Nodes whose
/// pads are automatic stay.
fn convolution(graph: &mut Graph, node: &Node) -> Option<Instead> {
    let (w, y) = (node.input(1)?, node.output(0)?);
    let group = usize::try_from(node.int("group", 1)).unwrap_or(1);
    let explicit = matches!(node.text("auto_pad"), None | Some("" | "NOTSET"));
    let weights = graph.shape(w)?;
    if !explicit || graph.constant(w).is_some() || !super::is_narrow(group, &weights) {
        return None;
    }
    let kernel = Attr::Ints(weights[2..].iter().map(|size| *size as i64).collect());
    let mut attrs: Vec<(&str, Attr)> = node.attrs.iter().map(|(name, attr)| (name.as_str(), attr.clone())).collect();
    attrs.retain(|(name, _)| !matches!(*name, "auto_pad" | "kernel_shape"));
    attrs.push(("kernel_shape", kernel));
    let ty = graph.ty(y);
    let mut b = Builder::new(graph, scope(node));
    let bare = b.node(DOMAIN, "Conv", &node.inputs[..2], &attrs, 1)[0];
    b.graph.set_type(bare, ty);
    let Some(bias) = node.input(2) else { return Some(vec![(y, bare)]) };
    // A bias is added by a node of its own.
    let mut wide = vec![-1];
    wide.resize(weights.len() - 1, 1);
    let wide = b.reshape(bias, &wide);
    Some(vec![(y, b.add(bare, wide))])
}

/// A BatchNormalization that gives the statistics of the batch as they are.
fn batch_norm(graph: &mut Graph, node: &Node) -> Option<Instead> {
    if node.int("training_mode", 0) == 0 || node.float("momentum", 0.9) != 0.0 {
        return None;
    }
    let (x, y) = (node.input(0)?, node.output(0)?);
    let mut b = Builder::new(graph, scope(node));
    let statistics = b.node(DOMAIN, "BatchNormStatistics", &[Some(x)], &[], 1)[0];
    let attrs = [("epsilon", Attr::Float(node.float("epsilon", 1e-5)))];
    let inputs = [Some(x), node.input(1), node.input(2), Some(statistics)];
    let mut instead = vec![(y, b.node(DOMAIN, "BatchNormApply", &inputs, &attrs, 1)[0])];
    for (row, output) in [(0, node.output(1)), (1, node.output(2))] {
        let Some(output) = output else { continue };
        let value = b.slice(statistics, &[row], &[row + 1], &[0], &[1]);
        instead.push((output, b.reshape(value, &[-1])));
    }
    Some(instead)
}
