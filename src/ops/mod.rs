//! Gradient rules: what the derivative of each operator is, one row per operator.
//!
//! A rule is a pure function from a node and the gradients of its outputs to the gradients of its inputs. It does no
//! plumbing: accumulation over several readers, reduction of broadcast dimensions and pruning live once, in `autodiff`.
//! Adding an operator is one file (or one line in a file of one-liners) and one row here.

mod activation;
mod arithmetic;
mod batch_norm;
pub mod case;
mod col2im;
mod conv;
mod einsum;
mod elementwise;
mod expand;
mod extremum;
mod gather;
mod gelu;
mod grid_sample;
mod instance_norm;
mod layer_norm;
mod lp_pool;
mod lrn;
mod matmul;
mod pad;
mod pool;
mod recurrent;
mod reduce;
mod remainder;
mod resize;
mod reverse_sequence;
mod select;
mod shape;
mod slice;
mod softmax;
mod step;
mod trigonometry;
mod window;

use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Attr, Builder, DOMAIN, DType, Graph, Node, TensorType, ValueId};

pub use expand::{Expanded, Expansion, expansion, expansions};

/// Gradients of a node's inputs, in order; `None` where there is none or nobody asked.
pub type Gradients = Result<Vec<Option<ValueId>>>;

/// The gradient rule of one operator.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Domain, empty for the standard one.
    pub domain: &'static str,
    /// Operator type at [`crate::ir::OPSET`].
    pub op: &'static str,
    /// Whether inputs are broadcast: gradients then come in the shape of the output and the engine sums them to each input's.
    pub broadcast: bool,
    /// Inputs that never carry a gradient, such as axes and shapes. Integer and boolean inputs are left out anyway.
    pub stops: &'static [usize],
    /// Whether the output moves in steps, so that its derivative is zero wherever there is one.
    pub steps: bool,
    /// The rule.
    pub grad: fn(&mut Ctx) -> Gradients,
}

impl Rule {
    /// A rule of a standard operator.
    pub const fn new(op: &'static str, grad: fn(&mut Ctx) -> Gradients) -> Self {
        Self { domain: "", op, broadcast: false, stops: &[], steps: false, grad }
    }

    /// A standard operator whose output moves in steps.
    pub const fn steps(op: &'static str) -> Self {
        let none = |ctx: &mut Ctx| Ok(vec![None; ctx.node.inputs.len()]);
        Self { domain: "", op, broadcast: false, stops: &[], steps: true, grad: none }
    }

    /// The same for an operator that broadcasts its inputs.
    #[must_use]
    pub const fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    /// The same with inputs that never carry a gradient.
    #[must_use]
    pub const fn stops(mut self, inputs: &'static [usize]) -> Self {
        self.stops = inputs;
        self
    }

    /// The same in another domain.
    #[must_use]
    pub const fn domain(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }
}

/// The tables, each sorted by operator within its file.
const TABLES: &[&[Rule]] = &[
    activation::RULES,
    arithmetic::RULES,
    batch_norm::RULES,
    col2im::RULES,
    conv::RULES,
    einsum::RULES,
    elementwise::RULES,
    extremum::RULES,
    gather::RULES,
    gelu::RULES,
    grid_sample::RULES,
    instance_norm::RULES,
    layer_norm::RULES,
    lp_pool::RULES,
    lrn::RULES,
    matmul::RULES,
    pad::RULES,
    pool::RULES,
    recurrent::RULES,
    reduce::RULES,
    remainder::RULES,
    resize::RULES,
    reverse_sequence::RULES,
    select::RULES,
    shape::RULES,
    slice::RULES,
    softmax::RULES,
    step::RULES,
    trigonometry::RULES,
];

/// The graphs of the sweep, file by file.
const CASES: &[&[case::Case]] = &[
    activation::CASES,
    arithmetic::CASES,
    batch_norm::CASES,
    col2im::CASES,
    conv::CASES,
    einsum::CASES,
    elementwise::CASES,
    extremum::CASES,
    gather::CASES,
    gelu::CASES,
    grid_sample::CASES,
    instance_norm::CASES,
    layer_norm::CASES,
    lp_pool::CASES,
    lrn::CASES,
    matmul::CASES,
    pad::CASES,
    pool::CASES,
    recurrent::CASES,
    reduce::CASES,
    remainder::CASES,
    resize::CASES,
    reverse_sequence::CASES,
    select::CASES,
    shape::CASES,
    slice::CASES,
    softmax::CASES,
    step::CASES,
    trigonometry::CASES,
];

/// All graphs of the sweep.
pub fn cases() -> Vec<case::Case> {
    CASES.iter().flat_map(|cases| cases.iter().copied()).chain(expand::cases()).collect()
}

/// All rules, sorted by domain and operator.
pub fn rules() -> Vec<Rule> {
    let mut all: Vec<Rule> = TABLES.iter().flat_map(|table| table.iter().copied()).collect();
    all.sort_by_key(|rule| (rule.domain, rule.op));
    all
}

/// Standard operators that no gradient passes, by their nature: what they make are no floats, or does not depend on the floats they read.
#[rustfmt::skip]
pub const FLAT: &[&str] = &[
    "And", "ArgMax", "ArgMin", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow",
    "Constant", "ConstantOfShape", "ConvInteger", "Equal", "Greater", "GreaterOrEqual", "HammingWindow",
    "HannWindow", "IsInf", "IsNaN", "Less", "LessOrEqual", "MatMulInteger", "Multinomial", "NonMaxSuppression",
    "NonZero", "Not", "Or", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "SequenceLength", "Shape", "Size", "StringNormalizer", "TfIdfVectorizer", "Xor",
];

/// Whether no gradient passes an operator by its nature.
pub fn is_flat(domain: &str, op: &str) -> bool {
    domain.is_empty() && FLAT.binary_search(&op).is_ok()
}

/// The rule of an operator.
pub fn rule(domain: &str, op: &str) -> Option<Rule> {
    TABLES.iter().flat_map(|table| table.iter()).find(|rule| rule.domain == domain && rule.op == op).copied()
}

/// What a rule sees: a node of the forward graph with static shapes, and gradients of its outputs.
pub struct Ctx<'a, 'g> {
    /// Emits into the graph that the node stands in.
    pub b: &'a mut Builder<'g>,
    /// Index of the node in the graph.
    pub index: usize,
    /// The node.
    pub node: &'a Node,
    /// Gradient of each output in the output's shape; `None` where nothing flows back.
    pub dy: &'a [Option<ValueId>],
    /// Whether anybody asks for the gradient of each input.
    pub wants: &'a [bool],
}

impl Ctx<'_, '_> {
    /// The graph.
    pub fn graph(&self) -> &Graph {
        self.b.graph
    }

    /// Whether anybody asks for the gradient of input `i`.
    pub fn wants(&self, i: usize) -> bool {
        self.wants.get(i).copied().unwrap_or(false)
    }

    /// Input `i`.
    ///
    /// # Errors
    /// `P0302` when the node does not have it.
    pub fn x(&self, i: usize) -> Result<ValueId> {
        self.node.input(i).ok_or_else(|| self.invalid(format!("it has no input {i}")))
    }

    /// Output `i`.
    ///
    /// # Errors
    /// `P0302` when the node does not have it.
    pub fn y(&self, i: usize) -> Result<ValueId> {
        self.node.output(i).ok_or_else(|| self.invalid(format!("it has no output {i}")))
    }

    /// Gradient of output 0.
    ///
    /// # Errors
    /// `P0401` when gradients come through other outputs only.
    pub fn dy0(&self) -> Result<ValueId> {
        self.dy
            .first()
            .copied()
            .flatten()
            .ok_or_else(|| self.unsupported("a gradient comes through another output than the first"))
    }

    /// Static shape of a forward value.
    ///
    /// # Errors
    /// `P0401` when it is not known.
    pub fn shape(&self, value: ValueId) -> Result<Vec<usize>> {
        self.graph().shape(value).ok_or_else(|| {
            self.unsupported(format!("the shape of `{}` is not known before running", self.graph().name(value)))
        })
    }

    /// Element type of a forward value, f32 when unknown.
    pub fn dtype(&self, value: ValueId) -> DType {
        self.graph().dtype(value).unwrap_or(DType::F32)
    }

    /// Integers of a constant input, such as axes; `None` when the input is omitted.
    ///
    /// # Errors
    /// `P0401` when the input is computed at run time.
    pub fn constant_ints(&self, i: usize) -> Result<Option<Vec<i64>>> {
        let Some(value) = self.node.input(i) else { return Ok(None) };
        match self.graph().constant(value).and_then(crate::ir::Tensor::to_ints) {
            Some(ints) => Ok(Some(ints)),
            None => Err(self.unsupported(format!("input {i} (`{}`) is not a constant", self.graph().name(value)))),
        }
    }

    /// Static shape of input `i`.
    ///
    /// # Errors
    /// `P0302` when the node does not have it, `P0401` when its shape is not known.
    pub fn x_shape(&self, i: usize) -> Result<Vec<usize>> {
        self.shape(self.x(i)?)
    }

    /// Static shape of output 0.
    ///
    /// # Errors
    /// `P0302` when the node does not have it, `P0401` when its shape is not known.
    pub fn y_shape(&self) -> Result<Vec<usize>> {
        self.shape(self.y(0)?)
    }

    /// Output `i` of the forward node, added to it when it was omitted: what ONNX Runtime computes anyway (indices of a
    /// maximum, statistics of a normalisation) need not be computed again. `ty` is the type of a new output.
    pub fn extra_output(&mut self, i: usize, ty: TensorType) -> ValueId {
        let graph = &mut *self.b.graph;
        if let Some(output) = graph.nodes[self.index].output(i) {
            return output;
        }
        let scope = if self.node.name.is_empty() { self.node.op.clone() } else { self.node.name.clone() };
        let value = graph.fresh(&format!("{scope}/output{i}"));
        graph.set_type(value, Some(ty));
        let outputs = &mut graph.nodes[self.index].outputs;
        outputs.resize(outputs.len().max(i + 1), None);
        outputs[i] = Some(value);
        value
    }

    /// Whether a node reads the value, or it is an output of the graph.
    pub fn is_read(&self, value: ValueId) -> bool {
        let graph = self.graph();
        graph.outputs.contains(&value) || graph.nodes.iter().any(|node| graph.reads(node).contains(&value))
    }

    /// Makes the forward node read another value. Only for inputs that its outputs do not depend on.
    pub fn replace_input(&mut self, i: usize, value: ValueId) {
        if let Some(slot) = self.b.graph.nodes[self.index].inputs.get_mut(i) {
            *slot = Some(value);
        }
    }

    /// Zeros of the type of a forward value.
    pub fn zeros(&mut self, like: ValueId, shape: &[usize]) -> ValueId {
        let zero = self.scalar(like, 0.0);
        self.b.expand(zero, shape)
    }

    /// `value · x`, with `value` in the type of the forward value `like`.
    pub fn scale(&mut self, like: ValueId, x: ValueId, value: f64) -> ValueId {
        let value = self.scalar(like, value);
        self.b.mul(x, value)
    }

    /// `condition ? value : 0`, with the zero in the type of the forward value `like`.
    pub fn keep_where(&mut self, like: ValueId, condition: ValueId, value: ValueId) -> ValueId {
        let zero = self.scalar(like, 0.0);
        self.b.select(condition, value, zero)
    }

    /// `dy` where `x` lies between two numbers, 0 elsewhere; on a number itself only if `closed`.
    pub fn gate(&mut self, dy: ValueId, x: ValueId, low: Option<f64>, high: Option<f64>, closed: bool) -> ValueId {
        let mut attrs = vec![("closed", Attr::Int(i64::from(closed)))];
        attrs.extend(low.map(|low| ("low", Attr::Float(low as f32))));
        attrs.extend(high.map(|high| ("high", Attr::Float(high as f32))));
        self.b.node(DOMAIN, "GateGrad", &[Some(dy), Some(x)], &attrs, 1)[0]
    }

    /// Axes counted from the front, checked against a rank.
    ///
    /// # Errors
    /// `P0302` for an axis outside the rank.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<i64>> {
        let rank = rank as i64;
        axes.iter()
            .map(|axis| match if *axis < 0 { axis + rank } else { *axis } {
                front if (0..rank).contains(&front) => Ok(front),
                _ => Err(self.invalid(format!("axis {axis} of a tensor of rank {rank}"))),
            })
            .collect()
    }

    /// Integer attribute `axis` (or its default), counted from the front.
    ///
    /// # Errors
    /// `P0302` for an axis outside the rank.
    pub fn axis(&self, default: i64, rank: usize) -> Result<usize> {
        Ok(self.axes(&[self.node.int("axis", default)], rank)?[0] as usize)
    }

    /// A scalar of the type of a value.
    pub fn scalar(&mut self, like: ValueId, value: f64) -> ValueId {
        let dtype = self.dtype(like);
        self.b.scalar(dtype, value)
    }

    /// The error for a form of this operator that the rule does not cover.
    pub fn unsupported(&self, why: impl Into<String>) -> Diagnostic {
        Diagnostic::error(
            Code::NoGradient,
            format!("no gradient for node `{}` ({})", self.node.name, self.node.title()),
        )
        .note(why)
        .help(freeze_up_to(&self.node.name))
    }

    /// The error for a node that breaks the operator's definition.
    pub fn invalid(&self, why: String) -> Diagnostic {
        Diagnostic::error(Code::ModelInvalid, format!("node `{}` ({}) is not valid", self.node.name, self.node.title()))
            .note(why)
    }
}

/// What a user can do about a node without a gradient.
pub fn freeze_up_to(node: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_./-:".contains(c);
    let quote = if !node.is_empty() && node.chars().all(plain) { "" } else { "'" };
    format!("freeze up to here with `freeze: {{before: {quote}{node}{quote}}}`, or export the model differently")
}

/// Sums a gradient of shape `from` to the shape `to` that was broadcast to it. The rank of `to` is at most that of `from`.
pub fn sum_to(b: &mut Builder, grad: ValueId, from: &[usize], to: &[usize]) -> ValueId {
    if from == to {
        return grad;
    }
    let lead = from.len().saturating_sub(to.len());
    let axes: Vec<i64> = (0..from.len())
        .filter(|axis| from[*axis] != 1 && (*axis < lead || to[axis - lead] == 1))
        .map(|axis| axis as i64)
        .collect();
    if axes.is_empty() {
        return b.reshape_to(grad, to);
    }
    let summed = b.reduce_sum(grad, &axes, true);
    if lead == 0 { summed } else { b.reshape_to(summed, to) }
}
