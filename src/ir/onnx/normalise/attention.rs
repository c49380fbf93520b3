//! Attention of opset 23: softmax(scale · q kᵀ + mask) v by heads, written out.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, DType, Dim, Node, Tensor, ValueId};

/// Written out for three and four dimensions, grouped heads, masks and past keys.
pub(super) fn attention(site: &mut Site<'_>, node: Node) -> Result<()> {
    let (q, k, v) = (Site::required(&node, 0)?, Site::required(&node, 1)?, Site::required(&node, 2)?);
    let (mask, causal, softcap) = (node.input(3), node.int("is_causal", 0) != 0, node.float("softcap", 0.0));
    if node.output(3).is_some_and(|scores| !site.unread(scores)) {
        return Err(site.refuse(&node, "hands out its scores"));
    }
    if softcap != 0.0 && (mask.is_some() || causal) {
        return Err(site.refuse(&node, "both masks and caps its scores, which versions of ONNX do in different order"));
    }
    if node.input(6).is_some() {
        return Err(site.refuse(&node, "masks by lengths"));
    }
    let (heads, kv_heads) = (node.int("q_num_heads", 0), node.int("kv_num_heads", 0));
    let flat = heads > 0;
    let dims = |site: &Site<'_>, value: ValueId, axis: usize| match site.graph.ty(value)?.dims.get(axis)? {
        Dim::Known(size) => i64::try_from(*size).ok(),
        Dim::Symbol(_) => None,
    };
    let width = if flat { dims(site, q, 2).map(|width| width / heads) } else { dims(site, q, 3) };
    let same_heads =
        if flat { Some(heads == kv_heads) } else { dims(site, q, 1).zip(dims(site, k, 1)).map(|(a, b)| a == b) };
    let (q, mut k, mut v) = if flat {
        (by_head(site, q, heads), by_head(site, k, kv_heads), by_head(site, v, kv_heads))
    } else {
        (q, k, v)
    };
    for (index, new) in [(4, &mut k), (5, &mut v)] {
        let parts: Vec<ValueId> = node.input(index).into_iter().chain([*new]).collect();
        match (node.output(index - 3), parts.len()) {
            (Some(present), _) => {
                site.op_to(present, "Concat", &parts, &[("axis", Attr::Int(2))]);
                *new = present;
            }
            (None, 1) => {}
            (None, _) => *new = site.op("Concat", &parts, &[("axis", Attr::Int(2))]),
        }
    }
    if same_heads != Some(true) {
        (k, v) = (repeated(site, q, k), repeated(site, q, v));
    }
    let turned = site.op("Transpose", &[k], &[("perm", Attr::Ints(vec![0, 1, 3, 2]))]);
    let scores = site.op("MatMul", &[q, turned], &[]);
    let scale = scale(site, &node, q, width);
    let mut scores = site.op("Mul", &[scores, scale], &[]);
    if softcap != 0.0 {
        let cap = site.float_like("cap", q, f64::from(softcap));
        let part = site.op("Div", &[scores, cap], &[]);
        let bent = site.op("Tanh", &[part], &[]);
        scores = site.op("Mul", &[bent, cap], &[]);
    }
    if let Some(mask) = mask {
        let mask = added_mask(site, &node, q, mask)?;
        scores = site.op("Add", &[scores, mask], &[]);
    }
    if causal {
        let size = site.op("Shape", &[scores], &[("start", Attr::Int(-2))]);
        let never = site.float_like("never", q, f64::NEG_INFINITY);
        let all = site.op("Expand", &[never, size], &[]);
        let one = site.constant("diagonal", Tensor::scalar(1i64));
        let ahead = site.op("Trilu", &[all, one], &[("upper", Attr::Int(1))]);
        scores = site.op("Add", &[scores, ahead], &[]);
    }
    let weights = softmax(site, &node, q, scores);
    let Some(output) = node.output(0) else { return Ok(()) };
    if !flat {
        site.op_to(output, "MatMul", &[weights, v], &[]);
        return Ok(());
    }
    let mixed = site.op("MatMul", &[weights, v], &[]);
    let turned = site.op("Transpose", &[mixed], &[("perm", Attr::Ints(vec![0, 2, 1, 3]))]);
    let shape = site.constant("joined", Tensor::vector(&[0i64, 0, -1]));
    site.op_to(output, "Reshape", &[turned, shape], &[]);
    Ok(())
}

/// [batch, length, heads · width] as [batch, heads, length, width].
fn by_head(site: &mut Site<'_>, x: ValueId, heads: i64) -> ValueId {
    let shape = site.constant("heads", Tensor::vector(&[0, 0, heads, -1]));
    let split = site.op("Reshape", &[x, shape], &[]);
    site.op("Transpose", &[split], &[("perm", Attr::Ints(vec![0, 2, 1, 3]))])
}

/// Keys or values with every head repeated for the queries that share it.
fn repeated(site: &mut Site<'_>, q: ValueId, x: ValueId) -> ValueId {
    let part = |start: i64, end: i64| [("start", Attr::Int(start)), ("end", Attr::Int(end))];
    let heads = site.op("Shape", &[q], &part(1, 2));
    let own = site.op("Shape", &[x], &part(1, 2));
    let times = site.op("Div", &[heads, own], &[]);
    let (front, back) = (site.op("Shape", &[x], &part(0, 2)), site.op("Shape", &[x], &part(2, 4)));
    let wide = site.op("Concat", &[front, times, back], &[("axis", Attr::Int(0))]);
    let batch = site.op("Shape", &[x], &part(0, 1));
    let joined = site.op("Concat", &[batch, heads, back], &[("axis", Attr::Int(0))]);
    let axis = site.constant("axis", Tensor::vector(&[2i64]));
    let apart = site.op("Unsqueeze", &[x, axis], &[]);
    let copies = site.op("Expand", &[apart, wide], &[]);
    site.op("Reshape", &[copies, joined], &[])
}

/// The stated scale, else 1/√width.
fn scale(site: &mut Site<'_>, node: &Node, q: ValueId, width: Option<i64>) -> ValueId {
    let stated = node.attrs.contains_key("scale").then(|| f64::from(node.float("scale", 1.0)));
    if let Some(scale) = stated.or_else(|| width.map(|width| (width as f64).sqrt().recip())) {
        return site.float_like("scale", q, scale);
    }
    let width = site.op("Shape", &[q], &[("start", Attr::Int(3))]);
    let width = site.op("CastLike", &[width, q], &[]);
    let root = site.op("Sqrt", &[width], &[]);
    site.op("Reciprocal", &[root], &[])
}

/// A mask that is added: a bool one forbids where it is false.
fn added_mask(site: &mut Site<'_>, node: &Node, q: ValueId, mask: ValueId) -> Result<ValueId> {
    match site.dtype(mask) {
        Some(DType::Bool) => {
            let (never, always) = (site.float_like("never", q, f64::NEG_INFINITY), site.float_like("always", q, 0.0));
            Ok(site.op("Where", &[mask, always, never], &[]))
        }
        Some(_) => Ok(mask),
        None => Err(site.refuse(node, "has a mask of unknown element type")),
    }
}

/// Softmax in the precision that the node asks for.
fn softmax(site: &mut Site<'_>, node: &Node, q: ValueId, scores: ValueId) -> ValueId {
    let axis = [("axis", Attr::Int(-1))];
    let wanted = DType::from_onnx(i32::try_from(node.int("softmax_precision", 0)).unwrap_or(0));
    match wanted.filter(|wanted| site.dtype(q) != Some(*wanted)) {
        Some(wanted) => {
            let wide = site.op("Cast", &[scores], &[("to", Attr::Int(wanted as i64))]);
            let soft = site.op("Softmax", &[wide], &axis);
            site.op("CastLike", &[soft, q], &[])
        }
        None => site.op("Softmax", &[scores], &axis),
    }
}
