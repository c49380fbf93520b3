//! Chooses between own operators and standard ones.

use super::cudnn_forms::Form;
use super::{Device, Halves, Operator};
use crate::ir::{Attr, Builder, DOMAIN, DType, Graph, Node, Tensor, TensorType, ValueId};

/// What stands in the place of outputs of a node: the output and the value that is to take its name.
type Instead = Vec<(ValueId, ValueId)>;

/// Puts own operators in the place of nodes on which ONNX Runtime is slow on a device, and standard ones in the place of own operators
/// over other types than theirs, or where those are better. Shapes must be known.
pub fn prefer(graph: &mut Graph, device: Device) {
    super::lower_if(graph, |graph, node, operator| !typed(graph, node, operator, device) || !fits(graph, node, device));
    if device == Device::Cuda {
        fold_sizes(graph);
    }
    for node in std::mem::take(&mut graph.nodes) {
        let start = graph.nodes.len();
        let floats = node.input(0).is_some_and(|x| graph.dtype(x) == Some(DType::F32) && graph.shape(x).is_some());
        let half = node.input(0).is_some_and(|x| matches!(graph.dtype(x), Some(DType::F16 | DType::Bf16)));
        let instead = match node.op.as_str() {
            // Opset 18 has none in bfloat16, and ONNX Runtime's is slower to load in f16.
            "Conv" if half && device == Device::Cuda => for_cudnn(graph, &node),
            // ONNX Runtime's runs on the processor where pads are uneven.
            "ConvTranspose" | "ConvDataGrad" | "ConvWeightGrad" if device == Device::Cuda && (floats || half) => {
                for_cudnn(graph, &node)
            }
            "Conv" if node.domain.is_empty() && floats && device == Device::Cpu => convolution(graph, &node),
            "Gemm" if node.domain.is_empty() && floats && device == Device::Cpu => turned_product(graph, &node),
            "ReduceSum" if node.domain.is_empty() && floats && device == Device::Cpu => column_sums(graph, &node),
            "BatchNormalization" if node.domain.is_empty() && (floats || (half && device == Device::Cuda)) => {
                batch_norm(graph, &node)
            }
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

/// Whether the inputs of a node have the types of its operator.
fn typed(graph: &Graph, node: &Node, operator: &Operator, device: Device) -> bool {
    let typed = |float: DType| {
        let types = operator.types(float);
        let mut inputs = node.inputs.iter().flatten().zip(types);
        inputs.all(|(value, wanted)| graph.dtype(*value).is_none_or(|dtype| dtype == wanted))
    };
    typed(DType::F32) || (device == Device::Cuda && (typed(DType::F16) || typed(DType::Bf16)))
}

/// Whether an own operator is the better form of a node on a device.
fn fits(graph: &Graph, node: &Node, device: Device) -> bool {
    match (device, node.op.as_str()) {
        // ONNX Runtime's kernels are faster where groups are wide.
        (Device::Cpu, "ConvDataGrad") => node
            .input(1)
            .and_then(|weights| graph.shape(weights))
            .is_some_and(|weights| super::is_narrow(usize::try_from(node.int("group", 1)).unwrap_or(1), &weights)),
        (Device::Cpu, _) => true,
        (Device::Cuda, "ConvDataGrad" | "ConvWeightGrad") => Form::of(graph, node).is_some(),
        (Device::Cuda, _) => on_cuda(graph, node).is_some(),
    }
}

/// Whether a convolution, or a gradient of one, may be an own operator on a GPU, which is there in half precision too.
pub fn is_for_cudnn(graph: &Graph, node: &Node) -> bool {
    Form::of(graph, node).is_some()
}

/// A convolution as an own operator on a GPU.
fn for_cudnn(graph: &mut Graph, node: &Node) -> Option<Instead> {
    let form = Form::of(graph, node)?;
    let made = form.emit(&mut Builder::new(graph, scope(node)), node)?;
    Some(vec![(node.output(0)?, made)])
}

/// What of a node may be in half precision, if it is an own operator that a GPU runs for these shapes.
pub fn on_cuda(graph: &Graph, node: &Node) -> Option<Halves> {
    let operator = super::OPERATORS.iter().find(|operator| node.domain == DOMAIN && node.op == operator.name)?;
    let shapes: Vec<Vec<usize>> =
        node.inputs.iter().flatten().map(|value| graph.shape(*value)).collect::<Option<_>>()?;
    let views: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    operator.cuda.filter(|_| (operator.kernel)(node).is_ok_and(|kernel| kernel.cuda(&views).is_ok()))
}

/// Whether a BatchNormalization has the statistics of its batch and gives them as they are.
pub fn is_of_batch(node: &Node) -> bool {
    node.int("training_mode", 0) == 1 && node.float("momentum", 0.9) == 0.0
}

/// Sizes of static shapes as constants: ONNX Runtime would count on the processor, in the middle of a step.
fn fold_sizes(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let shape = node.input(0).filter(|_| node.op == "Size" && node.domain.is_empty());
        let (Some(shape), Some(output)) = (shape.and_then(|x| graph.shape(x)), node.output(0)) else { continue };
        let constant = Tensor::scalar(shape.iter().product::<usize>() as i64);
        let value = Builder::new(graph, "size").constant(constant);
        graph.replace_uses(output, value);
    }
}

/// What nodes that stand for another are called after.
fn scope(node: &Node) -> String {
    if node.name.is_empty() { node.title() } else { node.name.clone() }
}

/// A convolution of narrow groups whose weights are computed or fed, as an own operator; with constant weights ONNX Runtime's own form is
/// faster. Nodes whose pads are automatic stay.
fn convolution(graph: &mut Graph, node: &Node) -> Option<Instead> {
    let (w, y) = (node.input(1)?, node.output(0)?);
    let group = usize::try_from(node.int("group", 1)).unwrap_or(1);
    let explicit = matches!(node.text("auto_pad"), None | Some("" | "NOTSET"));
    let weights = graph.shape(w)?;
    if graph.constant(w).is_some() || !super::is_narrow(group, &weights) || !explicit {
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

/// Elements from which on an own operator is worth a node.
const LARGE: usize = 1 << 14;
/// Columns from which on a sum goes row by row: enough for the widest vectors.
const WIDTH: usize = 16;
/// Columns of the second operand from which on turning the first one is worth its time, and how many times wider the first one may be: the
/// gradient of a language model's outputs is [tokens, words] and, turned, would be there twice.
const COLUMNS: usize = 256;
const WIDER: usize = 4;

/// A product whose first operand is read by its columns: ONNX Runtime turns each stretch of that again for every 128 columns of the other one.
fn turned_product(graph: &mut Graph, node: &Node) -> Option<Instead> {
    let (a, y) = (node.input(0)?, node.output(0)?);
    let [rows, columns] = graph.shape(a)?[..] else { return None };
    let others = graph.shape(node.input(1)?)?.into_iter().nth(1 - usize::from(node.int("transB", 0) != 0))?;
    // Of a constant ONNX Runtime knows the result beforehand.
    let fits = graph.constant(a).is_none() && rows * columns >= LARGE && others >= COLUMNS && columns <= WIDER * others;
    if node.int("transA", 0) == 0 || !fits {
        return None;
    }
    let kept = node.attrs.iter().filter(|(name, _)| *name != "transA");
    let attrs: Vec<(&str, Attr)> = kept.map(|(name, attr)| (name.as_str(), attr.clone())).collect();
    let mut b = Builder::new(graph, scope(node));
    let turned = b.node(DOMAIN, "MatrixTranspose", &[Some(a)], &[], 1)[0];
    b.graph.set_type(turned, Some(TensorType::fixed(DType::F32, &[columns, rows])));
    let mut inputs = node.inputs.clone();
    inputs[0] = Some(turned);
    Some(vec![(y, b.node("", "Gemm", &inputs, &attrs, 1)[0])])
}

/// A sum over the first dimensions of a large value.
fn column_sums(graph: &mut Graph, node: &Node) -> Option<Instead> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let large = |shape: &Vec<usize>| shape.iter().product::<usize>() >= LARGE && graph.constant(x).is_none();
    let shape = graph.shape(x).filter(large)?;
    let rank = shape.len() as i64;
    let axes = graph.constant(node.input(1)?)?.to_ints()?;
    let axes: Vec<usize> = axes.iter().filter_map(|axis| usize::try_from((axis + rank) % rank).ok()).collect();
    let summed = axes.iter().max()? + 1;
    let width: usize = shape[summed..].iter().product();
    if width < WIDTH || (0..summed).any(|axis| shape[axis] != 1 && !axes.contains(&axis)) {
        return None;
    }
    let kept = node.int("keepdims", 1) == 1;
    let sizes: Vec<usize> = (0..shape.len())
        .filter(|axis| kept || !axes.contains(axis))
        .map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] })
        .collect();
    let over = Attr::Int(rank - summed as i64);
    let mut b = Builder::new(graph, scope(node));
    let sums = b.node(DOMAIN, "ColumnSums", &[Some(x)], &[("over", over)], 1)[0];
    b.graph.set_type(sums, Some(TensorType::fixed(DType::F32, &shape[summed..])));
    Some(vec![(y, b.reshape_to(sums, &sizes))])
}

/// A BatchNormalization that gives the statistics of the batch as they are.
fn batch_norm(graph: &mut Graph, node: &Node) -> Option<Instead> {
    if !is_of_batch(node) {
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
