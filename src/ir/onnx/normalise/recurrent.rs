//! LSTM, GRU and RNN with `layout: 1`, the batch before the steps, which ONNX Runtime's CPU does not run: transposed.

use super::Site;
use crate::diag::Result;
use crate::ir::{Attr, Node};

pub(super) fn layout(site: &mut Site<'_>, mut node: Node) -> Result<()> {
    if node.attrs.remove("layout") != Some(Attr::Int(1)) {
        site.keep(node);
        return Ok(());
    }
    // x, initial h and initial c have the batch first; so have all states [batch, steps, directions, hidden] and the last ones.
    for i in [0, 5, 6] {
        if let Some(value) = node.input(i) {
            node.inputs[i] = Some(site.op("Transpose", &[value], &[("perm", Attr::Ints(vec![1, 0, 2]))]));
        }
    }
    let perms = [vec![2, 0, 1, 3], vec![1, 0, 2], vec![1, 0, 2]];
    let mut given = Vec::new();
    for (slot, perm) in node.outputs.iter_mut().zip(perms) {
        if let Some(output) = *slot {
            let made = site.graph.fresh(&format!("{}/steps_first", site.graph.name(output)));
            *slot = Some(made);
            given.push((output, made, perm));
        }
    }
    site.keep(node);
    for (output, made, perm) in given {
        site.op_to(output, "Transpose", &[made], &[("perm", Attr::Ints(perm))]);
    }
    Ok(())
}
