//! Types of a graph that has control flow: shapes pass `Loop`, `Scan` and `If` only once these are written out.

use super::network::BATCH;
use crate::autodiff;
use crate::diag::{Code, Result};
use crate::ir::{Graph, Node, ValueId};
use crate::native;

/// Most times that a graph is typed again: bodies inside bodies, and conditions on shapes that other bodies make.
const ROUNDS: usize = 8;

/// Probes a graph that holds the source model, for some batch sizes. Every size that is tried can make a hostile model huge, not only
/// the first, so none is tried in this process.
pub(super) fn probe<const K: usize>(graph: &Graph, batches: [usize; K]) -> Result<[Graph; K]> {
    let mut typed = probe_as_it_is(graph, batches)?;
    for (typed, batch) in typed.iter_mut().zip(batches) {
        through_bodies(typed, batch)?;
    }
    Ok(typed)
}

fn probe_as_it_is<const K: usize>(graph: &Graph, batches: [usize; K]) -> Result<[Graph; K]> {
    native::probe_untrusted(graph, batches.map(|batch| vec![(BATCH.to_owned(), batch)]))
        .map_err(|why| if why.code() == Code::ProbeLimit { why.at("/model/source", "") } else { why })
}

/// Types what comes after bodies, from a copy in which they are written out: ONNX Runtime gives no shapes behind a `Loop`, and speaks of
/// an unknown rank as it does of a scalar. What cannot be written out stays as it is, and is told where a gradient has to pass it.
fn through_bodies(graph: &mut Graph, batch: usize) -> Result<()> {
    let has_body = |node: &Node| node.bodies().next().is_some();
    if !graph.nodes.iter().any(has_body) {
        return Ok(());
    }
    let mut flat = graph.clone();
    for _ in 0..ROUNDS {
        if !flat.nodes.iter().any(has_body)
            || !autodiff::write_out(&mut flat, |_, node| has_body(node)).unwrap_or(false)
        {
            break;
        }
        [flat] = probe_as_it_is(&flat, [batch])?;
    }
    for value in (0..graph.value_count()).map(|index| ValueId(index as u32)) {
        if graph.constant(value).is_none() && !graph.inputs.contains(&value) {
            graph.set_type(value, flat.ty(value).or(graph.ty(value)));
        }
    }
    Ok(())
}
