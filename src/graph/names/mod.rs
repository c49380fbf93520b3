//! Names in a source model: which initializers are parameters, and every name that one answers to.
//!
//! Exporters lose names, so a parameter is found under the name of its initializer, under `<owner node>.weight` and under
//! `<module path>.weight`. Absence: nothing here reads a file or knows what a spec is.

mod place;
mod roles;
mod scopes;
mod split;

pub use place::Place;
pub use scopes::{is_generated, module_path};
pub use split::{Split, folded_batch_norm, split_shared};

use crate::ir::onnx::Body;
use crate::ir::{Graph, Node, Tensor, ValueId};
use roles::Demand;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A trainable tensor of a model, or a statistic beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The initializer.
    pub value: ValueId,
    /// The name that reports use: the initializer's own if somebody gave it, else the path of its module or owner.
    pub name: String,
    /// Every name, the canonical one first.
    pub names: Vec<String>,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Number of nodes that read it.
    pub shared: usize,
}

/// The parameters of a graph and the paths of its modules.
#[derive(Debug, Clone, Default)]
pub struct Names {
    params: Vec<Param>,
    buffers: Vec<Param>,
    by_value: BTreeMap<ValueId, usize>,
    modules: BTreeMap<String, Vec<usize>>,
}

/// A use of an initializer as a weight.
#[derive(Debug, Clone)]
struct Use {
    /// The node that works with it, behind forms such as Transpose; where that stands in a body, the node that has the body.
    node: usize,
    index: usize,
    demand: Demand,
    /// Names by the paths of its modules.
    paths: Vec<String>,
    /// Names by the nodes that it belongs to.
    owners: Vec<String>,
}

/// A graph and who reads and makes its values.
struct Wiring<'g> {
    graph: Cow<'g, Graph>,
    consumers: Vec<Vec<usize>>,
    producers: Vec<Option<usize>>,
    /// The bodies of its nodes, by node, each with the names that it reads from around it, its last inputs.
    bodies: BTreeMap<usize, Vec<(Vec<String>, Wiring<'static>)>>,
}

impl<'g> Wiring<'g> {
    fn of(graph: Cow<'g, Graph>) -> Self {
        let mut bodies: BTreeMap<usize, Vec<(Vec<String>, Wiring<'static>)>> = BTreeMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for Body { graph, outside } in node.bodies().filter_map(|(bytes, _)| Body::decode(bytes).ok()) {
                bodies.entry(index).or_default().push((outside, Wiring::of(Cow::Owned(graph))));
            }
        }
        Self { consumers: graph.consumers(), producers: graph.producers(), graph, bodies }
    }
}

impl Names {
    /// Reads the names of a graph.
    pub fn of(graph: &Graph) -> Self {
        let mut this = Self { modules: modules(graph), ..Self::default() };
        let wiring = Wiring::of(Cow::Borrowed(graph));
        let mut found: Vec<((usize, usize), bool, Param)> = Vec::new();
        for (value, tensor) in graph.initializers.iter().filter(|(_, tensor)| tensor.dtype().is_float()) {
            let uses = uses(&wiring, *value);
            let asked: Vec<Use> =
                uses.into_iter().filter(|found| holds(found.demand, graph.name(*value), tensor)).collect();
            let Some(first) = asked.iter().map(|found| (found.node, found.index)).min() else { continue };
            let buffer = asked.iter().all(|found| found.demand == Demand::Buffer);
            let names = all_names(graph, *value, &asked);
            let param = Param {
                value: *value,
                name: names[0].clone(),
                names,
                shape: tensor.shape().to_vec(),
                shared: wiring.consumers[value.0 as usize].len(),
            };
            found.push((first, buffer, param));
        }
        found.sort_by_key(|(first, _, param)| (*first, param.value));
        make_unique(graph, &mut found);
        for (_, buffer, param) in found {
            if buffer {
                this.buffers.push(param);
            } else {
                this.by_value.insert(param.value, this.params.len());
                this.params.push(param);
            }
        }
        this
    }

    /// The parameters, in the order in which the graph uses them.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Running statistics of BatchNorm: they move in training, and no gradient reaches them.
    pub fn buffers(&self) -> &[Param] {
        &self.buffers
    }

    /// The parameter that an initializer is.
    pub fn param_of(&self, value: ValueId) -> Option<&Param> {
        self.by_value.get(&value).map(|index| &self.params[*index])
    }

    /// Module paths with the nodes below each, in order of the paths.
    pub fn modules(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.modules
    }
}

/// Nodes below every module path and its ancestors.
fn modules(graph: &Graph) -> BTreeMap<String, Vec<usize>> {
    let mut modules: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let Some(path) = module_path(node) else { continue };
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            modules.entry(path[..end].to_owned()).or_default().push(index);
        }
    }
    modules
}

/// How the graph uses an initializer as a weight, forms of it and readers in bodies included.
fn uses(wiring: &Wiring, value: ValueId) -> Vec<Use> {
    let graph = &wiring.graph;
    let mut found = Vec::new();
    let mut open = vec![value];
    let mut seen = BTreeSet::from([value]);
    while let Some(value) = open.pop() {
        for &index in &wiring.consumers[value.0 as usize] {
            let node = &graph.nodes[index];
            let title = node.title();
            for (input, _) in node.inputs.iter().enumerate().filter(|(_, input)| **input == Some(value)) {
                if let Some(role) = roles::role(&title, input) {
                    let (paths, owners) = belongs(wiring, node, role.part);
                    found.push(Use { node: index, index: input, demand: role.demand, paths, owners });
                }
            }
            for (outside, body) in wiring.bodies.get(&index).into_iter().flatten() {
                let own = body.graph.inputs.len() - outside.len();
                let read = outside.iter().position(|name| name == graph.name(value));
                let Some(inner) = read.and_then(|at| body.graph.inputs.get(own + at)) else { continue };
                found.extend(uses(body, *inner).into_iter().map(|inside| Use { node: index, ..inside }));
            }
            let passes = node.input(0) == Some(value) && roles::FORMS.contains(&title.as_str());
            if let Some(output) = node.output(0).filter(|output| passes && seen.insert(*output)) {
                open.push(output);
            }
        }
    }
    found.sort_by_key(|found| (found.node, found.index));
    found
}

/// The names that a weight has by the modules and by the nodes that it belongs to.
fn belongs(wiring: &Wiring, node: &Node, part: &'static str) -> (Vec<String>, Vec<String>) {
    let (mut paths, mut owners) = (Vec::new(), Vec::new());
    let partner = linear_before(&wiring.graph, &wiring.producers, node, part);
    for node in partner.into_iter().chain([node]) {
        paths.extend(module_path(node).map(|path| format!("{path}.{part}")));
        if !node.name.is_empty() {
            owners.push(format!("{}.{part}", node.name));
        }
    }
    (paths, owners)
}

fn holds(demand: Demand, name: &str, tensor: &Tensor) -> bool {
    match demand {
        Demand::Always | Demand::Buffer => true,
        _ if is_mask(tensor) => false,
        Demand::Several => !scopes::is_literal(name) && (tensor.len() > 1 || !is_generated(name)),
        Demand::Affine => !scopes::is_literal(name) && (!is_generated(name) || !uniform(tensor)),
        Demand::Named => !is_generated(name),
    }
}

/// Whether some element is what attention masks write for "never": −∞ or the lowest number of the type. No weight is that large.
fn is_mask(tensor: &Tensor) -> bool {
    let never = |x: f64| x.is_infinite() || x.abs() >= 1e30;
    let f32s = || tensor.to_vec::<f32>().is_some_and(|all| all.into_iter().any(|x| never(f64::from(x))));
    f32s() || tensor.to_vec::<f64>().is_some_and(|all| all.into_iter().any(never))
}

/// Whether all elements are the same.
fn uniform(tensor: &Tensor) -> bool {
    let mut elements = tensor.bytes().chunks_exact(tensor.dtype().size().max(1));
    let first = elements.next();
    elements.all(|element| Some(element) == first)
}

/// Every name of a parameter, the best first, without repeats.
fn all_names(graph: &Graph, value: ValueId, uses: &[Use]) -> Vec<String> {
    let own = graph.name(value);
    let paths = uses.iter().flat_map(|found| found.paths.iter().cloned());
    let owners = uses.iter().flat_map(|found| found.owners.iter().cloned());
    let mut names: Vec<String> = Vec::new();
    let own = [own.to_owned()];
    let ordered: Vec<String> = if is_generated(&own[0]) {
        paths.chain(owners).chain(own).collect()
    } else {
        own.into_iter().chain(paths).chain(owners).collect()
    };
    for name in ordered {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The product that an addition of a bias belongs to: exporters split a linear layer of rank 3 into `MatMul` and Add.
fn linear_before<'g>(graph: &'g Graph, producers: &[Option<usize>], node: &Node, part: &str) -> Option<&'g Node> {
    if node.op != "Add" || part != "bias" {
        return None;
    }
    let mut before = node.inputs.iter().flatten().filter_map(|input| producers[input.0 as usize]);
    before.find_map(|index| (graph.nodes[index].op == "MatMul").then_some(&graph.nodes[index]))
}

/// Canonical names are unique: of two that derive the same one, both keep the name of their initializer in front.
fn make_unique(graph: &Graph, found: &mut [((usize, usize), bool, Param)]) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for (_, _, param) in found.iter() {
        *count.entry(param.name.clone()).or_default() += 1;
    }
    let own: BTreeSet<String> = found.iter().map(|(_, _, param)| graph.name(param.value).to_owned()).collect();
    for (_, _, param) in found.iter_mut() {
        let initializer = graph.name(param.value);
        let taken = count.get(&param.name).is_some_and(|count| *count > 1) || own.contains(&param.name);
        if taken && param.name != initializer {
            param.names.retain(|name| name != initializer);
            param.names.insert(0, initializer.to_owned());
            initializer.clone_into(&mut param.name);
        }
    }
}

#[cfg(test)]
mod tests;
