//! Operators that are written out in others before differentiation, one row per operator, one file each.
//!
//! An operator has a gradient rule or an expansion, never both. An expansion is a pure function from a node of the forward graph,
//! with static shapes, to values that equal the node's outputs; the chain rule then does the rest. `autodiff::expand` puts it in the
//! node's place. Nodes that no gradient passes stay as they are, and so does the exported model.

mod attention;
mod embed_layer_norm;
mod fused_conv;
mod fused_gemm;
mod fused_matmul;
mod group_query_attention;
mod heads;
mod if_then_else;
mod inline;
mod known;
mod loop_steps;
mod lp_normalization;
mod mean_variance_normalization;
mod multi_head_attention;
mod negative_log_likelihood_loss;
mod rotary_embedding;
mod scan;
mod simplified_layer_norm;
mod skip_layer_norm;
mod skip_simplified_layer_norm;
mod softmax_cross_entropy_loss;

use super::case::Case;
use super::{Ctx, Result};
use crate::ir::ValueId;

/// Values for the outputs of a node, in order; `None` for an output that the node does not have. Trailing ones may be left out.
pub type Expanded = Result<Vec<Option<ValueId>>>;

/// What stands for one operator.
#[derive(Clone, Copy)]
pub struct Expansion {
    /// Domain, empty for the standard one.
    pub domain: &'static str,
    /// Operator type.
    pub op: &'static str,
    /// Emits the nodes. It sees no gradients: `dy` and `wants` are empty.
    pub expand: fn(&mut Ctx) -> Expanded,
}

impl Expansion {
    /// An expansion of a standard operator.
    pub const fn new(op: &'static str, expand: fn(&mut Ctx) -> Expanded) -> Self {
        Self { domain: "", op, expand }
    }

    /// An expansion of an operator of ONNX Runtime's own domain.
    pub const fn contrib(op: &'static str, expand: fn(&mut Ctx) -> Expanded) -> Self {
        Self { domain: CONTRIB, op, expand }
    }
}

/// ONNX Runtime's own domain.
const CONTRIB: &str = "com.microsoft";

/// Rows and the graphs of the sweep, file by file.
const FILES: &[(&[Expansion], &[Case])] = &[
    (attention::EXPANSIONS, attention::CASES),
    (embed_layer_norm::EXPANSIONS, embed_layer_norm::CASES),
    (fused_conv::EXPANSIONS, fused_conv::CASES),
    (fused_gemm::EXPANSIONS, fused_gemm::CASES),
    (fused_matmul::EXPANSIONS, fused_matmul::CASES),
    (group_query_attention::EXPANSIONS, group_query_attention::CASES),
    (if_then_else::EXPANSIONS, if_then_else::CASES),
    (loop_steps::EXPANSIONS, loop_steps::CASES),
    (lp_normalization::EXPANSIONS, lp_normalization::CASES),
    (mean_variance_normalization::EXPANSIONS, mean_variance_normalization::CASES),
    (multi_head_attention::EXPANSIONS, multi_head_attention::CASES),
    (negative_log_likelihood_loss::EXPANSIONS, negative_log_likelihood_loss::CASES),
    (rotary_embedding::EXPANSIONS, rotary_embedding::CASES),
    (scan::EXPANSIONS, scan::CASES),
    (simplified_layer_norm::EXPANSIONS, simplified_layer_norm::CASES),
    (skip_layer_norm::EXPANSIONS, skip_layer_norm::CASES),
    (skip_simplified_layer_norm::EXPANSIONS, skip_simplified_layer_norm::CASES),
    (softmax_cross_entropy_loss::EXPANSIONS, softmax_cross_entropy_loss::CASES),
];

/// All expansions, sorted by domain and operator.
pub fn expansions() -> Vec<Expansion> {
    let mut all: Vec<Expansion> = FILES.iter().flat_map(|(rows, _)| rows.iter().copied()).collect();
    all.sort_by_key(|row| (row.domain, row.op));
    all
}

/// The expansion of an operator.
pub fn expansion(domain: &str, op: &str) -> Option<Expansion> {
    FILES.iter().flat_map(|(rows, _)| rows.iter()).find(|row| row.domain == domain && row.op == op).copied()
}

/// The graphs of the sweep.
pub(super) fn cases() -> impl Iterator<Item = Case> {
    FILES.iter().flat_map(|(_, cases)| cases.iter().copied())
}

/// A node of a case; `None` inputs are omitted.
fn contrib(
    b: &mut crate::ir::Builder,
    op: &str,
    inputs: &[Option<ValueId>],
    attrs: &[(&str, crate::ir::Attr)],
    outputs: usize,
) -> Vec<ValueId> {
    b.node(CONTRIB, op, inputs, attrs, outputs)
}
