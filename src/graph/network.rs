//! The network in evaluation form: source model, new branches, every parameter with a name and a value.

use super::control::probe;
use super::initial;
use super::input::{bare, data_input, free_input};
use super::names::Names;
use super::surgery::Surgeon;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Dim, Graph, ValueId};
use crate::spec::Spec;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the free batch dimension.
pub const BATCH: &str = "N";
/// Batch size while shapes are found out; no constant in a graph depends on it.
pub(super) const STAND_IN: usize = 2;

/// A parameter of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The initializer.
    pub value: ValueId,
    /// Its first name, unique.
    pub name: String,
    /// All names that patterns may use, the first one included.
    pub names: Vec<String>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it belongs to a new layer.
    pub new: bool,
    /// Whether it starts from the source's value: it is neither new nor drawn anew.
    pub pretrained: bool,
}

/// The network in evaluation form.
#[derive(Debug, Clone)]
pub struct Network {
    /// Data inputs, all parameters as initializers, branch outputs as outputs. Types are those of batch [`BATCH`].
    pub graph: Graph,
    /// The first data input, [N, …].
    pub input: ValueId,
    /// Shape of a sample of it, the batch dimension left out.
    pub sample: Vec<usize>,
    /// Further data inputs, [N, …] each. Specs feed none yet.
    pub others: Vec<ValueId>,
    /// Outputs by branch name; a model without branches has its own outputs.
    pub branches: Vec<(String, ValueId)>,
    /// Names of the branches that no other branch starts from.
    pub leaves: Vec<String>,
    /// All parameters that could be trained, in order of first use.
    pub params: Vec<Param>,
    /// Nodes (by name) of new layers, for dropout.
    pub new_nodes: Vec<String>,
    /// What is odd about the model.
    pub warnings: Vec<Diagnostic>,
}

impl Network {
    /// Puts a network together. `source` is the normalised source model, none when the network is built from `layers` alone;
    /// `sample` is the shape that the data pipeline makes, if it is known: it gives the sizes that the model leaves open. Whether the others
    /// fit is not looked at.
    ///
    /// # Errors
    /// Everything that is wrong with names, shapes and layers, at once.
    pub fn assemble(
        spec: &Spec,
        source: Option<Graph>,
        sample: Option<&[usize]>,
    ) -> std::result::Result<Self, Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        let from_source = source.is_some();
        let mut graph = match source {
            Some(graph) => graph,
            None => bare(&spec.model).map_err(one)?,
        };
        let mut warnings = Vec::new();
        evaluation_form(&mut graph);
        if from_source {
            super::names::split_shared(&mut graph, spec.model.tied == crate::spec::Tied::Split);
        }
        let input = data_input(&graph, &spec.model).map_err(one)?;
        let baked = match graph.ty(input).and_then(|ty| ty.dims.first().cloned()) {
            Some(Dim::Known(size)) => Some(size),
            _ => None,
        };
        let sample = free_input(&mut graph, input, &spec.model, sample).map_err(one)?;
        if !graph.nodes.is_empty() {
            free_source(&mut graph, &[input], baked).map_err(one)?;
        }
        let names = Names::of(&graph);
        if from_source && let Some(warning) = super::names::folded_batch_norm(&graph, &names) {
            warnings.push(warning);
        }
        let drawn = initial::reinitialize(&mut graph, &names, &spec.model.reinitialize, spec.seed, &mut warnings);
        let mut surgeon = Surgeon {
            graph,
            names,
            input,
            made: Vec::new(),
            new_nodes: Vec::new(),
            seed: spec.seed,
            spliced: BTreeMap::new(),
        };
        let (anew, mut branches) = match (drawn, surgeon.branches(&spec.layers)) {
            (Ok(anew), Ok(branches)) => (anew, branches),
            (drawn, branches) => {
                let mut problems: Vec<Diagnostic> = drawn.err().into_iter().chain(branches.err()).flatten().collect();
                problems.extend(super::freeze::misspelt(spec, &surgeon.graph, &surgeon.names));
                return Err(problems);
            }
        };
        // A spliced stack is a part of the way to an output, not an output.
        branches.retain(|(name, _)| spec.layers.get(name).is_none_or(|branch| branch.insert_after.is_none()));
        let Surgeon { mut graph, names, made, new_nodes, .. } = surgeon;
        let begun: Vec<&String> = spec.layers.values().flat_map(|branch| &branch.from).collect();
        let branches = if branches.is_empty() {
            graph.outputs.iter().map(|output| (graph.name(*output).to_owned(), *output)).collect()
        } else {
            graph.outputs = branches.iter().map(|(_, output)| *output).collect();
            branches
        };
        graph.prune(true);
        for value in graph.outputs.clone() {
            if graph.inputs.contains(&value) {
                return Err(one(Diagnostic::error(
                    Code::ShapeMismatch,
                    "the network has no layers between input and output",
                )));
            }
        }
        graph.verify("assemble").map_err(one)?;
        prove_batch(&mut graph, &[input]).map_err(one)?;
        let params = params(&graph, &names, &made, &anew);
        let leaves = branches.iter().map(|(name, _)| name).filter(|name| !begun.contains(name)).cloned().collect();
        let others = Vec::new();
        let mut network = Self { graph, input, sample, others, branches, leaves, params, new_nodes, warnings };
        check_finite(&network)?;
        network.graph.opsets.insert(String::new(), crate::ir::OPSET);
        Ok(network)
    }

    /// Bytes of everything that is stored in the graph.
    pub fn bytes(&self) -> u64 {
        self.graph.constant_bytes()
    }

    /// All data inputs, the first one first.
    pub fn inputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        std::iter::once(self.input).chain(self.others.iter().copied())
    }

    /// Output of a branch; without a name, the only one that no other starts from.
    ///
    /// # Errors
    /// `P0209` with the names there are.
    pub fn branch(&self, name: Option<&str>) -> Result<(String, ValueId)> {
        let known: Vec<&str> = self.branches.iter().map(|(name, _)| name.as_str()).collect();
        match name {
            Some(name) => {
                let found = self.branches.iter().find(|(branch, _)| branch == name);
                found.cloned().ok_or_else(|| {
                    Diagnostic::error(Code::UnknownName, format!("no branch `{name}`"))
                        .help(format!("the branches are: {}", known.join(", ")))
                })
            }
            None if self.leaves.len() == 1 => self.branch(Some(&self.leaves[0])),
            None => {
                Err(Diagnostic::error(Code::UnknownName, "the network has several branches; say which one with `of:`")
                    .help(format!("the branches are: {}", self.leaves.join(", "))))
            }
        }
    }
}

/// A model exported in training mode has BatchNormalization nodes that take batch statistics: they take the stored ones again.
pub(super) fn evaluation_form(graph: &mut Graph) {
    let consumers = graph.consumers();
    for node in &mut graph.nodes {
        let unread = |output: &Option<ValueId>| output.is_none_or(|value| consumers[value.0 as usize].is_empty());
        if node.op == "BatchNormalization"
            && node.domain.is_empty()
            && node.int("training_mode", 0) != 0
            && node.outputs.iter().skip(1).all(unread)
        {
            node.attrs.remove("training_mode");
            node.outputs.truncate(1);
        }
    }
}

/// Types the source at the stand-in batch size. Where the exporter baked its own batch size in, it is taken out first; where the
/// input says that it is free and the graph does not scale, the size 1 of the example that it was exported with is.
pub(super) fn free_source(graph: &mut Graph, inputs: &[ValueId], baked: Option<usize>) -> Result<()> {
    if baked.is_none() {
        let scales = |graph: &Graph| {
            let first = |value: &ValueId| graph.shape(*value).is_none_or(|shape| shape.first() == Some(&STAND_IN));
            graph.outputs.iter().all(first)
        };
        match probe(graph, [STAND_IN]) {
            Ok([tried]) if scales(&tried) => {
                *graph = tried;
                return Ok(());
            }
            // What cannot be loaded within its limits is not tried again.
            Err(why) if why.code() == Code::ProbeLimit => return Err(why),
            _ => {}
        }
    }
    let size = baked.unwrap_or(1);
    set_batches(graph, inputs, &Dim::Known(size));
    [*graph] = probe(graph, [size])?;
    let freed = super::rebatch::free_batch(graph, inputs);
    set_batches(graph, inputs, &Dim::Symbol(BATCH.to_owned()));
    [*graph] = probe(graph, [STAND_IN]).map_err(|why| {
        if why.code() == Code::ProbeLimit {
            return why;
        }
        let nodes: Vec<String> = freed.iter().map(|freed| format!("`{}` ({})", freed.node, freed.op)).collect();
        let mut problem = Diagnostic::error(Code::BatchBaked, format!("the model runs at batch size {size} only"))
            .at("/model/source", "");
        for note in why.notes() {
            problem = problem.note(note.clone());
        }
        if !nodes.is_empty() {
            problem = problem.note(format!("freed so far: {}", nodes.join(", ")));
        }
        problem.help("export the model with a dynamic batch dimension")
    })?;
    Ok(())
}

/// Sets the first dimension of all data inputs.
pub(super) fn set_batches(graph: &mut Graph, inputs: &[ValueId], batch: &Dim) {
    for input in inputs {
        graph.set_batch(*input, batch.clone());
    }
}

/// Finds out by probing two sizes which dimensions follow the batch, and gives those the name [`BATCH`].
pub(super) fn prove_batch(graph: &mut Graph, inputs: &[ValueId]) -> Result<()> {
    let other;
    [*graph, other] = probe(graph, [STAND_IN, STAND_IN + 1])?;
    for index in 0..graph.value_count() {
        let value = ValueId(index as u32);
        if graph.constant(value).is_some() || inputs.contains(&value) {
            continue;
        }
        let (Some(mut ty), Some(next)) = (graph.ty(value), other.ty(value)) else { continue };
        if ty.dims.len() != next.dims.len() {
            continue;
        }
        for (dim, next) in ty.dims.iter_mut().zip(&next.dims) {
            if let (Dim::Known(a), Dim::Known(b)) = (&*dim, next)
                && a != b
            {
                let follows = *a == STAND_IN && *b == STAND_IN + 1;
                *dim = Dim::Symbol(if follows { BATCH.to_owned() } else { String::new() });
            }
        }
        graph.set_type(value, Some(ty));
    }
    for output in graph.outputs.clone() {
        let free = graph.ty(output).is_some_and(|ty| ty.dims.first() == Some(&Dim::Symbol(BATCH.to_owned())));
        if !free {
            return Err(Diagnostic::error(
                Code::BatchBaked,
                format!("output `{}` does not have one row for each sample", graph.name(output)),
            )
            .help("export the model with a dynamic batch dimension"));
        }
    }
    Ok(())
}

pub(super) fn check_finite(network: &Network) -> std::result::Result<(), Vec<Diagnostic>> {
    let bad: Vec<Diagnostic> = network
        .params
        .iter()
        .filter(|param| network.graph.constant(param.value).is_some_and(|tensor| !crate::autodiff::is_finite(tensor)))
        .map(|param| {
            Diagnostic::error(Code::WeightNotFinite, format!("parameter `{}` holds NaN or infinite values", param.name))
                .help("the model file is damaged or was exported after training diverged")
        })
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

/// Parameters that are left after pruning, in order of first use.
pub(super) fn params(graph: &Graph, names: &Names, made: &[Param], anew: &BTreeSet<ValueId>) -> Vec<Param> {
    let mut found: BTreeMap<ValueId, Param> = BTreeMap::new();
    for param in names.params() {
        found.insert(
            param.value,
            Param {
                value: param.value,
                name: param.name.clone(),
                names: param.names.clone(),
                shape: param.shape.clone(),
                new: false,
                pretrained: !anew.contains(&param.value),
            },
        );
    }
    for param in made {
        found.insert(param.value, param.clone());
    }
    let mut order = Vec::new();
    for node in &graph.nodes {
        for input in graph.reads(node) {
            if graph.constant(input).is_some()
                && let Some(param) = found.remove(&input)
            {
                order.push(param);
            }
        }
    }
    order
}
