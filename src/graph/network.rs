//! The network in evaluation form: source model, new branches, every parameter with a name and a value.

use super::initial;
use super::names::{Names, Place};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Dim, Graph, Tensor, TensorType, ValueId};
use crate::native;
use crate::parts::layers::{Layer, NewParam};
use crate::spec::{Branch, Model, Spec, StackItem};
use crate::world::rng::Key;
use std::collections::BTreeMap;

/// Name of the free batch dimension.
pub const BATCH: &str = "N";
/// Batch size while shapes are found out; no constant in a graph depends on it.
const STAND_IN: usize = 2;

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
}

/// The network in evaluation form.
#[derive(Debug, Clone)]
pub struct Network {
    /// One data input, all parameters as initializers, branch outputs as outputs. Types are those of batch [`BATCH`].
    pub graph: Graph,
    /// The data input, [N, …].
    pub input: ValueId,
    /// Shape of a sample, the batch dimension left out.
    pub sample: Vec<usize>,
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
    /// `sample` is the shape that the data pipeline makes, if it is known.
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
            free_source(&mut graph, input, baked).map_err(one)?;
        }
        let names = Names::of(&graph);
        if from_source && let Some(warning) = super::names::folded_batch_norm(&graph, &names) {
            warnings.push(warning);
        }
        initial::reinitialize(&mut graph, &names, &spec.model.reinitialize, spec.seed).map_err(one)?;
        let mut surgeon = Surgeon {
            graph,
            names,
            input,
            made: Vec::new(),
            new_nodes: Vec::new(),
            seed: spec.seed,
            spliced: BTreeMap::new(),
        };
        let mut branches = surgeon.branches(&spec.layers)?;
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
        prove_batch(&mut graph, input).map_err(one)?;
        let params = params(&graph, &names, &made);
        let leaves = branches.iter().map(|(name, _)| name).filter(|name| !begun.contains(name)).cloned().collect();
        let mut network = Self { graph, input, sample, branches, leaves, params, new_nodes, warnings };
        check_finite(&network)?;
        network.graph.opsets.insert(String::new(), crate::ir::OPSET);
        Ok(network)
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
            None if self.branches.len() == 1 => Ok(self.branches[0].clone()),
            None => {
                Err(Diagnostic::error(Code::UnknownName, "the network has several branches; say which one with `of:`")
                    .help(format!("the branches are: {}", known.join(", "))))
            }
        }
    }
}

/// A model exported in training mode has BatchNormalization nodes that take batch statistics: they take the stored ones again.
fn evaluation_form(graph: &mut Graph) {
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

/// A graph with nothing but its input.
fn bare(model: &Model) -> Result<Graph> {
    let mut graph = Graph::default();
    "pipe".clone_into(&mut graph.name);
    graph.opsets.insert(String::new(), crate::ir::OPSET);
    let mut roles = model.input.iter();
    let (Some((role, shape)), None) = (roles.next(), roles.next()) else {
        return Err(Diagnostic::error(Code::NotSupported, "a network built from layers has exactly one input")
            .at("/model/input", ""));
    };
    let mut dims = vec![Dim::Symbol(BATCH.to_owned())];
    dims.extend(shape.iter().map(|d| Dim::Known(*d)));
    graph.add_input(role, TensorType { dtype: DType::F32, dims });
    Ok(graph)
}

/// The input that data feeds.
fn data_input(graph: &Graph, model: &Model) -> Result<ValueId> {
    let names: Vec<&str> = graph.inputs.iter().map(|input| graph.name(*input)).collect();
    if model.inputs.len() > 1 {
        return Err(Diagnostic::error(
            Code::NotSupported,
            "models fed by several data inputs are not run by this version",
        )
        .at("/model/inputs", ""));
    }
    if let Some((role, name)) = model.inputs.iter().next() {
        let found = graph.find(name).filter(|value| graph.inputs.contains(value));
        return found.ok_or_else(|| {
            Diagnostic::error(Code::InputRole, format!("the model has no input `{name}`"))
                .at(format!("/model/inputs/{role}"), "")
                .help(format!("its inputs are: {}", names.join(", ")))
        });
    }
    match graph.inputs.as_slice() {
        [only] => Ok(*only),
        _ => Err(Diagnostic::error(
            Code::InputRole,
            format!("the model has {} inputs: {}", names.len(), names.join(", ")),
        )
        .at("/model/source", "")
        .help("say which one the data feeds, such as `inputs: {image: NAME}`")),
    }
}

/// Gives the input a free batch dimension and fixed others, and frees a baked batch size in the graph.
fn free_input(graph: &mut Graph, input: ValueId, model: &Model, sample: Option<&[usize]>) -> Result<Vec<usize>> {
    let name = graph.name(input).to_owned();
    let Some(ty) = graph.ty(input) else {
        return Err(Diagnostic::error(Code::ModelInvalid, format!("input `{name}` has no type")));
    };
    if ty.dims.is_empty() {
        return Err(Diagnostic::error(
            Code::InputRole,
            format!("input `{name}` is a scalar and has no batch dimension"),
        ));
    }
    let mut shape = Vec::new();
    let mut unknown = Vec::new();
    for (axis, dim) in ty.dims.iter().enumerate().skip(1) {
        let given = sample.filter(|sample| sample.len() + 1 == ty.dims.len()).map(|sample| sample[axis - 1]);
        match dim {
            Dim::Known(size) => shape.push(*size),
            Dim::Symbol(symbol) => match model.shape.get(symbol).copied().or(given) {
                Some(size) => shape.push(size),
                None => unknown.push(if symbol.is_empty() { format!("axis {axis}") } else { format!("`{symbol}`") }),
            },
        }
    }
    if !unknown.is_empty() {
        return Err(Diagnostic::error(
            Code::ShapeMismatch,
            format!("input `{name}` has free dimensions: {}", unknown.join(", ")),
        )
        .at("/model/source", "")
        .help("give them with `shape: {NAME: SIZE}`, or end the transforms in a fixed size"));
    }
    if let Some(sample) = sample
        && sample != shape
    {
        return Err(Diagnostic::error(
            Code::DataShape,
            format!("samples of shape {sample:?} do not fit input `{name}` of shape {shape:?}"),
        )
        .at("/data", "")
        .help("end the transforms in the size that the model takes, such as `resize` and `center_crop`"));
    }
    let mut dims = vec![Dim::Symbol(BATCH.to_owned())];
    dims.extend(shape.iter().map(|d| Dim::Known(*d)));
    let ty = TensorType { dtype: ty.dtype, dims };
    graph.set_type(input, Some(ty));
    if graph.inputs.len() > 1 {
        let others: Vec<&str> =
            graph.inputs.iter().filter(|other| **other != input).map(|other| graph.name(*other)).collect();
        return Err(Diagnostic::error(Code::InputRole, format!("no data feeds {}", others.join(", ")))
            .help("models fed by several data inputs are not run by this version"));
    }
    Ok(shape)
}

/// Types the source at the stand-in batch size. Where the exporter baked its own batch size in, it is taken out first; where the
/// input says that it is free and the graph does not scale, the size 1 of the example that it was exported with is.
fn free_source(graph: &mut Graph, input: ValueId, baked: Option<usize>) -> Result<()> {
    let scales = |graph: &mut Graph| -> Result<bool> {
        native::probe(graph, &[(BATCH.to_owned(), STAND_IN)])?;
        let first = |value: &ValueId| graph.shape(*value).is_none_or(|shape| shape.first() == Some(&STAND_IN));
        Ok(graph.outputs.iter().all(first))
    };
    if baked.is_none() {
        let mut tried = graph.clone();
        if matches!(scales(&mut tried), Ok(true)) {
            *graph = tried;
            return Ok(());
        }
    }
    let size = baked.unwrap_or(1);
    set_first(graph, input, Dim::Known(size));
    native::probe(graph, &[])?;
    let freed = super::rebatch::free_batch(graph, &[input]);
    set_first(graph, input, Dim::Symbol(BATCH.to_owned()));
    native::probe(graph, &[(BATCH.to_owned(), STAND_IN)]).map_err(|why| {
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
    })
}

fn set_first(graph: &mut Graph, value: ValueId, dim: Dim) {
    if let Some(mut ty) = graph.ty(value)
        && let Some(first) = ty.dims.first_mut()
    {
        *first = dim;
        graph.set_type(value, Some(ty));
    }
}

/// Finds out by probing two sizes which dimensions follow the batch, and gives those the name [`BATCH`].
fn prove_batch(graph: &mut Graph, input: ValueId) -> Result<()> {
    let mut other = graph.clone();
    native::probe(graph, &[(BATCH.to_owned(), STAND_IN)])?;
    native::probe(&mut other, &[(BATCH.to_owned(), STAND_IN + 1)])?;
    for index in 0..graph.value_count() {
        let value = ValueId(index as u32);
        if graph.constant(value).is_some() || value == input {
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

fn check_finite(network: &Network) -> std::result::Result<(), Vec<Diagnostic>> {
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
fn params(graph: &Graph, names: &Names, made: &[Param]) -> Vec<Param> {
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
            },
        );
    }
    for param in made {
        found.insert(param.value, param.clone());
    }
    let mut order = Vec::new();
    for node in &graph.nodes {
        for input in node.inputs.iter().flatten() {
            if graph.constant(*input).is_some()
                && let Some(param) = found.remove(input)
            {
                order.push(param);
            }
        }
    }
    order
}

struct Surgeon {
    graph: Graph,
    names: Names,
    input: ValueId,
    made: Vec<Param>,
    new_nodes: Vec<String>,
    seed: u64,
    /// Values after which a stack was spliced in, with the end of that stack.
    spliced: BTreeMap<ValueId, ValueId>,
}

impl Surgeon {
    /// Builds every branch; a branch may start from another.
    fn branches(
        &mut self,
        layers: &BTreeMap<String, Branch>,
    ) -> std::result::Result<Vec<(String, ValueId)>, Vec<Diagnostic>> {
        let mut done: BTreeMap<String, (ValueId, Vec<usize>)> = BTreeMap::new();
        let mut order: Vec<(String, ValueId)> = Vec::new();
        let mut problems = Vec::new();
        let mut waiting: Vec<&String> = layers.keys().collect();
        while !waiting.is_empty() {
            let ready: Vec<&String> = waiting
                .iter()
                .copied()
                .filter(|name| {
                    layers[*name].from.iter().all(|from| !layers.contains_key(from) || done.contains_key(from))
                })
                .collect();
            if ready.is_empty() {
                problems.push(Diagnostic::error(Code::Cycle, "branches start from each other in a circle"));
                break;
            }
            // Splices come first, so that what a branch starts from does not depend on the order of the names.
            let (splices, others): (Vec<_>, Vec<_>) =
                ready.into_iter().partition(|name| layers[*name].insert_after.is_some());
            for name in splices.into_iter().chain(others) {
                waiting.retain(|other| *other != name);
                match self.branch(name, &layers[name], &done) {
                    Ok((value, shape)) => {
                        order.push((name.clone(), value));
                        done.insert(name.clone(), (value, shape));
                    }
                    Err(problem) => {
                        problems.push(problem);
                        return Err(problems);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(order) } else { Err(problems) }
    }

    fn branch(
        &mut self,
        name: &str,
        branch: &Branch,
        done: &BTreeMap<String, (ValueId, Vec<usize>)>,
    ) -> Result<(ValueId, Vec<usize>)> {
        let at = format!("/layers/{name}");
        let mut splice = None;
        let (start, shape) = if let Some(target) = &branch.replaces {
            let value = self.fed_by(target).map_err(|error| error.at(format!("{at}/replaces"), ""))?;
            (value, self.shape(value)?)
        } else if let Some(target) = &branch.insert_after {
            let value = self.made_by(target).map_err(|error| error.at(format!("{at}/insert_after"), ""))?;
            splice = Some(value);
            (value, self.shape(value)?)
        } else {
            match branch.from.as_slice() {
                [] => (self.input, self.shape(self.input)?),
                [from] => {
                    if let Some((value, shape)) = done.get(from) {
                        (*value, shape.clone())
                    } else {
                        let value = self.made_by(from).map_err(|error| error.at(format!("{at}/from"), ""))?;
                        (value, self.shape(value)?)
                    }
                }
                _ => {
                    return Err(Diagnostic::error(
                        Code::NotSupported,
                        "branches that join several others are not run by this version",
                    )
                    .at(format!("{at}/from"), ""));
                }
            }
        };
        let readers = self.graph.nodes.len();
        let (end, out) = self.stack(name, &branch.stack, start, shape)?;
        if let Some(value) = splice {
            // Only what read the value before the stack was built reads the stack's end now.
            for node in &mut self.graph.nodes[..readers] {
                for input in &mut node.inputs {
                    if *input == Some(value) {
                        *input = Some(end);
                    }
                }
            }
            for output in &mut self.graph.outputs {
                if *output == value {
                    *output = end;
                }
            }
            self.spliced.insert(value, end);
            sort(&mut self.graph);
        }
        Ok((end, out))
    }

    fn stack(
        &mut self,
        branch: &str,
        stack: &[StackItem],
        start: ValueId,
        shape: Vec<usize>,
    ) -> Result<(ValueId, Vec<usize>)> {
        let (mut value, mut shape) = (start, shape);
        for (index, item) in stack.iter().enumerate() {
            let locate = |error: Diagnostic| {
                if error.labels().is_empty() {
                    let sizes: Vec<String> = shape.iter().skip(1).map(ToString::to_string).collect();
                    error.at(&item.layer.at, format!("it gets [N, {}]", sizes.join(", ")))
                } else {
                    error
                }
            };
            let layer = item.layer.build()?;
            let next = layer.shape(&shape).map_err(locate)?;
            let wanted = layer.params(&shape).map_err(locate)?;
            let scope = format!("{branch}.{index}");
            let values = self.new_params(&scope, &wanted, item, layer.as_ref())?;
            let before = self.graph.nodes.len();
            let mut b = Builder::new(&mut self.graph, format!("{scope}/{}", item.layer.kind));
            value = layer.build(&mut b, value, &shape, &values).map_err(locate)?;
            let made: Vec<String> = self.graph.nodes[before..].iter().map(|node| node.name.clone()).collect();
            self.new_nodes.extend(made);
            let mut dims = vec![Dim::Symbol(BATCH.to_owned())];
            dims.extend(next.iter().skip(1).map(|d| Dim::Known(*d)));
            self.graph.set_type(value, Some(TensorType { dtype: DType::F32, dims }));
            shape = next;
        }
        Ok((value, shape))
    }

    fn new_params(
        &mut self,
        scope: &str,
        wanted: &[NewParam],
        item: &StackItem,
        _layer: &dyn Layer,
    ) -> Result<Vec<ValueId>> {
        let init = item.init.as_ref().map(crate::parts::Chosen::build).transpose()?;
        let mut values = Vec::with_capacity(wanted.len());
        for param in wanted {
            let name = format!("{scope}.{}", param.name);
            let mut rng = Key::new(self.seed).named("init").named(&name).rng();
            let mut data = vec![0.0f32; param.shape.iter().product()];
            match &init {
                Some(init) if param.name == "weight" && param.shape.len() >= 2 => {
                    init.fill(initial::fans(&param.shape), &mut data, &mut rng);
                }
                _ => initial::start(param.start, &mut data, &mut rng),
            }
            let value = self.graph.add_initializer(&name, Tensor::new(param.shape.clone(), &data));
            values.push(value);
            if param.trainable {
                let name = self.graph.name(value).to_owned();
                self.made.push(Param { value, names: vec![name.clone()], name, shape: param.shape.clone(), new: true });
            }
        }
        Ok(values)
    }

    fn shape(&self, value: ValueId) -> Result<Vec<usize>> {
        let Some(ty) = self.graph.ty(value) else {
            return Err(Diagnostic::error(
                Code::ShapeMismatch,
                format!("the shape of `{}` is not known", self.graph.name(value)),
            ));
        };
        let shape = ty.dims.iter().enumerate().map(|(axis, dim)| match dim {
            Dim::Known(size) => Some(*size),
            Dim::Symbol(_) if axis == 0 => Some(STAND_IN),
            Dim::Symbol(_) => None,
        });
        shape.collect::<Option<Vec<usize>>>().ok_or_else(|| {
            Diagnostic::error(Code::ShapeMismatch, format!("the shape of `{}` is not known", self.graph.name(value)))
        })
    }

    /// What feeds a node, value or module: where a branch that replaces it starts.
    fn fed_by(&self, target: &str) -> Result<ValueId> {
        let index = match self.names.place(&self.graph, target)? {
            Place::Node(index) => index,
            Place::Value(value) => return Ok(self.through(value)),
            Place::Module(nodes) => nodes.iter().copied().min().ok_or_else(|| unknown(target))?,
        };
        let node = &self.graph.nodes[index];
        let data = node.inputs.iter().flatten().find(|input| self.graph.constant(**input).is_none());
        data.copied().ok_or_else(|| {
            Diagnostic::error(Code::NodeUnknown, format!("`{target}` reads constants only, nothing feeds it"))
        })
    }

    /// What a node, value or module makes.
    fn made_by(&self, target: &str) -> Result<ValueId> {
        let index = match self.names.place(&self.graph, target)? {
            Place::Node(index) => index,
            Place::Value(value) => return Ok(self.through(value)),
            Place::Module(nodes) => nodes.iter().copied().max().ok_or_else(|| unknown(target))?,
        };
        self.graph.nodes[index].output(0).map(|value| self.through(value)).ok_or_else(|| unknown(target))
    }

    /// The value, or the end of what was spliced in after it.
    fn through(&self, mut value: ValueId) -> ValueId {
        while let Some(end) = self.spliced.get(&value) {
            value = *end;
        }
        value
    }
}

fn unknown(target: &str) -> Diagnostic {
    Diagnostic::error(Code::NodeUnknown, format!("the model has no node, value or module `{target}`"))
}

/// Stable topological order after a splice.
fn sort(graph: &mut Graph) {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut known = vec![false; graph.value_count()];
    for value in graph.inputs.iter().chain(graph.initializers.keys()) {
        known[value.0 as usize] = true;
    }
    let mut waiting = nodes;
    while !waiting.is_empty() {
        let mut rest = Vec::new();
        let mut moved = false;
        for node in waiting {
            if graph.reads(&node).iter().all(|value| known[value.0 as usize]) {
                for output in node.outputs.iter().flatten() {
                    known[output.0 as usize] = true;
                }
                graph.nodes.push(node);
                moved = true;
            } else {
                rest.push(node);
            }
        }
        if !moved {
            // A circle: `verify` names it.
            graph.nodes.extend(rest);
            return;
        }
        waiting = rest;
    }
}
