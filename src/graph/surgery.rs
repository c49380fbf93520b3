//! Surgery: where branches begin, the layers that are built there, and what is spliced in between.

use super::initial;
use super::names::{Names, Place};
use super::network::{BATCH, Param, STAND_IN};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Dim, Graph, Tensor, TensorType, ValueId};
use crate::parts::layers::NewParam;
use crate::spec::{Branch, StackItem, join};
use crate::world::rng::Key;
use std::collections::{BTreeMap, BTreeSet};

/// A network on the table.
pub(super) struct Surgeon {
    pub(super) graph: Graph,
    pub(super) names: Names,
    pub(super) input: ValueId,
    pub(super) made: Vec<Param>,
    pub(super) new_nodes: Vec<String>,
    pub(super) seed: u64,
    /// Values after which a stack was spliced in, with the end of that stack.
    pub(super) spliced: BTreeMap<ValueId, ValueId>,
}

/// Where a branch begins.
struct Begin {
    value: ValueId,
    shape: Vec<usize>,
    origin: Origin,
}

/// Where the spec says what a layer gets.
struct Origin {
    at: String,
    key: bool,
    /// What to say there before the shape.
    what: String,
}

impl Origin {
    fn label(&self, error: Diagnostic, shape: &[usize]) -> Diagnostic {
        let text = format!("{} {}", self.what, sizes(shape));
        if self.key { error.at_key(&self.at, text) } else { error.at(&self.at, text) }
    }
}

/// A shape as messages write it, its batch as N.
pub(super) fn sizes(shape: &[usize]) -> String {
    let sizes: String = shape.iter().skip(1).map(|size| format!(", {size}")).collect();
    format!("[N{sizes}]")
}

impl Surgeon {
    /// Builds every branch; a branch may start from another. What is wrong with several is all told.
    pub(super) fn branches(
        &mut self,
        layers: &BTreeMap<String, Branch>,
    ) -> std::result::Result<Vec<(String, ValueId)>, Vec<Diagnostic>> {
        let mut done: BTreeMap<String, (ValueId, Vec<usize>)> = BTreeMap::new();
        let mut order: Vec<(String, ValueId)> = Vec::new();
        let mut problems = Vec::new();
        // Branches that could not be built, and those that start from them.
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut waiting: Vec<&String> = layers.keys().collect();
        while !waiting.is_empty() {
            let settled =
                |from: &String| !layers.contains_key(from) || done.contains_key(from) || failed.contains(from);
            let ready: Vec<&String> =
                waiting.iter().copied().filter(|name| layers[*name].from.iter().all(settled)).collect();
            if ready.is_empty() {
                problems.push(Diagnostic::error(Code::Cycle, "branches start from each other in a circle"));
                break;
            }
            // Splices come first, so that what a branch starts from does not depend on the order of the names.
            let (splices, others): (Vec<_>, Vec<_>) =
                ready.into_iter().partition(|name| layers[*name].insert_after.is_some());
            for name in splices.into_iter().chain(others) {
                waiting.retain(|other| *other != name);
                if layers[name].from.iter().any(|from| failed.contains(from)) {
                    failed.insert(name.clone());
                    continue;
                }
                match self.branch(name, &layers[name], &done) {
                    Ok((value, shape)) => {
                        order.push((name.clone(), value));
                        done.insert(name.clone(), (value, shape));
                    }
                    Err(problem) => {
                        problems.push(problem);
                        failed.insert(name.clone());
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
        let at = join("/layers", name);
        let begin = self.begin(&at, branch, done)?;
        let splice = branch.insert_after.as_ref().map(|_| begin.value);
        let readers = self.graph.nodes.len();
        let (end, out) = self.stack(name, &branch.stack, begin)?;
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

    /// The value at which a branch begins, and what the spec says of it.
    fn begin(&self, at: &str, branch: &Branch, done: &BTreeMap<String, (ValueId, Vec<usize>)>) -> Result<Begin> {
        let begin = |found: Result<ValueId>, key: &str, what: String| {
            let at = format!("{at}/{key}");
            let value = found.map_err(|error| error.at(&at, ""))?;
            let shape = self.shape(value).map_err(|error| error.at(&at, ""))?;
            Ok(Begin { value, shape, origin: Origin { at, key: false, what } })
        };
        if let Some(target) = &branch.replaces {
            return begin(self.fed_by(target), "replaces", format!("`{target}` was fed"));
        }
        if let Some(target) = &branch.insert_after {
            return begin(self.made_by(target), "insert_after", format!("`{target}` makes"));
        }
        match branch.from.as_slice() {
            [] => {
                let role = self.graph.name(self.input);
                let origin = Origin { at: join("/model/input", role), key: true, what: format!("`{role}` is") };
                Ok(Begin { value: self.input, shape: self.shape(self.input)?, origin })
            }
            [from] => match done.get(from) {
                Some((value, _)) => begin(Ok(*value), "from/0", format!("the branch `{from}` ends in")),
                None => begin(self.made_by(from), "from/0", format!("`{from}` makes")),
            },
            _ => {
                let message = "branches that join several others are not run by this version";
                Err(Diagnostic::error(Code::NotSupported, message).at(format!("{at}/from"), ""))
            }
        }
    }

    fn stack(&mut self, branch: &str, stack: &[StackItem], begin: Begin) -> Result<(ValueId, Vec<usize>)> {
        let Begin { mut value, mut shape, mut origin } = begin;
        for (index, item) in stack.iter().enumerate() {
            let locate = |error: Diagnostic| {
                if error.labels().is_empty() {
                    origin.label(error.at_key(&item.layer.at, format!("gets {}", sizes(&shape))), &shape)
                } else {
                    error
                }
            };
            let layer = item.layer.build()?;
            let next = layer.shape(&shape).map_err(locate)?;
            let wanted = layer.params(&shape).map_err(locate)?;
            let scope = format!("{branch}.{index}");
            let values = self.new_params(&scope, &wanted, item)?;
            let before = self.graph.nodes.len();
            let mut b = Builder::new(&mut self.graph, format!("{scope}/{}", item.layer.kind));
            value = layer.build(&mut b, value, &shape, &values).map_err(locate)?;
            let made: Vec<String> = self.graph.nodes[before..].iter().map(|node| node.name.clone()).collect();
            self.new_nodes.extend(made);
            let mut dims = vec![Dim::Symbol(BATCH.to_owned())];
            dims.extend(next.iter().skip(1).map(|d| Dim::Known(*d)));
            self.graph.set_type(value, Some(TensorType { dtype: DType::F32, dims }));
            shape = next;
            origin = Origin { at: item.layer.at.clone(), key: true, what: "makes".to_owned() };
        }
        Ok((value, shape))
    }

    fn new_params(&mut self, scope: &str, wanted: &[NewParam], item: &StackItem) -> Result<Vec<ValueId>> {
        let init = item.init.as_ref().map(crate::parts::Chosen::build).transpose()?;
        let fills = |param: &NewParam| param.name == "weight" && param.shape.len() >= 2;
        if let Some(chosen) = item.init.as_ref().filter(|_| !wanted.iter().any(fills)) {
            let message = format!("`{}` has no weight that `init` could fill", item.layer.kind);
            let error = Diagnostic::error(Code::Conflict, message).at(&chosen.at, "nothing to fill");
            return Err(error.help("`init` is for layers with a weight matrix, such as `linear` and `conv`"));
        }
        let mut values = Vec::with_capacity(wanted.len());
        for param in wanted {
            let name = format!("{scope}.{}", param.name);
            let mut rng = Key::new(self.seed).named("init").named(&name).rng();
            let mut data = vec![0.0f32; param.shape.iter().product()];
            match &init {
                Some(init) if fills(param) => {
                    init.fill(initial::fans(&param.shape), &mut data, &mut rng);
                }
                _ => initial::start(param.start, &mut data, &mut rng),
            }
            let value = self.graph.add_initializer(&name, Tensor::new(param.shape.clone(), &data));
            values.push(value);
            if param.trainable {
                let name = self.graph.name(value).to_owned();
                let (names, shape) = (vec![name.clone()], param.shape.clone());
                self.made.push(Param { value, name, names, shape, new: true, pretrained: false });
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
            // A value stands for the node that makes it.
            Place::Value(value) => self.graph.producers()[value.0 as usize].ok_or_else(|| {
                Diagnostic::error(Code::NodeUnknown, format!("nothing makes `{target}`, so nothing can replace it"))
                    .help("to start at an input, say `from:`")
            })?,
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
