//! Brings nodes of opsets 7 to 23 to opset 18: one row per operator and range of opsets in which its form differs.
//!
//! An operator without a row means the same in its own opset and in 18. A row must lose nothing; where that cannot be had it says so
//! with `P0303`.
#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "the table of rows gives every rewrite one signature"
)]

mod affine_grid;
mod attention;
mod contrib;
mod inputs;
mod newer;
mod norm;
mod ranks;
mod recurrent;
mod resize;
mod rotary;
mod softmax;

use super::fold;
use super::order::{self, Versioned};
use super::read::{self, Staged};
use super::{external::External, write};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, DType, Graph, Node, OPSET, Tensor, ValueId};
use prost::Message;
use ranks::Ranks;
use std::collections::BTreeMap;

/// The opsets that are read.
pub const READ: std::ops::RangeInclusive<i64> = 7..=23;

type Adapt = fn(&mut Site<'_>, Node) -> Result<()>;

/// An operator, the first and last opset of a form that opset 18 does not have, and what rewrites it.
struct Row(&'static str, i64, i64, Adapt);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row("Softmax",             7, 12, softmax::flattened),
    Row("LogSoftmax",          7, 12, softmax::flattened),
    Row("Hardmax",             7, 12, softmax::flattened),
    Row("Squeeze",             7, 12, inputs::axes),
    Row("Unsqueeze",           7, 12, inputs::axes),
    Row("ReduceSum",           7, 12, inputs::axes),
    Row("ReduceL1",            7, 17, inputs::axes),
    Row("ReduceL2",            7, 17, inputs::axes),
    Row("ReduceLogSum",        7, 17, inputs::axes),
    Row("ReduceLogSumExp",     7, 17, inputs::axes),
    Row("ReduceMax",           7, 17, inputs::axes),
    Row("ReduceMean",          7, 17, inputs::axes),
    Row("ReduceMin",           7, 17, inputs::axes),
    Row("ReduceProd",          7, 17, inputs::axes),
    Row("ReduceSumSquare",     7, 17, inputs::axes),
    Row("Clip",                7, 10, inputs::clip),
    Row("Dropout",             7, 11, inputs::dropout),
    Row("Pad",                 7, 10, inputs::pad),
    Row("Slice",               7,  9, inputs::slice),
    Row("Split",               7, 17, inputs::split),
    Row("TopK",                7,  9, inputs::top_k),
    Row("Scatter",             9, 10, inputs::scatter),
    Row("Upsample",            7,  9, resize::upsample),
    Row("Resize",             10, 10, resize::resize_10),
    Row("Resize",             11, 12, resize::resize_11),
    Row("Resize",             13, 17, resize::resize_13),
    Row("Resize",             19, 23, resize::resize_19),
    Row("RoiAlign",           10, 15, resize::roi_align),
    Row("BatchNormalization",  7, 13, norm::batch),
    Row("GroupNormalization", 18, 20, norm::group_18),
    Row("GroupNormalization", 21, 23, norm::group_21),
    Row("RMSNormalization",   23, 23, norm::rms),
    Row("Gelu",               20, 23, newer::gelu),
    Row("AveragePool",        19, 23, newer::average_pool),
    Row("Cast",               19, 23, newer::cast),
    Row("CastLike",           19, 23, newer::cast),
    Row("QuantizeLinear",     19, 23, newer::quantize),
    Row("DequantizeLinear",   19, 23, newer::quantize),
    Row("GridSample",         20, 23, newer::grid_sample),
    Row("DFT",                20, 23, newer::dft),
    Row("Pad",                19, 23, newer::pad),
    Row("ReduceMax",          20, 23, newer::reduce_bool),
    Row("ReduceMin",          20, 23, newer::reduce_bool),
    Row("AffineGrid",         20, 23, affine_grid::affine_grid),
    Row("RotaryEmbedding",    23, 23, rotary::rotary_embedding),
    Row("Attention",          23, 23, attention::attention),
    Row("Scan",                7,  8, newer::scan_8),
    Row("GRU",                14, 23, recurrent::layout),
    Row("LSTM",               14, 23, recurrent::layout),
    Row("RNN",                14, 23, recurrent::layout),
];

/// Operators that ONNX Runtime itself adds to the standard domain, whatever the opset.
const OWN: &[&str] = &["SimplifiedLayerNormalization"];

/// The standard operators of opset 18.
const STANDARD: &str = include_str!("opset18.txt");

/// A standard operator that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub op: &'static str,
    /// Whether opset 18 has it; what opset 18 lacks is written out.
    pub kept: bool,
    /// First and last opsets between which its form differs from that of opset 18.
    pub differs: Vec<(i64, i64)>,
}

/// All standard operators that are read, sorted by name.
pub fn known() -> Vec<Known> {
    let kept = STANDARD.lines().chain(OWN.iter().copied());
    let mut all: BTreeMap<&str, Known> = kept.map(|op| (op, Known { op, kept: true, differs: Vec::new() })).collect();
    for Row(op, from, to, _) in ROWS {
        let known = all.entry(op).or_insert_with(|| Known { op, kept: false, differs: Vec::new() });
        known.differs.push((*from, *to));
    }
    for known in all.values_mut() {
        known.differs.sort_unstable();
    }
    all.into_values().collect()
}

/// Where a node is rewritten.
pub(super) struct Site<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) version: i64,
    ranks: &'a mut Ranks,
    readers: &'a [usize],
    out: &'a mut Vec<Node>,
    base: String,
    metadata: BTreeMap<String, String>,
}

impl Site<'_> {
    /// `P0303` for this node.
    pub(super) fn refuse(&self, node: &Node, why: &str) -> Diagnostic {
        let title = order::title(node);
        Diagnostic::error(Code::OpsetRange, format!("{title} of opset {} {why}", self.version))
            .note(format!("opsets {} to {} are read and brought to opset {OPSET}", READ.start(), READ.end()))
            .help("export the model with opset 18")
    }

    /// A constant under a name that begins like what the node makes, and that `graph::names` takes for a literal, not for a parameter.
    pub(super) fn constant(&mut self, what: &str, tensor: Tensor) -> ValueId {
        let hint = format!("{}/const_{what}", self.base);

        self.graph.add_initializer(&hint, tensor)
    }

    /// A float constant of the element type of `like`; where that is unknown, cast to it in the graph.
    pub(super) fn float_like(&mut self, what: &str, like: ValueId, value: f64) -> ValueId {
        if let Some(tensor) = self.dtype(like).and_then(|dtype| fold::float(dtype, value)) {
            return self.constant(what, tensor);
        }
        let plain = self.constant(what, Tensor::scalar(value as f32));
        self.op("CastLike", &[plain, like], &[])
    }

    /// Appends the node itself.
    pub(super) fn keep(&mut self, node: Node) {
        self.ranks.learn(self.graph, &node);
        self.out.push(node);
    }

    /// Appends a standard node with one fresh output.
    pub(super) fn op(&mut self, op: &str, inputs: &[ValueId], attrs: &[(&str, Attr)]) -> ValueId {
        let output = self.graph.fresh(&format!("{}/{op}", self.base));
        self.op_to(output, op, inputs, attrs);
        output
    }

    /// Appends a standard node that makes `output`.
    pub(super) fn op_to(&mut self, output: ValueId, op: &str, inputs: &[ValueId], attrs: &[(&str, Attr)]) {
        let name = self.graph.name(output).to_owned();
        let node = Node {
            name,
            op: op.to_owned(),
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
            attrs: attrs.iter().map(|(name, attr)| ((*name).to_owned(), attr.clone())).collect(),
            metadata: self.metadata.clone(),
            ..Node::default()
        };
        self.keep(node);
    }

    /// The rank of a value, where it is known.
    pub(super) fn rank(&self, value: ValueId) -> Option<usize> {
        self.ranks.rank(self.graph, value)
    }

    /// The element type of a value, where it is known.
    pub(super) fn dtype(&self, value: ValueId) -> Option<DType> {
        self.ranks.dtype(self.graph, value)
    }

    /// Whether nothing reads the value.
    pub(super) fn unread(&self, value: ValueId) -> bool {
        self.readers.get(value.0 as usize).is_none_or(|count| *count == 0)
    }

    /// The first input, which the operator requires.
    pub(super) fn required(node: &Node, index: usize) -> Result<ValueId> {
        let missing = || Diagnostic::error(Code::ModelInvalid, format!("{} lacks input {index}", order::title(node)));
        node.input(index).ok_or_else(missing)
    }
}

/// Rewrites every node; `staged.graph.nodes` holds the result.
pub(super) fn normalise(mut staged: Staged) -> Result<Staged> {
    fold::constants(&mut staged)?;
    let readers = readers(&staged);
    let mut ranks = Ranks::default();
    let mut out = Vec::with_capacity(staged.nodes.len());
    let graph = &mut staged.graph;
    for (mut node, version) in std::mem::take(&mut staged.nodes) {
        bodies(&mut node, version)?;
        if !node.domain.is_empty() && (node.domain.as_str(), node.op.as_str()) != (contrib::DOMAIN, "Attention") {
            out.push(node);
            continue;
        }
        let base = node.output(0).map_or_else(|| node.name.clone(), |output| graph.name(output).to_owned());
        let metadata = node.metadata.clone();
        let mut site = Site { graph, version, ranks: &mut ranks, readers: &readers, out: &mut out, base, metadata };
        if !node.domain.is_empty() {
            contrib::attention(&mut site, node);
            continue;
        }
        if !READ.contains(&version) {
            return Err(site.refuse(&node, "is outside the range that is read"));
        }
        match ROWS.iter().find(|row| row.0 == node.op && (row.1..=row.2).contains(&version)) {
            Some(row) => (row.3)(&mut site, node)?,
            None if STANDARD.lines().chain(OWN.iter().copied()).any(|op| op == node.op) => site.keep(node),
            None => return Err(site.refuse(&node, "has no form in opset 18")),
        }
    }
    for node in &mut out {
        while node.inputs.last().is_some_and(Option::is_none) {
            node.inputs.pop();
        }
        while node.outputs.last().is_some_and(Option::is_none) {
            node.outputs.pop();
        }
    }
    graph.nodes = out;
    graph.opsets.insert(String::new(), OPSET);
    Ok(staged)
}

/// How often each value is read, graph outputs included.
fn readers(staged: &Staged) -> Vec<usize> {
    let mut readers = vec![0; staged.graph.value_count()];
    let reads = staged.nodes.iter().flat_map(|(node, _): &Versioned| staged.graph.reads(node));
    for id in reads.chain(staged.graph.outputs.iter().copied()) {
        readers[id.0 as usize] += 1;
    }
    readers
}

/// Normalises the bodies of `If`, `Loop`, `Scan`; a body of opset 18 passes through as it is.
fn bodies(node: &mut Node, version: i64) -> Result<()> {
    let title = order::title(node);
    for attr in node.attrs.values_mut() {
        let Attr::Graph { bytes, captures } = attr else { continue };
        if version == OPSET {
            continue;
        }
        let within = |cause: Diagnostic| cause.note(format!("in a body of {title}"));
        let mut proto = fold::body(bytes).map_err(within)?;
        let nodes = std::mem::take(&mut proto.node).into_iter().map(|node| (node, version)).collect();
        let staged = read::graph(&mut proto, nodes, &mut External::new(None), true).map_err(within)?;
        let mut staged = normalise(staged).map_err(within)?;
        staged.graph.verify("normalise").map_err(within)?;
        *captures = std::mem::take(&mut staged.outside);
        *bytes = write::graph(&staged.graph, captures.len()).encode_to_vec();
    }
    Ok(())
}
