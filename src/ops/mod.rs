//! Gradient rules: what the derivative of each operator is, one row per operator.
//!
//! A rule is a pure function from a node and the gradients of its outputs to the gradients of its inputs. It does no
//! plumbing: accumulation over several readers, reduction of broadcast dimensions and pruning live once, in `autodiff`.
//! Adding an operator is one file (or one line in a file of one-liners) and one row here.

mod arithmetic;

use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Graph, Node, ValueId};

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
    /// The rule.
    pub grad: fn(&mut Ctx) -> Gradients,
}

impl Rule {
    /// A rule of a standard operator.
    pub const fn new(op: &'static str, grad: fn(&mut Ctx) -> Gradients) -> Self {
        Self { domain: "", op, broadcast: false, stops: &[], grad }
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
const TABLES: &[&[Rule]] = &[arithmetic::RULES];

/// All rules, sorted by domain and operator.
pub fn rules() -> Vec<Rule> {
    let mut all: Vec<Rule> = TABLES.iter().flat_map(|table| table.iter().copied()).collect();
    all.sort_by_key(|rule| (rule.domain, rule.op));
    all
}

/// The rule of an operator.
pub fn rule(domain: &str, op: &str) -> Option<Rule> {
    TABLES.iter().flat_map(|table| table.iter()).find(|rule| rule.domain == domain && rule.op == op).copied()
}

/// What a rule sees: a node of the forward graph with static shapes, and gradients of its outputs.
pub struct Ctx<'a, 'g> {
    /// Emits into the graph that the node stands in.
    pub b: &'a mut Builder<'g>,
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
        .help("freeze up to here with `freeze: {before: …}`, or export the model differently")
    }

    fn invalid(&self, why: String) -> Diagnostic {
        Diagnostic::error(Code::ModelInvalid, format!("node `{}` ({}) is not valid", self.node.name, self.node.title()))
            .note(why)
    }
}
