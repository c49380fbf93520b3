//! A source model as it is, without a spec: every input is fed, the first float output is what a loss looks at.

use super::names::{Names, split_shared};
use super::network::{BATCH, Network, check_finite, evaluation_form, free_source, params, prove_batch, set_batches};
use crate::diag::{Code, Diagnostic, nearest};
use crate::ir::{Attr, Builder, DType, Dim, Graph, TensorType, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Side of a picture where a model leaves it free.
const SIDE: usize = 224;
/// Colours of a picture where a model leaves them free.
const COLOURS: usize = 3;
/// Length of a sequence where a model leaves it free.
const SEQUENCE: usize = 64;

/// A size that was chosen for a free dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Name of the dimension, or `INPUT.AXIS` where it has none.
    pub name: String,
    /// Its size.
    pub size: usize,
    /// Whether the caller gave it.
    pub given: bool,
}

impl Network {
    /// Makes a network of a normalised source model: no new layers, nothing re-initialised. What only other outputs than the first float
    /// one need is left out; that output is flattened to [N, units].
    ///
    /// `dims` gives free dimensions other than the batch their size by name; without one an image is 3 × 224 × 224 and a sequence 64 long.
    ///
    /// # Errors
    /// `P0209` for a dimension that the model does not have, `P0312` for an input without a batch dimension, `P0308` where the batch
    /// size cannot be freed, `P0309` for weights that are not finite.
    pub fn of_model(
        mut graph: Graph,
        dims: &BTreeMap<String, usize>,
    ) -> std::result::Result<(Self, Vec<Chosen>), Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        evaluation_form(&mut graph);
        split_shared(&mut graph, false);
        let float =
            graph.outputs.iter().copied().find(|output| matches!(graph.dtype(*output), None | Some(DType::F32)));
        let Some(output) = float else {
            return Err(one(Diagnostic::error(
                Code::NotFloat,
                "the model has no f32 output that a loss could look at",
            )));
        };
        graph.outputs = vec![output];
        graph.prune(false);
        let chosen = fix_dims(&mut graph, dims)?;
        let inputs = graph.inputs.clone();
        let Some((input, others)) = inputs.split_first() else {
            return Err(one(Diagnostic::error(Code::InputRole, "the model's output depends on none of its inputs")));
        };
        let baked = match graph.ty(*input).and_then(|ty| ty.dims.first().cloned()) {
            Some(Dim::Known(size)) => Some(size),
            _ => None,
        };
        set_batches(&mut graph, &inputs[usize::from(baked.is_some())..], &Dim::Symbol(BATCH.to_owned()));
        free_source(&mut graph, &inputs, baked).map_err(one)?;
        set_batches(&mut graph, &inputs, &Dim::Symbol(BATCH.to_owned()));
        flatten(&mut graph, output);
        let names = Names::of(&graph);
        graph.verify("assemble").map_err(one)?;
        prove_batch(&mut graph, &inputs).map_err(one)?;
        let params = params(&graph, &names, &[], &BTreeSet::new());
        let sample = graph.ty(*input).and_then(|ty| ty.sample()).unwrap_or_default();
        let branches: Vec<(String, ValueId)> =
            graph.outputs.iter().map(|value| (graph.name(output).to_owned(), *value)).collect();
        let mut network = Self {
            input: *input,
            sample,
            others: others.to_vec(),
            leaves: branches.iter().map(|(name, _)| name.clone()).collect(),
            branches,
            params,
            new_nodes: Vec::new(),
            warnings: Vec::new(),
            graph,
        };
        check_finite(&network)?;
        network.graph.opsets.insert(String::new(), crate::ir::OPSET);
        Ok((network, chosen))
    }
}

/// Sizes for all free dimensions of the inputs but the first of each, the batch.
fn fix_dims(graph: &mut Graph, dims: &BTreeMap<String, usize>) -> std::result::Result<Vec<Chosen>, Vec<Diagnostic>> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut problems = Vec::new();
    for input in graph.inputs.clone() {
        let name = graph.name(input).to_owned();
        let Some(mut ty) = graph.ty(input).filter(|ty| !ty.dims.is_empty()) else {
            problems.push(Diagnostic::error(Code::InputRole, format!("input `{name}` has no batch dimension")));
            continue;
        };
        let rank = ty.dims.len();
        for (axis, dim) in ty.dims.iter_mut().enumerate().skip(1) {
            let Dim::Symbol(symbol) = dim else { continue };
            let key = if symbol.is_empty() { format!("{name}.{axis}") } else { symbol.clone() };
            let given = dims.get(&key).copied();
            let size = given.unwrap_or(usual_size(rank, axis));
            if chosen.iter().all(|known| known.name != key) {
                chosen.push(Chosen { name: key, size, given: given.is_some() });
            }
            *dim = Dim::Known(size);
        }
        graph.set_type(input, Some(TensorType { dtype: ty.dtype, dims: ty.dims }));
    }
    for name in dims.keys().filter(|name| chosen.iter().all(|known| known.name != **name)) {
        let known = || chosen.iter().map(|known| known.name.as_str());
        let problem = Diagnostic::error(Code::UnknownName, format!("no input has a free dimension `{name}`"));
        let near = nearest(name, known());
        problems.push(match near.first() {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if chosen.is_empty() => problem.help("all dimensions but the batch are fixed"),
            None => problem.help(format!("the free dimensions are: {}", known().collect::<Vec<_>>().join(", "))),
        });
    }
    if problems.is_empty() { Ok(chosen) } else { Err(problems) }
}

/// Size of a free dimension of an input when nobody gives one.
pub(crate) fn usual_size(rank: usize, axis: usize) -> usize {
    match (rank, axis) {
        (4, 1) => COLOURS,
        (4, _) => SIDE,
        _ => SEQUENCE,
    }
}

/// An output of rank 3 or more as [N, units].
fn flatten(graph: &mut Graph, output: ValueId) {
    if graph.ty(output).is_some_and(|ty| ty.dims.len() > 2) {
        let flat = Builder::new(graph, "flat").op_with("Flatten", &[output], &[("axis", Attr::Int(1))]);
        graph.outputs = vec![flat];
    }
}

/// How many values an input of indices may take: the size of the smallest table that a `Gather` reads with it. `None` where none does.
pub fn index_bound(graph: &Graph, input: ValueId) -> Option<usize> {
    const PASSES: &[&str] = &["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice"];
    let mut same = vec![false; graph.value_count()];
    same[input.0 as usize] = true;
    let mut bound: Option<usize> = None;
    for node in &graph.nodes {
        let reads = |at: usize| node.input(at).is_some_and(|value| same[value.0 as usize]);
        if node.op == "Gather" && reads(1) {
            let shape = node.input(0).and_then(|table| graph.shape(table)).unwrap_or_default();
            let axis = usize::try_from(node.int("axis", 0)).unwrap_or(0);
            bound = shape.get(axis).copied().map(|size| bound.map_or(size, |old| old.min(size))).or(bound);
        } else if PASSES.contains(&node.op.as_str()) && reads(0) {
            node.outputs.iter().flatten().for_each(|output| same[output.0 as usize] = true);
        }
    }
    bound
}
