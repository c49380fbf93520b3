//! The cut behind the frozen prefix (DESIGN D6): what does not change while a phase trains is computed once for each sample.

use super::freeze::Trainable;
use super::network::{BATCH, Network};
use crate::ir::{DType, Dim, TensorType, ValueId};
use std::collections::BTreeSet;

/// Tensors that a phase starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// The frontier: values that do not change, read by nodes that do. All are f32 [N, …].
    pub values: Vec<ValueId>,
    /// Shape of each for one sample.
    pub shapes: Vec<Vec<usize>>,
    /// Nodes of the prefix, which is not run again.
    pub nodes: usize,
}

impl Cut {
    /// Bytes that the features of one sample take.
    pub fn bytes_per_sample(&self) -> u64 {
        self.shapes.iter().map(|shape| shape.iter().product::<usize>() as u64 * 4).sum()
    }
}

/// Finds the frontier of what is trained, or says in words why there is none.
///
/// # Errors
/// Not a diagnostic: the reason that `pipe plan` prints.
pub fn find_cut(network: &Network, trainable: &Trainable) -> Result<Cut, String> {
    let graph = &network.graph;
    let moving = moving_values(network, trainable);
    let mut data = vec![false; graph.value_count()];
    network.inputs().for_each(|input| data[input.0 as usize] = true);
    let mut nodes = 0;
    for node in &graph.nodes {
        if graph.reads(node).iter().any(|value| data[value.0 as usize]) {
            for output in node.outputs.iter().flatten() {
                data[output.0 as usize] = true;
            }
        }
    }
    let mut frontier = BTreeSet::new();
    for node in &graph.nodes {
        let moves = node.outputs.iter().flatten().any(|output| moving[output.0 as usize]);
        if moves {
            frontier.extend(
                graph.reads(node).into_iter().filter(|value| data[value.0 as usize] && !moving[value.0 as usize]),
            );
        } else {
            nodes += 1;
        }
    }
    frontier.extend(graph.outputs.iter().copied().filter(|value| data[value.0 as usize] && !moving[value.0 as usize]));
    if network.inputs().any(|input| frontier.contains(&input)) {
        return Err("the first trained, random or statistics-taking layer reads the input itself".to_owned());
    }
    if frontier.is_empty() {
        return Err("nothing of the frozen part is read".to_owned());
    }
    let mut shapes = Vec::new();
    for value in &frontier {
        let ty = graph.ty(*value);
        let rows = |ty: &TensorType| ty.dims.first() == Some(&Dim::Symbol(BATCH.to_owned()));
        let shape = ty.filter(|ty| ty.dtype == DType::F32 && rows(ty)).and_then(|ty| ty.sample());
        match shape {
            Some(shape) => shapes.push(shape),
            None => return Err(format!("`{}` at the cut is not f32 with one row for each sample", graph.name(*value))),
        }
    }
    Ok(Cut { values: frontier.into_iter().collect(), shapes, nodes })
}

/// Values that change from step to step: they depend on a trained parameter, on batch statistics or on chance.
pub(super) fn moving_values(network: &Network, trainable: &Trainable) -> Vec<bool> {
    let graph = &network.graph;
    let mut moving = vec![false; graph.value_count()];
    for index in &trainable.params {
        moving[network.params[*index].value.0 as usize] = true;
    }
    for node in &graph.nodes {
        let statistics = node.output(0).is_some_and(|value| trainable.batch_norms.contains(&value));
        let chance = node.op == "Dropout" && network.new_nodes.contains(&node.name);
        if statistics || chance || graph.reads(node).iter().any(|value| moving[value.0 as usize]) {
            for output in node.outputs.iter().flatten() {
                moving[output.0 as usize] = true;
            }
        }
    }
    moving
}
