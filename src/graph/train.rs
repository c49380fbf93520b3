//! The forms of a network: training step, frozen prefix, evaluation.
//!
//! The training form has trained parameters as inputs, gradients as outputs, BatchNormalization with batch statistics where it is
//! trained, counted dropout, the objective, and a fixed batch size. Running statistics are states: inputs whose next value is an output.

use super::cut::{Cut, moving_values};
use super::freeze::Trainable;
use super::network::Network;
use super::objective::{Objective, TermGraph};
use super::recompute::{self, Recomputed};
use super::slices;
use super::target::Target;
use super::transposes;
use super::written_out;
use crate::autodiff;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, Builder, DOMAIN, DType, Dim, Graph, Node, Tensor, TensorType, ValueId};
use crate::native;
use crate::spec::{SourceDropout, Spec};
use std::collections::{BTreeMap, BTreeSet};

/// A value that a step reads and replaces.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Initializer of the network and name of the input.
    pub value: ValueId,
    /// Name of the input.
    pub name: String,
    /// Name of the output that holds the next value.
    pub next: String,
}

/// A training step as one graph.
#[derive(Debug, Clone)]
pub struct TrainGraph {
    /// The graph.
    pub graph: Graph,
    /// Rows of a batch.
    pub batch: usize,
    /// Names of the data inputs: the network's inputs, or one for each value of the cut.
    pub data: Vec<String>,
    /// How many of the nodes, the first ones, are forward; differentiation emitted the others.
    pub forward: usize,
    /// Input of row keys (`i64[N]`) for dropout, if there is any.
    pub keys: Option<String>,
    /// Trained parameters in the order of [`Trainable::params`]: input name and output name of the gradient.
    pub params: Vec<(String, String)>,
    /// Inputs that a step adds its gradients to, in the order of `params`; none where its gradients are its own.
    pub sums: Vec<String>,
    /// Running statistics.
    pub states: Vec<State>,
    /// Terms of the objective.
    pub terms: Vec<TermGraph>,
    /// What is made again for backward.
    pub recomputed: Recomputed,
}

impl TrainGraph {
    /// The step that gives, for each gradient, an input plus that gradient. Each sum is right behind what makes the gradient, so that no two
    /// gradients need be there at a time.
    #[must_use]
    pub fn summing(mut self) -> Self {
        let graph = &mut self.graph;
        let mut sums: Vec<(ValueId, Node)> = Vec::new();
        for (param, name) in &mut self.params {
            let (Some(param), Some(gradient)) = (graph.find(param), graph.find(name)) else { continue };
            let Some(ty) = graph.ty(param) else { continue };
            let sum = graph.add_input(&format!("{name}/sum"), ty.clone());
            let next = graph.fresh(&format!("{name}/next"));
            graph.set_type(next, Some(ty));
            let title = graph.name(next).to_owned();
            let inputs = vec![Some(sum), Some(gradient)];
            let op = "Add".to_owned();
            sums.push((
                gradient,
                Node { name: title.clone(), op, inputs, outputs: vec![Some(next)], ..Node::default() },
            ));
            self.sums.push(graph.name(sum).to_owned());
            *name = title;
            graph.outputs.iter_mut().filter(|output| **output == gradient).for_each(|output| *output = next);
        }
        let mut nodes = Vec::with_capacity(graph.nodes.len() + sums.len());
        for node in std::mem::take(&mut graph.nodes) {
            let made = |gradient: &ValueId| node.outputs.contains(&Some(*gradient));
            let (here, later): (Vec<_>, Vec<_>) = sums.into_iter().partition(|(gradient, _)| made(gradient));
            sums = later;
            nodes.push(node);
            nodes.extend(here.into_iter().map(|(_, sum)| sum));
        }
        graph.nodes = nodes;
        self
    }
}

/// How a training step is made.
#[derive(Debug, Clone, Copy)]
pub struct StepForm<'s> {
    /// Which dropout of the source is on.
    pub dropout: SourceDropout,
    /// Patterns of nodes whose values backward makes again.
    pub recompute: &'s [String],
    /// What it is made for.
    pub target: Target,
}

impl<'s> StepForm<'s> {
    /// What a spec says.
    pub fn of(spec: &'s Spec, target: Target) -> Self {
        Self { dropout: spec.model.dropout, recompute: &spec.runtime.recompute, target }
    }
}

/// Makes the training step of a phase for one batch size.
///
/// # Errors
/// What differentiation or the probe finds, all at once, without a place in the spec.
pub fn train_graph(
    network: &Network,
    trainable: &Trainable,
    cut: Option<&Cut>,
    objective: &Objective,
    form: StepForm,
    batch: usize,
) -> std::result::Result<TrainGraph, Vec<Diagnostic>> {
    let one = |error: Diagnostic| vec![error];
    let StepForm { dropout, recompute, target } = form;
    let mut graph = network.graph.clone();
    let moving = moving_values(network, trainable);
    network.inputs().for_each(|input| graph.set_batch(input, Dim::Known(batch)));
    let keys = train_dropout(&mut graph, network, &moving, dropout, batch).map_err(one)?;
    let mut states = train_batch_norms(&mut graph, trainable).map_err(one)?;
    let data = feed_cut(&mut graph, network, cut, batch);
    for index in &trainable.params {
        let value = network.params[*index].value;
        to_input(&mut graph, value);
    }
    for state in &states {
        to_input(&mut graph, state.value);
    }
    let (loss, terms) = objective.attach(&mut graph, batch).map_err(one)?;
    graph.outputs = vec![loss];
    let term_values: Vec<ValueId> = terms.iter().filter_map(|term| graph.find(&term.value)).collect();
    graph.outputs.extend(&term_values);
    let next: Vec<ValueId> = states.iter().filter_map(|state| graph.find(&state.next)).collect();
    graph.outputs.extend(&next);
    graph.prune(false);
    states.retain(|state| graph.inputs.contains(&state.value));
    graph.verify("train form").map_err(one)?;
    // A size of batch that no probe of the source has seen.
    let [mut graph] = native::probe_untrusted(&graph, [Vec::new()]).map_err(one)?;
    written_out::gather(&mut graph);
    graph.prune(false);
    let wrt: Vec<ValueId> = trainable.params.iter().map(|index| network.params[*index].value).collect();
    while autodiff::expand(&mut graph, loss, &wrt)? {
        native::probe(&mut graph, &[]).map_err(one)?;
    }
    let known = graph.value_count();
    let mut gradients = autodiff::differentiate(&mut graph, loss, &wrt)?;
    let emitted = known..graph.value_count();
    unique_outputs(&mut graph, &mut gradients);
    let params = wrt
        .iter()
        .zip(&gradients)
        .map(|(value, gradient)| (graph.name(*value).to_owned(), graph.name(*gradient).to_owned()))
        .collect();
    graph.outputs = term_values;
    graph.outputs.extend(&next);
    graph.outputs.extend(&gradients);
    slices::join(&mut graph);
    transposes::fold(&mut graph);
    graph.prune(false);
    let halves = target.settle(&mut graph).map_err(one)?;
    graph.prune(false);
    // A forward node may have been asked for another output, such as the statistics of its batch.
    let backward = |node: &Node| node.outputs.iter().flatten().all(|output| emitted.contains(&(output.0 as usize)));
    let forward = graph.nodes.iter().position(backward).unwrap_or(graph.nodes.len());
    let (mut again, mut known) = (recompute::chosen(network, recompute), vec![true; network.graph.value_count()]);
    known.resize(graph.value_count(), false);
    for (half, value) in halves {
        known[half.0 as usize] = known[value.0 as usize];
        if again.contains(&value) {
            again.insert(half);
        }
    }
    let recomputed = recompute::apply(&mut graph, forward, &again, &data, &known, target.device);
    graph.verify("train graph").map_err(one)?;
    let keys = keys.filter(|value| graph.inputs.contains(value)).map(|value| graph.name(value).to_owned());
    let data = data.into_iter().map(|value| graph.name(value).to_owned()).collect();
    Ok(TrainGraph { graph, batch, data, forward, keys, params, sums: Vec::new(), states, terms, recomputed })
}

/// The frozen prefix: data in, the values of the cut out, any batch size.
pub fn prefix_graph(network: &Network, cut: &Cut) -> Graph {
    let mut graph = network.graph.clone();
    remove_dropout(&mut graph);
    graph.outputs.clone_from(&cut.values);
    graph.prune(true);
    graph
}

/// An evaluation step: data in; branch outputs and the losses of each sample out.
#[derive(Debug, Clone)]
pub struct EvalGraph {
    /// The graph; parameters are initializers that the runtime replaces by their current values before it loads it.
    pub graph: Graph,
    /// Rows of a batch.
    pub batch: usize,
    /// Names of the data inputs.
    pub data: Vec<String>,
    /// Branch name, output name and units.
    pub branches: Vec<(String, String, usize)>,
    /// For each term: name, labels input, output `f32[N]`.
    pub terms: Vec<(String, String, String)>,
}

/// Makes the evaluation step.
///
/// # Errors
/// What a loss says about shapes.
pub fn eval_graph(network: &Network, cut: Option<&Cut>, objective: &Objective, batch: usize) -> Result<EvalGraph> {
    let mut graph = network.graph.clone();
    network.inputs().for_each(|input| graph.set_batch(input, Dim::Known(batch)));
    remove_dropout(&mut graph);
    let data = feed_cut(&mut graph, network, cut, batch);
    let mut terms = Vec::new();
    let mut outputs: Vec<ValueId> = Vec::new();
    let mut branches = Vec::new();
    // The branch of the first term comes first: metrics look at it.
    let mut wanted: Vec<&(String, ValueId)> = Vec::new();
    for term in &objective.terms {
        let branch = network.branches.iter().find(|(name, _)| *name == term.branch);
        wanted.extend(branch.filter(|branch| !wanted.contains(branch)));
    }
    for (name, value) in wanted {
        let units = graph.ty(*value).and_then(|ty| ty.sample()).map_or(0, |shape| shape.iter().product());
        branches.push((name.clone(), graph.name(*value).to_owned(), units));
        outputs.push(*value);
    }
    for term in &objective.terms {
        let made = term.per_sample(&mut graph, batch)?;
        terms.push((term.name.clone(), graph.name(made.labels).to_owned(), graph.name(made.losses).to_owned()));
        outputs.push(made.losses);
    }
    // A branch that is itself at the cut would be an input and an output at once.
    unique_outputs(&mut graph, &mut outputs);
    for ((_, name, _), value) in branches.iter_mut().zip(&outputs) {
        graph.name(*value).clone_into(name);
    }
    graph.outputs = outputs;
    graph.prune(false);
    graph.verify("evaluation form")?;
    let data = data.into_iter().map(|value| graph.name(value).to_owned()).collect();
    Ok(EvalGraph { graph, batch, data, branches, terms })
}

/// Turns an initializer into an input of its type.
fn to_input(graph: &mut Graph, value: ValueId) {
    let ty = graph.ty(value);
    if graph.initializers.remove(&value).is_some() {
        graph.set_type(value, ty);
        graph.inputs.push(value);
    }
}

/// Replaces the values of the cut by inputs; without a cut, the data inputs themselves are those.
fn feed_cut(graph: &mut Graph, network: &Network, cut: Option<&Cut>, batch: usize) -> Vec<ValueId> {
    let Some(cut) = cut else { return network.inputs().collect() };
    let mut inputs = Vec::new();
    for (value, shape) in cut.values.iter().zip(&cut.shapes) {
        let rows: Vec<usize> = std::iter::once(batch).chain(shape.iter().copied()).collect();
        let hint = format!("pipe.feature.{}", graph.name(*value));
        let input = graph.add_input(&hint, TensorType::fixed(DType::F32, &rows));
        graph.replace_uses(*value, input);
        inputs.push(input);
    }
    inputs
}

/// Gives every output a node of its own where two outputs are one value or an output is an input or a constant.
fn unique_outputs(graph: &mut Graph, outputs: &mut [ValueId]) {
    let mut seen: BTreeSet<ValueId> = graph.inputs.iter().copied().chain(graph.initializers.keys().copied()).collect();
    for output in outputs {
        if !seen.insert(*output) {
            let ty = graph.ty(*output);
            let copy = Builder::new(graph, "output").identity(*output);
            graph.set_type(copy, ty);
            *output = copy;
        }
    }
}

/// Dropout in evaluation form is the identity.
pub(crate) fn remove_dropout(graph: &mut Graph) {
    let gone: Vec<(ValueId, ValueId)> = graph
        .nodes
        .iter()
        .filter(|node| node.op == "Dropout" && node.domain.is_empty())
        .filter_map(|node| Some((node.output(0)?, node.input(0)?)))
        .collect();
    let outputs: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    for (output, input) in gone {
        if outputs.contains(&output) {
            // The name of a model output stays.
            for node in &mut graph.nodes {
                if node.output(0) == Some(output) {
                    node.op = "Identity".to_owned();
                    node.inputs.truncate(1);
                    node.outputs.truncate(1);
                    node.attrs.clear();
                }
            }
        } else {
            graph.replace_uses(output, input);
        }
    }
    let mut kept = std::mem::take(&mut graph.nodes);
    kept.retain(|node| !(node.op == "Dropout" && node.domain.is_empty()));
    graph.nodes = kept;
}

/// Turns the dropout nodes that are on into counted ones; returns the input of row keys.
fn train_dropout(
    graph: &mut Graph,
    network: &Network,
    moving: &[bool],
    source: SourceDropout,
    batch: usize,
) -> Result<Option<ValueId>> {
    let mut keys = None;
    let mut layer = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        if node.op != "Dropout" || !node.domain.is_empty() {
            continue;
        }
        let new = network.new_nodes.contains(&node.name);
        let on = new || (node.output(0).is_some_and(|value| moving[value.0 as usize]) && source != SourceDropout::Off);
        let own = match node.input(1) {
            None => Some(0.5),
            Some(ratio) => graph.constant(ratio).and_then(Tensor::to_scalar),
        };
        let ratio = match source {
            SourceDropout::P(p) if !new => Some(p),
            _ => own,
        };
        if !on || ratio == Some(0.0) {
            continue;
        }
        let Some(ratio) = ratio else {
            return Err(Diagnostic::error(
                Code::NotSupported,
                format!("the ratio of dropout node `{}` is computed at run time", node.name),
            )
            .help("set `model: {dropout: off}` or a probability"));
        };
        let key = *keys.get_or_insert_with(|| graph.add_input("pipe.keys", TensorType::fixed(DType::I64, &[batch])));
        let node = &mut graph.nodes[index];
        node.op = "CountedDropout".to_owned();
        node.domain = DOMAIN.to_owned();
        node.inputs = vec![node.input(0), Some(key)];
        node.outputs.truncate(1);
        node.attrs =
            BTreeMap::from([("ratio".to_owned(), Attr::Float(ratio as f32)), ("layer".to_owned(), Attr::Int(layer))]);
        layer += 1;
    }
    // The others are off.
    remove_dropout(graph);
    Ok(keys)
}

/// Gives the trained BatchNormalization nodes batch statistics and appends the update of the running ones in torch's convention:
/// running ← (1 − m)·running + m·batch, with the unbiased batch variance.
fn train_batch_norms(graph: &mut Graph, trainable: &Trainable) -> Result<Vec<State>> {
    let mut states = Vec::new();
    let chosen: Vec<usize> = (0..graph.nodes.len())
        .filter(|index| graph.nodes[*index].output(0).is_some_and(|value| trainable.batch_norms.contains(&value)))
        .collect();
    for index in chosen {
        let node = graph.nodes[index].clone();
        let [Some(_), Some(scale), Some(_), Some(mean), Some(var)] = node.inputs.as_slice() else {
            return Err(Diagnostic::error(
                Code::ModelInvalid,
                format!("BatchNormalization `{}` does not have its five inputs", node.name),
            ));
        };
        let channels = graph.shape(*scale).and_then(|shape| shape.first().copied()).unwrap_or(0);
        let momentum = node.float("momentum", 0.9);
        let running = [*mean, *var];
        if running.iter().any(|value| graph.constant(*value).is_none()) {
            return Err(Diagnostic::error(
                Code::NotSupported,
                format!("the running statistics of BatchNormalization `{}` are computed, not stored", node.name),
            )
            .help("keep it in evaluation mode with `freeze: {batch_norm: eval}`"));
        }
        let scope = if node.name.is_empty() { "BatchNormalization".to_owned() } else { node.name.clone() };
        // Momentum 0 multiplies these by nothing; ONNX Runtime writes the statistics over the buffers of constants that it merged
        // because they are equal, so no two are.
        let [unused_mean, unused_var] = [1.0f32, 2.0].map(|offset| {
            let unlike = states.len() as f32 + offset;
            graph.add_initializer(&format!("{scope}/unused"), Tensor::new([channels], &vec![unlike; channels]))
        });
        let batch_mean = graph.fresh(&format!("{scope}/batch_mean"));
        let batch_var = graph.fresh(&format!("{scope}/batch_var"));
        let changed = &mut graph.nodes[index];
        changed.inputs[3] = Some(unused_mean);
        changed.inputs[4] = Some(unused_var);
        changed.outputs = vec![node.output(0), Some(batch_mean), Some(batch_var)];
        changed.attrs.insert("training_mode".to_owned(), Attr::Int(1));
        changed.attrs.insert("momentum".to_owned(), Attr::Float(0.0));
        let Some(x) = node.input(0) else { continue };
        let next = [("mean", batch_mean, running[0]), ("var", batch_var, running[1])].map(|(name, batch, old)| {
            let attrs = [("keep", Attr::Float(momentum)), ("unbiased", Attr::Int(i64::from(name == "var")))];
            let mut b = Builder::new(graph, format!("{scope}/running_{name}"));
            b.node(DOMAIN, "RunningStatistic", &[old, batch, x].map(Some), &attrs, 1)[0]
        });
        for (value, next) in running.into_iter().zip(next) {
            states.push(State { value, name: graph.name(value).to_owned(), next: graph.name(next).to_owned() });
        }
    }
    Ok(states)
}
