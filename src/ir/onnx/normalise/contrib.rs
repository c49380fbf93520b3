//! Operators of ONNX Runtime's own domain that need something before they can be run.

use super::Site;
use crate::ir::{DType, Node, Tensor};

/// ONNX Runtime's own domain.
pub(super) const DOMAIN: &str = "com.microsoft";

/// Attention without a bias gets one of zeros: the bias is optional, but the CPU kernel of 1.31 reads it all the same and crashes.
pub(super) fn attention(site: &mut Site<'_>, mut node: Node) {
    let columns = node.input(1).and_then(|weights| site.graph.shape(weights)).and_then(|shape| shape.get(1).copied());
    if node.input(2).is_none()
        && let Some(columns) = columns
    {
        let bias = site.constant("bias", Tensor::new([columns], &vec![0f32; columns]));
        let dtype = node.input(1).and_then(|weights| site.dtype(weights));
        if dtype == Some(DType::F32) {
            node.inputs.resize(node.inputs.len().max(3), None);
            node.inputs[2] = Some(bias);
        }
    }
    site.keep(node);
}
