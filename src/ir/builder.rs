//! Emits nodes: one method per operator that the engine itself writes, in opset 18.

use super::{Attr, DType, Graph, Node, Tensor, TensorType, ValueId};

/// Appends nodes to a graph, naming what it makes under a scope.
#[derive(Debug)]
pub struct Builder<'g> {
    /// The graph that grows.
    pub graph: &'g mut Graph,
    scope: String,
}

macro_rules! unary {
    ($($(#[$doc:meta])* $method:ident => $op:literal),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $method(&mut self, x: ValueId) -> ValueId { self.op($op, &[x]) }
    )*};
}
macro_rules! binary {
    ($($(#[$doc:meta])* $method:ident => $op:literal),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $method(&mut self, a: ValueId, b: ValueId) -> ValueId { self.op($op, &[a, b]) }
    )*};
}

impl<'g> Builder<'g> {
    /// A builder whose values are named `scope/Op`.
    pub fn new(graph: &'g mut Graph, scope: impl Into<String>) -> Self {
        Self { graph, scope: scope.into() }
    }

    /// Names what follows under another scope.
    pub fn rescope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// The current scope.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Appends a node with full control; outputs are fresh values.
    pub fn node(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[Option<ValueId>],
        attrs: &[(&str, Attr)],
        outputs: usize,
    ) -> Vec<ValueId> {
        let made: Vec<ValueId> = (0..outputs).map(|_| self.graph.fresh(&format!("{}/{op}", self.scope))).collect();
        let name = self.graph.name(made[0]).to_owned();
        self.graph.nodes.push(Node {
            name,
            op: op.to_owned(),
            domain: domain.to_owned(),
            inputs: inputs.to_vec(),
            outputs: made.iter().copied().map(Some).collect(),
            attrs: attrs.iter().map(|(name, attr)| ((*name).to_owned(), attr.clone())).collect(),
            metadata: std::collections::BTreeMap::new(),
        });
        made
    }

    /// Appends a standard node with one output and no attributes.
    pub fn op(&mut self, op: &str, inputs: &[ValueId]) -> ValueId {
        self.op_with(op, inputs, &[])
    }

    /// Appends a standard node with one output.
    pub fn op_with(&mut self, op: &str, inputs: &[ValueId], attrs: &[(&str, Attr)]) -> ValueId {
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        self.node("", op, &inputs, attrs, 1)[0]
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let hint = format!("{}/const", self.scope);
        self.graph.add_initializer(&hint, tensor)
    }

    /// A constant vector of int64, for shapes and axes.
    pub fn ints(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::vector(values))
    }

    /// A float scalar of a type (f32 or f64).
    pub fn scalar(&mut self, dtype: DType, value: f64) -> ValueId {
        match dtype {
            DType::F64 => self.constant(Tensor::scalar(value)),
            _ => self.constant(Tensor::scalar(value as f32)),
        }
    }

    unary! {
        /// −x
        neg => "Neg",
        /// |x|
        abs => "Abs",
        /// e^x
        exp => "Exp",
        /// ln x
        log => "Log",
        /// √x
        sqrt => "Sqrt",
        /// 1/x
        reciprocal => "Reciprocal",
        /// erf x
        erf => "Erf",
        /// tanh x
        tanh => "Tanh",
        /// 1/(1+e^−x)
        sigmoid => "Sigmoid",
        /// max(x, 0)
        relu => "Relu",
        /// sign x
        sign => "Sign",
        /// x itself
        identity => "Identity",
        /// not x
        not => "Not",
    }
    binary! {
        /// a + b
        add => "Add",
        /// a − b
        sub => "Sub",
        /// a · b
        mul => "Mul",
        /// a / b
        div => "Div",
        /// a^b
        pow => "Pow",
        /// a @ b
        matmul => "MatMul",
        /// a > b
        greater => "Greater",
        /// a < b
        less => "Less",
        /// a ≥ b
        greater_or_equal => "GreaterOrEqual",
        /// a ≤ b
        less_or_equal => "LessOrEqual",
        /// a = b
        equal => "Equal",
        /// a ∧ b
        and => "And",
    }

    /// `condition ? a : b`
    pub fn select(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> ValueId {
        self.op("Where", &[condition, a, b])
    }

    /// Element type conversion.
    pub fn cast(&mut self, x: ValueId, to: DType) -> ValueId {
        self.op_with("Cast", &[x], &[("to", Attr::Int(to as i64))])
    }

    /// Reshape to constant dimensions; `-1` and `0` mean what ONNX says.
    pub fn reshape(&mut self, x: ValueId, shape: &[i64]) -> ValueId {
        let shape = self.ints(shape);
        self.op("Reshape", &[x, shape])
    }

    /// Reshape to known dimensions, zero-sized ones included.
    pub fn reshape_to(&mut self, x: ValueId, shape: &[usize]) -> ValueId {
        let dims: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
        let ty = self.graph.dtype(x).map(|dtype| TensorType::fixed(dtype, shape));
        let shape = self.ints(&dims);
        let y = self.op_with("Reshape", &[x, shape], &[("allowzero", Attr::Int(1))]);
        if ty.is_some() {
            self.graph.set_type(y, ty);
        }
        y
    }

    /// Permutation of dimensions.
    pub fn transpose(&mut self, x: ValueId, perm: &[i64]) -> ValueId {
        self.op_with("Transpose", &[x], &[("perm", Attr::Ints(perm.to_vec()))])
    }

    /// Removes dimensions of size 1.
    pub fn squeeze(&mut self, x: ValueId, axes: &[i64]) -> ValueId {
        let axes = self.ints(axes);
        self.op("Squeeze", &[x, axes])
    }

    /// Inserts dimensions of size 1.
    pub fn unsqueeze(&mut self, x: ValueId, axes: &[i64]) -> ValueId {
        let axes = self.ints(axes);
        self.op("Unsqueeze", &[x, axes])
    }

    /// Broadcast to known dimensions.
    pub fn expand(&mut self, x: ValueId, shape: &[usize]) -> ValueId {
        let dims: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
        let shape = self.ints(&dims);
        self.op("Expand", &[x, shape])
    }

    /// Sum over axes. In opset 18 ReduceSum and ReduceMean both take axes as an input.
    pub fn reduce_sum(&mut self, x: ValueId, axes: &[i64], keepdims: bool) -> ValueId {
        self.reduce("ReduceSum", x, axes, keepdims)
    }

    /// Mean over axes.
    pub fn reduce_mean(&mut self, x: ValueId, axes: &[i64], keepdims: bool) -> ValueId {
        self.reduce("ReduceMean", x, axes, keepdims)
    }

    fn reduce(&mut self, op: &str, x: ValueId, axes: &[i64], keepdims: bool) -> ValueId {
        let axes = self.ints(axes);
        self.op_with(op, &[x, axes], &[("keepdims", Attr::Int(i64::from(keepdims)))])
    }

    /// Softmax over one axis.
    pub fn softmax(&mut self, x: ValueId, axis: i64) -> ValueId {
        self.op_with("Softmax", &[x], &[("axis", Attr::Int(axis))])
    }

    /// Log-softmax over one axis.
    pub fn log_softmax(&mut self, x: ValueId, axis: i64) -> ValueId {
        self.op_with("LogSoftmax", &[x], &[("axis", Attr::Int(axis))])
    }

    /// Slices with constant starts, ends, axes and steps.
    pub fn slice(&mut self, x: ValueId, starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) -> ValueId {
        let parts = [self.ints(starts), self.ints(ends), self.ints(axes), self.ints(steps)];
        self.op("Slice", &[x, parts[0], parts[1], parts[2], parts[3]])
    }

    /// Concatenation along an axis.
    pub fn concat(&mut self, parts: &[ValueId], axis: i64) -> ValueId {
        self.op_with("Concat", parts, &[("axis", Attr::Int(axis))])
    }

    /// Zero padding by constant amounts (`before…, after…`).
    pub fn pad_zero(&mut self, x: ValueId, pads: &[i64]) -> ValueId {
        let pads = self.ints(pads);
        self.op("Pad", &[x, pads])
    }

    /// General matrix product with flags, no bias.
    pub fn gemm(&mut self, a: ValueId, b: ValueId, trans_a: bool, trans_b: bool) -> ValueId {
        let attrs = [("transA", Attr::Int(i64::from(trans_a))), ("transB", Attr::Int(i64::from(trans_b)))];
        self.op_with("Gemm", &[a, b], &attrs)
    }
}
