//! The graph: values by id, nodes in emission order, initializers, inputs, outputs.
//!
//! Names are unique and stay as the source wrote them, so that subgraphs (`If`, `Loop`) that capture outer values by name keep working.

use super::{DType, Tensor};
use std::collections::{BTreeMap, HashMap};

/// Index of a value in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// A dimension.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number.
    Known(usize),
    /// A named free dimension; the empty name is "unknown".
    Symbol(String),
}

/// Type of a value as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub dims: Vec<Dim>,
}

impl TensorType {
    /// A type with known dimensions.
    pub fn fixed(dtype: DType, shape: &[usize]) -> Self {
        Self { dtype, dims: shape.iter().map(|d| Dim::Known(*d)).collect() }
    }

    /// The dimensions, when all are known.
    pub fn shape(&self) -> Option<Vec<usize>> {
        known(&self.dims)
    }

    /// The dimensions of one sample, those after the batch, when all are known.
    pub fn sample(&self) -> Option<Vec<usize>> {
        known(self.dims.get(1..).unwrap_or_default())
    }
}

fn known(dims: &[Dim]) -> Option<Vec<usize>> {
    dims.iter()
        .map(|dim| match dim {
            Dim::Known(size) => Some(*size),
            Dim::Symbol(_) => None,
        })
        .collect()
}

/// A value: something that a node reads or writes.
#[derive(Debug, Clone)]
pub struct Value {
    /// Unique name.
    pub name: String,
    /// Type, if known.
    pub ty: Option<TensorType>,
}

/// An attribute of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Attr {
    /// Integer.
    Int(i64),
    /// Float.
    Float(f32),
    /// Text or bytes.
    Str(Vec<u8>),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Texts.
    Strs(Vec<Vec<u8>>),
    /// A constant.
    Tensor(Tensor),
    /// A subgraph as encoded protobuf with the names it captures from outside; passed through, never changed.
    Graph {
        /// Encoded `GraphProto`.
        bytes: Vec<u8>,
        /// Outer values that it reads.
        captures: Vec<String>,
    },
}

/// A node. `None` inputs and outputs are omitted optional ones.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Name, may be empty.
    pub name: String,
    /// Operator type.
    pub op: String,
    /// Operator domain, empty for the standard one.
    pub domain: String,
    /// Inputs.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs.
    pub outputs: Vec<Option<ValueId>>,
    /// Attributes by name.
    pub attrs: BTreeMap<String, Attr>,
    /// Free metadata, such as torch's module scope (`pkg.torch.onnx.name_scopes`).
    pub metadata: BTreeMap<String, String>,
}

impl Node {
    /// Input `i`, if there and not omitted.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// Output `i`, if there and not omitted.
    pub fn output(&self, i: usize) -> Option<ValueId> {
        self.outputs.get(i).copied().flatten()
    }

    /// Integer attribute or its default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attrs.get(name) {
            Some(Attr::Int(value)) => *value,
            _ => default,
        }
    }

    /// Float attribute or its default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attrs.get(name) {
            Some(Attr::Float(value)) => *value,
            _ => default,
        }
    }

    /// Integers attribute.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attrs.get(name) {
            Some(Attr::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// Text attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attrs.get(name) {
            Some(Attr::Str(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Its bodies: the encoded graph of each and what it reads from around it.
    pub fn bodies(&self) -> impl Iterator<Item = (&[u8], &[String])> {
        self.attrs.values().filter_map(|attr| match attr {
            Attr::Graph { bytes, captures } => Some((bytes.as_slice(), captures.as_slice())),
            _ => None,
        })
    }

    /// `op` or `domain::op`, for messages.
    pub fn title(&self) -> String {
        if self.domain.is_empty() { self.op.clone() } else { format!("{}::{}", self.domain, self.op) }
    }
}

/// A graph of opset [`super::OPSET`] once it has been normalised.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Name, from the source.
    pub name: String,
    /// Nodes; every node comes after the producers of its inputs. The order is the execution order (DESIGN D5).
    pub nodes: Vec<Node>,
    /// Inputs in order; never an initializer.
    pub inputs: Vec<ValueId>,
    /// Outputs in order.
    pub outputs: Vec<ValueId>,
    /// Constant values.
    pub initializers: BTreeMap<ValueId, Tensor>,
    /// Opset by domain; the standard domain is the empty name.
    pub opsets: BTreeMap<String, i64>,
    /// Model metadata (`metadata_props`).
    pub metadata: BTreeMap<String, String>,
    values: Vec<Value>,
    by_name: HashMap<String, ValueId>,
}

impl Graph {
    /// The value of that name, made if it is new.
    pub fn value(&mut self, name: &str) -> ValueId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { name: name.to_owned(), ty: None });
        self.by_name.insert(name.to_owned(), id);
        id
    }

    /// A new value whose name starts with `hint`.
    pub fn fresh(&mut self, hint: &str) -> ValueId {
        if !self.by_name.contains_key(hint) {
            return self.value(hint);
        }
        // The number of values only grows, so the first try is nearly always free.
        let mut count = self.values.len();
        loop {
            let name = format!("{hint}~{count}");
            if !self.by_name.contains_key(&name) {
                return self.value(&name);
            }
            count += 1;
        }
    }

    /// The value of that name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.by_name.get(name).copied()
    }

    /// Gives a value another name; `false` when that name is taken.
    pub fn rename(&mut self, value: ValueId, name: &str) -> bool {
        if self.by_name.contains_key(name) {
            return self.find(name) == Some(value);
        }
        self.by_name.remove(&self.values[value.0 as usize].name);
        name.clone_into(&mut self.values[value.0 as usize].name);
        self.by_name.insert(name.to_owned(), value);
        true
    }

    /// Name of a value.
    pub fn name(&self, value: ValueId) -> &str {
        &self.values[value.0 as usize].name
    }

    /// Type of a value, if known. Initializers always have one.
    pub fn ty(&self, value: ValueId) -> Option<TensorType> {
        match self.initializers.get(&value) {
            Some(tensor) => Some(TensorType::fixed(tensor.dtype(), tensor.shape())),
            None => self.values[value.0 as usize].ty.clone(),
        }
    }

    /// Static shape of a value, if known.
    pub fn shape(&self, value: ValueId) -> Option<Vec<usize>> {
        self.ty(value).and_then(|ty| ty.shape())
    }

    /// Element type of a value, if known.
    pub fn dtype(&self, value: ValueId) -> Option<DType> {
        self.ty(value).map(|ty| ty.dtype)
    }

    /// Sets the type of a value.
    pub fn set_type(&mut self, value: ValueId, ty: Option<TensorType>) {
        self.values[value.0 as usize].ty = ty;
    }

    /// Sets the first dimension of a value of known type, the batch; a scalar has none.
    pub fn set_batch(&mut self, value: ValueId, batch: Dim) {
        if let Some(mut ty) = self.ty(value)
            && let Some(first) = ty.dims.first_mut()
        {
            *first = batch;
            self.set_type(value, Some(ty));
        }
    }

    /// Number of values, used as a bound for tables indexed by id.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Adds an input of a type.
    pub fn add_input(&mut self, name: &str, ty: TensorType) -> ValueId {
        let id = self.fresh(name);
        self.set_type(id, Some(ty));
        self.inputs.push(id);
        id
    }

    /// Adds a constant under a fresh name.
    pub fn add_initializer(&mut self, hint: &str, tensor: Tensor) -> ValueId {
        let id = self.fresh(hint);
        self.initializers.insert(id, tensor);
        id
    }

    /// Index of the node that makes each value, by value id.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in node.outputs.iter().flatten() {
                producers[output.0 as usize] = Some(index);
            }
        }
        producers
    }

    /// Indices of the nodes that read each value, by value id, captures of subgraphs included.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in self.reads(node) {
                let list: &mut Vec<usize> = &mut consumers[input.0 as usize];
                if list.last() != Some(&index) {
                    list.push(index);
                }
            }
        }
        consumers
    }

    /// All values that a node reads: its inputs and what its subgraphs capture.
    pub fn reads(&self, node: &Node) -> Vec<ValueId> {
        let mut reads: Vec<ValueId> = node.inputs.iter().copied().flatten().collect();
        reads.extend(node.bodies().flat_map(|(_, captures)| captures).filter_map(|name| self.find(name)));
        reads
    }

    /// Constant of a value: an initializer.
    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.initializers.get(&value)
    }

    /// Bytes of all initializers.
    pub fn constant_bytes(&self) -> u64 {
        self.initializers.values().map(|tensor| tensor.bytes().len() as u64).sum()
    }

    /// Redirects every reader of `old`, and the outputs, to `new`. Subgraph captures keep their name and are not touched.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        for node in &mut self.nodes {
            for input in &mut node.inputs {
                if *input == Some(old) {
                    *input = Some(new);
                }
            }
        }
        for output in &mut self.outputs {
            if *output == old {
                *output = new;
            }
        }
    }

    /// Drops the nodes, initializers and inputs that no output needs. `keep_inputs` leaves unused inputs in place.
    pub fn prune(&mut self, keep_inputs: bool) {
        let mut needed = vec![false; self.values.len()];
        for output in &self.outputs {
            needed[output.0 as usize] = true;
        }
        let mut keep = vec![false; self.nodes.len()];
        for index in (0..self.nodes.len()).rev() {
            let node = &self.nodes[index];
            if node.outputs.iter().flatten().any(|output| needed[output.0 as usize]) {
                keep[index] = true;
                for input in self.reads(node) {
                    needed[input.0 as usize] = true;
                }
            }
        }
        let mut flags = keep.iter();
        self.nodes.retain(|_| *flags.next().unwrap_or(&true));
        self.initializers.retain(|id, _| needed[id.0 as usize]);
        if !keep_inputs {
            self.inputs.retain(|id| needed[id.0 as usize]);
        }
    }
}
