//! Chooses between own operators and standard ones.

use crate::ir::{Builder, DOMAIN, DType, Graph, Node, ValueId};

/// Replaces convolutions of narrow groups whose weights are computed or fed; with constant weights ONNX Runtime's own form is faster.
/// Shapes must be known; nodes whose pads are automatic stay. Own operators over other types than theirs get their reference form.
pub fn prefer(graph: &mut Graph) {
    super::lower_if(graph, |graph, node, operator| {
        let typed = node.inputs.iter().flatten().zip(operator.inputs);
        typed.into_iter().any(|(value, wanted)| graph.dtype(*value).is_some_and(|dtype| dtype != *wanted))
    });
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        if node.op != "Conv" || !node.domain.is_empty() {
            continue;
        }
        let (Some(x), Some(w), Some(y)) = (node.input(0), node.input(1), node.output(0)) else { continue };
        let group = usize::try_from(node.int("group", 1)).unwrap_or(1);
        let explicit = matches!(node.text("auto_pad"), None | Some("" | "NOTSET"));
        let shape = graph.shape(w).unwrap_or_default();
        let known = graph.shape(x).is_some() && graph.dtype(x) == Some(DType::F32);
        if !explicit || !known || graph.constant(w).is_some() || !super::is_narrow(group, &shape) {
            continue;
        }
        let bias = node.input(2);
        replace(graph, index, [x, w, y], bias, &shape);
    }
}

/// Puts the own operator in the place of a node; a bias is added by a node of its own behind it.
fn replace(graph: &mut Graph, index: usize, [x, w, y]: [ValueId; 3], bias: Option<ValueId>, weights: &[usize]) {
    let node = &mut graph.nodes[index];
    let scope = node.title();
    node.domain = DOMAIN.to_owned();
    node.inputs = vec![Some(x), Some(w)];
    let kernel = weights[2..].iter().map(|size| *size as i64).collect();
    node.attrs.entry("kernel_shape".to_owned()).or_insert(crate::ir::Attr::Ints(kernel));
    node.attrs.remove("auto_pad");
    let Some(bias) = bias else { return };
    let ty = graph.ty(y);
    let bare = graph.fresh(&scope);
    graph.set_type(bare, ty);
    graph.nodes[index].outputs = vec![Some(bare)];
    let count = graph.nodes.len();
    let mut b = Builder::new(graph, scope);
    let mut wide = vec![-1];
    wide.resize(weights.len() - 1, 1);
    let wide = b.reshape(bias, &wide);
    let sum = b.add(bare, wide);
    let mut added: Vec<Node> = graph.nodes.split_off(count);
    for node in &mut added {
        for output in &mut node.outputs {
            if *output == Some(sum) {
                *output = Some(y);
            }
        }
    }
    let behind = graph.nodes.split_off(index + 1);
    graph.nodes.extend(added);
    graph.nodes.extend(behind);
}
