//! `RotaryEmbedding` of opset 23, written out: pairs of features turned by an angle that belongs to the position.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, Node, Tensor, ValueId};

/// For three dimensions ([batch, length, hidden]) and four ([batch, heads, length, width]).
pub(super) fn rotary_embedding(site: &mut Site<'_>, node: Node) -> Result<()> {
    let (x, cos, sin) = (Site::required(&node, 0)?, Site::required(&node, 1)?, Site::required(&node, 2)?);
    let (heads, part) = (node.int("num_heads", 0), node.int("rotary_embedding_dim", 0));
    let Some(output) = node.output(0) else { return Ok(()) };
    let flat = match site.rank(x) {
        Some(rank) => rank == 3,
        None => heads > 0,
    };
    if flat && heads <= 0 {
        return Err(site.refuse(&node, "does not state its number of heads"));
    }
    // [batch, length, heads, width] inside.
    let apart = if flat {
        let shape = site.constant("heads", Tensor::vector(&[0, 0, heads, -1]));
        site.op("Reshape", &[x, shape], &[])
    } else {
        turned(site, x)
    };
    let axis = site.constant("axis", Tensor::vector(&[2i64]));
    let tables = [cos, sin].map(|table| {
        let rows = match node.input(3) {
            Some(positions) => site.op("Gather", &[table, positions], &[]),
            None => table,
        };
        site.op("Unsqueeze", &[rows, axis], &[])
    });
    let rotated = if part > 0 {
        let [moving, rest] = [(0, part), (part, i64::MAX)].map(|(from, to)| {
            let bounds = [("start", from), ("end", to), ("last", 3)];
            let [from, to, last] = bounds.map(|(what, at)| site.constant(what, Tensor::vector(&[at])));
            site.op("Slice", &[apart, from, to, last], &[])
        });
        let moved = rotate(site, moving, tables, node.int("interleaved", 0) != 0);
        site.op("Concat", &[moved, rest], &[("axis", Attr::Int(3))])
    } else {
        rotate(site, apart, tables, node.int("interleaved", 0) != 0)
    };
    if flat {
        let shape = site.constant("joined", Tensor::vector(&[0i64, 0, -1]));
        site.op_to(output, "Reshape", &[rotated, shape], &[]);
    } else {
        site.op_to(output, "Transpose", &[rotated], &[("perm", Attr::Ints(vec![0, 2, 1, 3]))]);
    }
    Ok(())
}

fn turned(site: &mut Site<'_>, x: ValueId) -> ValueId {
    site.op("Transpose", &[x], &[("perm", Attr::Ints(vec![0, 2, 1, 3]))])
}

/// Every pair (a, b) becomes (a cos − b sin, b cos + a sin). Pairs stand side by side, or half a width apart.
fn rotate(site: &mut Site<'_>, x: ValueId, [cos, sin]: [ValueId; 2], interleaved: bool) -> ValueId {
    let (pairs, axis) = if interleaved { ([0i64, 0, 0, -1, 2], 4) } else { ([0, 0, 0, 2, -1], 3) };
    let shape = site.constant("pairs", Tensor::vector(&pairs));
    let paired = site.op("Reshape", &[x, shape], &[]);
    let [a, b] = [0i64, 1].map(|which| {
        let index = site.constant("which", Tensor::scalar(which));
        site.op("Gather", &[paired, index], &[("axis", Attr::Int(axis))])
    });
    let (ac, bs) = (site.op("Mul", &[a, cos], &[]), site.op("Mul", &[b, sin], &[]));
    let (bc, a_s) = (site.op("Mul", &[b, cos], &[]), site.op("Mul", &[a, sin], &[]));
    let (first, second) = (site.op("Sub", &[ac, bs], &[]), site.op("Add", &[bc, a_s], &[]));
    let at = site.constant("pair_axis", Tensor::vector(&[axis]));
    let both = [first, second].map(|part| site.op("Unsqueeze", &[part, at], &[]));
    let joined = site.op("Concat", &both, &[("axis", Attr::Int(axis))]);
    let shape = site.constant("width", Tensor::vector(&[0i64, 0, 0, -1]));
    site.op("Reshape", &[joined, shape], &[])
}
