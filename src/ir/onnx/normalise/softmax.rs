//! Softmax, `LogSoftmax` and Hardmax before opset 13 work on the matrix that `Flatten(axis)` gives.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, Node};

/// Over the last axis both meanings agree; otherwise the matrix is made, and reshaped back.
pub(super) fn flattened(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    let x = Site::required(&node, 0)?;
    let axis = node.int("axis", 1);
    let rank = site.rank(x);
    let last = axis == -1 || rank.is_some_and(|rank| axis + 1 == rank as i64);
    node.attrs.insert("axis".to_owned(), Attr::Int(-1));
    if last {
        site.keep(node);
        return Ok(());
    }
    let Some(output) = node.output(0) else { return Ok(()) };
    let shape = site.op("Shape", &[x], &[]);
    let matrix = site.op("Flatten", &[x], &[("axis", Attr::Int(axis))]);
    let made = site.graph.fresh(&format!("{}/matrix", site.graph.name(output)));
    node.inputs = vec![Some(matrix)];
    node.outputs = vec![Some(made)];
    site.keep(node);
    site.op_to(output, "Reshape", &[made, shape], &[]);
    Ok(())
}
