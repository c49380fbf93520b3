//! What little has to be known about ranks and element types to rewrite old forms: what the file states, carried over operators that
//! plainly keep it. Anything else stays unknown and the rewriting that needs it takes its general form.

use crate::ir::{DType, Graph, Node, Tensor, ValueId};
use std::collections::BTreeMap;

/// Ranks and types that follow from nodes seen so far.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    ranks: BTreeMap<ValueId, usize>,
    types: BTreeMap<ValueId, DType>,
}

/// Operators whose output has the rank and type of their first input.
const KEEPS: &[&str] = &[
    "Relu",
    "LeakyRelu",
    "Elu",
    "Selu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Erf",
    "Exp",
    "Log",
    "Sqrt",
    "Neg",
    "Abs",
    "Reciprocal",
    "Softplus",
    "Clip",
    "Dropout",
    "Identity",
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LRN",
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "PRelu",
    "Concat",
    "Pad",
    "Slice",
    "Transpose",
    "Resize",
    "Tile",
    "CumSum",
];
/// Operators that give truth values.
const TRUTHS: &[&str] =
    &["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Xor", "Not", "IsNaN", "IsInf"];
/// Operators that broadcast their inputs against each other.
const BROADCASTS: &[&str] = &["Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Mean"];

impl Ranks {
    /// Rank, where it is known.
    pub(super) fn rank(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        self.ranks.get(&value).copied().or_else(|| graph.ty(value).map(|ty| ty.dims.len()))
    }

    /// Element type, where it is known.
    pub(super) fn dtype(&self, graph: &Graph, value: ValueId) -> Option<DType> {
        self.types.get(&value).copied().or_else(|| graph.dtype(value))
    }

    /// Takes over what a node says about its outputs.
    pub(super) fn learn(&mut self, graph: &Graph, node: &Node) {
        let (Some(output), Some(first), "") = (node.output(0), node.input(0), node.domain.as_str()) else { return };
        let inputs = || node.inputs.iter().copied().flatten();
        let op = node.op.as_str();
        let constant = |index: usize| node.input(index).and_then(|id| graph.constant(id)).map(Tensor::len);
        let (keeps, broadcasts) = (KEEPS.contains(&op), BROADCASTS.contains(&op));
        let rank = match op {
            _ if keeps || op == "Cast" => self.rank(graph, first),
            _ if broadcasts => inputs().map(|id| self.rank(graph, id)).try_fold(0, |most, rank| Some(most.max(rank?))),
            "MatMul" => {
                let mut ranks = inputs().map(|id| self.rank(graph, id));
                ranks.try_fold(0, |most, rank| rank.filter(|rank| *rank >= 2).map(|rank| most.max(rank)))
            }
            "Gemm" | "Flatten" => Some(2),
            "Reshape" => constant(1),
            "Unsqueeze" => self.rank(graph, first).zip(constant(1)).map(|(rank, more)| rank + more),
            "Squeeze" => self.rank(graph, first).zip(constant(1)).and_then(|(rank, less)| rank.checked_sub(less)),
            _ => None,
        };
        if let Some(rank) = rank {
            self.ranks.insert(output, rank);
        }
        let same_type = keeps
            || broadcasts
            || ["MatMul", "Gemm", "Flatten", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Gather"].contains(&op);
        let dtype = match op {
            "Cast" => i32::try_from(node.int("to", 0)).ok().and_then(DType::from_onnx),
            "Shape" | "Size" => Some(DType::I64),
            _ if TRUTHS.contains(&op) => Some(DType::Bool),
            _ if same_type => self.dtype(graph, first),
            _ => None,
        };
        if let Some(dtype) = dtype {
            self.types.insert(output, dtype);
        }
    }
}
