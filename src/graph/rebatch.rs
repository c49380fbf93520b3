//! Frees a batch size that an exporter wrote into constants: shapes of Reshape and Expand, parts that are joined to the data.
//!
//! Works on the types of the source's own batch size; nothing changes at that size. Whether the result scales is proved by probing it
//! at two sizes, not argued here. Absence: no session is run.

use super::network::BATCH;
use crate::ir::{Attr, Dim, Graph, Node, Tensor, TensorType, ValueId};
use std::collections::BTreeSet;

/// What was rewritten, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freed {
    /// The node whose constant held the batch size; its name, or the name of what it makes.
    pub node: String,
    /// Its operator.
    pub op: String,
}

/// Makes the first dimension of `inputs` free and takes the source's batch size out of the constants that hold it. `graph` has the
/// types of its values at that size, as far as they are known.
///
/// An input whose first dimension is free already counts as one exported at batch 1.
pub fn free_batch(graph: &mut Graph, inputs: &[ValueId]) -> Vec<Freed> {
    let Some(first) = inputs.first().copied() else { return Vec::new() };
    let first_dim = |value: ValueId| graph.ty(value).and_then(|ty| ty.dims.first().cloned());
    let batch = match first_dim(first) {
        Some(Dim::Known(size)) if size > 0 => size,
        _ => 1,
    };
    let mut pass = Rebatch { fed: fed(graph, inputs), graph, batch, size: None, first, freed: Vec::new() };
    for node in std::mem::take(&mut pass.graph.nodes) {
        let node = pass.rewrite(node);
        pass.graph.nodes.push(node);
    }
    let Rebatch { size, freed, .. } = pass;
    if let Some(size) = size {
        let attrs = [("start", 0), ("end", 1)].map(|(name, value)| (name.to_owned(), Attr::Int(value)));
        let node = Node {
            name: graph.name(size).to_owned(),
            op: "Shape".to_owned(),
            inputs: vec![Some(first)],
            outputs: vec![Some(size)],
            attrs: attrs.into_iter().collect(),
            ..Node::default()
        };
        graph.nodes.insert(0, node);
    }
    for input in inputs {
        if let Some(mut ty) = graph.ty(*input).filter(|ty| !ty.dims.is_empty()) {
            ty.dims[0] = Dim::Symbol(BATCH.to_owned());
            graph.set_type(*input, Some(ty));
        }
    }
    // What was known holds for the old size only.
    let made: Vec<ValueId> = graph.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()).collect();
    for value in made {
        graph.set_type(value, None);
    }
    freed
}

/// By value, whether it depends on one of the inputs through data, not only through shapes.
fn fed(graph: &Graph, inputs: &[ValueId]) -> Vec<bool> {
    let mut fed = vec![false; graph.value_count()];
    for input in inputs {
        fed[input.0 as usize] = true;
    }
    for node in &graph.nodes {
        let reads = node.op != "Shape" && graph.reads(node).iter().any(|value| fed[value.0 as usize]);
        if reads {
            node.outputs.iter().flatten().for_each(|output| fed[output.0 as usize] = true);
        }
    }
    fed
}

struct Rebatch<'g> {
    graph: &'g mut Graph,
    fed: Vec<bool>,
    batch: usize,
    /// The batch size as a vector of one element, once something needs it.
    size: Option<ValueId>,
    first: ValueId,
    freed: Vec<Freed>,
}

impl Rebatch<'_> {
    fn rewrite(&mut self, mut node: Node) -> Node {
        if !node.domain.is_empty() {
            return node;
        }
        let changed = match node.op.as_str() {
            "Reshape" => self.reshape(&mut node),
            "Expand" => self.expand(&mut node),
            "Concat" => self.concat(&mut node),
            _ => false,
        };
        if changed {
            let made = node.output(0).map_or("", |output| self.graph.name(output));
            let name = if node.name.is_empty() { made } else { &node.name };
            self.freed.push(Freed { node: name.to_owned(), op: node.op.clone() });
        }
        node
    }

    fn is_fed(&self, value: ValueId) -> bool {
        self.fed.get(value.0 as usize).copied().unwrap_or(false)
    }

    /// A constant shape whose first entry holds the batch size.
    fn reshape(&mut self, node: &mut Node) -> bool {
        let (Some(data), Some(shape)) = (node.input(0), node.input(1)) else { return false };
        let Some(target) = self.graph.constant(shape).and_then(Tensor::to_ints) else {
            return self.joined(node, shape, data);
        };
        // Without a zero in the target, `allowzero` says nothing; with one, it is about empty tensors.
        let literal = node.int("allowzero", 0) != 0 && target.contains(&0);
        let Some(from) = self.graph.shape(data).filter(|_| self.is_fed(data) && !literal) else {
            return false;
        };
        let Some(new) = freed_shape(&from, &target, self.batch) else { return false };
        let hint = format!("{}/free", self.graph.name(shape));
        node.inputs[1] = Some(self.graph.add_initializer(&hint, Tensor::vector(&new)));
        node.attrs.remove("allowzero");
        true
    }

    /// A shape that is joined of parts, the first of which is the batch size as a constant.
    fn joined(&mut self, node: &Node, shape: ValueId, data: ValueId) -> bool {
        let holds = self.graph.shape(data).is_some_and(|from| from.first() == Some(&self.batch)) && self.is_fed(data);
        let Some(index) =
            self.graph.nodes.iter().position(|other| other.output(0) == Some(shape) && other.op == "Concat")
        else {
            return false;
        };
        let part =
            self.graph.nodes[index].input(0).and_then(|part| self.graph.constant(part)).and_then(Tensor::to_ints);
        let expands = node.op == "Expand" && self.batch > 1;
        if part != Some(vec![self.batch as i64]) || !(expands || node.op == "Reshape" && holds) {
            return false;
        }
        let size = self.size();
        self.graph.nodes[index].inputs[0] = Some(size);
        true
    }

    /// A constant shape of Expand; at batch 1 a result of one row still broadcasts, so only larger ones are rewritten.
    fn expand(&mut self, node: &mut Node) -> bool {
        let (Some(data), Some(shape)) = (node.input(0), node.input(1)) else { return false };
        let Some(target) = self.graph.constant(shape).and_then(Tensor::to_ints) else {
            return self.joined(node, shape, data);
        };
        if self.batch < 2 || target.first() != Some(&(self.batch as i64)) {
            return false;
        }
        let hint = self.graph.name(shape).to_owned();
        node.inputs[1] = Some(self.with_rest(&hint, &target[1..]));
        true
    }

    /// A constant row that is joined to the data, such as a class token: it needs one row for each sample.
    fn concat(&mut self, node: &mut Node) -> bool {
        let Some(rank) = node.output(0).and_then(|output| self.graph.shape(output)).map(|shape| shape.len()) else {
            return false;
        };
        let axis = node.int("axis", 0);
        let joins_rows = axis == 0 || axis == -(rank as i64);
        if rank < 2 || joins_rows || !node.inputs.iter().flatten().any(|input| self.is_fed(*input)) {
            return false;
        }
        let mut changed = false;
        for place in 0..node.inputs.len() {
            let Some(part) = node.input(place).filter(|part| !self.is_fed(*part)) else { continue };
            let Some(dims) = self.graph.shape(part).filter(|dims| dims.first() == Some(&self.batch)) else { continue };
            // The same numbers for every sample: at a larger batch only one row can stand for all.
            if self.batch > 1 {
                continue;
            }
            let rest: Vec<i64> = dims[1..].iter().map(|dim| *dim as i64).collect();
            let hint = self.graph.name(part).to_owned();
            let shape = self.with_rest(&hint, &rest);
            let wide = self.graph.fresh(&format!("{hint}/rows"));
            self.push("Expand", &[part, shape], wide, &[]);
            node.inputs[place] = Some(wide);
            changed = true;
        }
        changed
    }

    /// The batch size, followed by constants.
    fn with_rest(&mut self, hint: &str, rest: &[i64]) -> ValueId {
        let size = self.size();
        let rest = self.graph.add_initializer(&format!("{hint}/rest"), Tensor::vector(rest));
        let shape = self.graph.fresh(&format!("{hint}/free"));
        self.push("Concat", &[size, rest], shape, &[("axis", Attr::Int(0))]);
        shape
    }

    fn size(&mut self) -> ValueId {
        if let Some(size) = self.size {
            return size;
        }
        let hint = format!("{}/batch", self.graph.name(self.first));
        let size = self.graph.fresh(&hint);
        self.graph.set_type(size, Some(TensorType::fixed(crate::ir::DType::I64, &[1])));
        self.size = Some(size);
        size
    }

    fn push(&mut self, op: &str, inputs: &[ValueId], output: ValueId, attrs: &[(&str, Attr)]) {
        self.graph.nodes.push(Node {
            name: self.graph.name(output).to_owned(),
            op: op.to_owned(),
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
            attrs: attrs.iter().map(|(name, attr)| ((*name).to_owned(), attr.clone())).collect(),
            ..Node::default()
        });
    }
}

/// The target of a Reshape with its first entry freed; `None` when it holds no batch size. `0` copies the dimension, `-1` is what is left.
fn freed_shape(from: &[usize], target: &[i64], batch: usize) -> Option<Vec<i64>> {
    let head = usize::try_from(*target.first()?).ok()?;
    let mut new = target.to_vec();
    if head == 0 || from.is_empty() {
        return None;
    }
    if head == batch && from[0] == batch {
        new[0] = 0;
        return Some(new);
    }
    // The first entry is what is left; an entry that was says its number instead.
    let total = from.iter().product::<usize>();
    let merges = (2..=from.len()).any(|end| from[..end].iter().product::<usize>() == head) && from[0] == batch;
    let splits = head == batch && from[0].is_multiple_of(batch) && from[0] > batch;
    if !merges && !splits {
        return None;
    }
    let rest: Vec<usize> = (1..target.len())
        .filter(|place| target[*place] != -1)
        .map(|place| if target[place] == 0 { from.get(place).copied() } else { usize::try_from(target[place]).ok() })
        .collect::<Option<_>>()?;
    let known = rest.iter().product::<usize>().checked_mul(head).filter(|known| *known > 0)?;
    let open: BTreeSet<usize> = (1..target.len()).filter(|place| target[*place] == -1).collect();
    if let Some(place) = open.first() {
        new[*place] = i64::try_from(total / known).ok()?;
    }
    new[0] = -1;
    (open.len() <= 1).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, DType};

    #[test]
    fn shapes_are_freed_where_the_first_entry_is_the_batch() {
        type Case = (&'static [usize], &'static [i64], usize, Option<&'static [i64]>);
        let cases: &[Case] = &[
            (&[1, 256, 6, 6], &[1, 9216], 1, Some(&[0, 9216])),
            (&[1, 256, 6, 6], &[1, -1], 1, Some(&[0, -1])),
            (&[4, 8, 64], &[4, 8, 2, 32], 4, Some(&[0, 8, 2, 32])),
            (&[4, 8, 64], &[32, 64], 4, Some(&[-1, 64])),
            (&[4, 8, 64], &[32, -1], 4, Some(&[-1, 64])),
            (&[32, 64], &[4, 8, 64], 4, Some(&[-1, 8, 64])),
            (&[32, 64], &[4, -1, 64], 4, Some(&[-1, 8, 64])),
            (&[1, 12, 64], &[12, 64], 1, Some(&[-1, 64])),
            (&[4, 8], &[-1, 8], 4, None),
            (&[4, 8], &[0, 8], 4, None),
            (&[3, 8], &[2, 12], 4, None),
            (&[], &[1], 1, None),
        ];
        for (from, target, batch, expect) in cases {
            assert_eq!(freed_shape(from, target, *batch).as_deref(), *expect, "{from:?} to {target:?}");
        }
    }

    #[test]
    fn constants_in_a_graph_are_freed_and_the_graph_stays_valid() {
        let mut graph = Graph::default();
        let x = graph.add_input("x", TensorType::fixed(DType::F32, &[1, 4, 8]));
        let token = graph.add_initializer("cls", Tensor::new([1, 1, 8], &[1f32; 8]));
        let mut builder = Builder::new(&mut graph, "net");
        let joined = builder.concat(&[token, x], 1);
        let flat = builder.reshape(joined, &[1, 40]);
        graph.set_type(joined, Some(TensorType::fixed(DType::F32, &[1, 5, 8])));
        graph.outputs = vec![flat];
        let freed = free_batch(&mut graph, &[x]);
        graph.verify("rebatch").expect("a valid graph");
        assert_eq!(freed.iter().map(|each| each.op.as_str()).collect::<Vec<_>>(), ["Concat", "Reshape"]);
        let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        assert_eq!(ops, ["Shape", "Concat", "Expand", "Concat", "Reshape"]);
        let shape = graph.nodes[4].input(1).and_then(|shape| graph.constant(shape)).and_then(Tensor::to_ints);
        assert_eq!(shape, Some(vec![0, 40]));
        assert!(graph.dump().starts_with("input x: f32[N, 4, 8]"));
    }

    #[test]
    fn an_expand_to_the_batch_follows_the_input() {
        let mut graph = Graph::default();
        let x = graph.add_input("x", TensorType::fixed(DType::F32, &[4, 8]));
        let row = graph.add_initializer("row", Tensor::new([1, 8], &[1f32; 8]));
        let mut builder = Builder::new(&mut graph, "net");
        let rows = builder.expand(row, &[4, 8]);
        let sum = builder.add(x, rows);
        graph.outputs = vec![sum];
        assert_eq!(free_batch(&mut graph, &[x]).len(), 1);
        graph.verify("rebatch").expect("a valid graph");
        assert!(graph.nodes.iter().any(|node| node.op == "Shape"));
    }
}
