//! GRU, LSTM, RNN: forward, reverse and bidirectional, with lengths, initial states, peepholes, clipping and all activations.
//!
//! The states before all steps are the forward node's own output Y, one step later; hence the sums that go into the activations are
//! computed again for all steps by matrix products, own operators (`kernels/recurrent`) walk back through time, and the gradients of weights
//! and of x are matrix products again. The graph has the same size for any number of steps.

mod cases;
mod gru;
mod lstm;
mod rnn;

use super::{Ctx, Result, Rule};
use crate::ir::{Attr, DOMAIN, DType, Tensor, TensorType, ValueId};
use crate::kernels::recurrent::activation::{FUNCTIONS, parameters};
pub(super) use cases::CASES;

/// Lengths carry no gradient.
const LENGTHS: usize = 4;

pub(super) const RULES: &[Rule] = &[
    Rule::new("GRU", gru::gru).stops(&[LENGTHS]),
    Rule::new("LSTM", lstm::lstm).stops(&[LENGTHS]),
    Rule::new("RNN", rnn::rnn).stops(&[LENGTHS]),
];

/// Sizes of a recurrent node and what its directions share.
struct Sequence {
    steps: usize,
    batch: usize,
    inputs: usize,
    hidden: usize,
    /// Of each direction, whether it goes from the last step to the first.
    reverse: Vec<bool>,
    /// Lengths as i64, if given.
    lengths: Option<ValueId>,
    /// x as [steps·batch, inputs].
    x: ValueId,
    /// Attributes of the own operator, for each direction.
    attrs: Vec<Vec<(String, Attr)>>,
}

/// Gradients of one direction, in the order of the node's inputs; x's is [steps·batch, inputs].
type Made = [Option<ValueId>; 8];

impl Sequence {
    /// `defaults` are the activation functions of one direction.
    fn read(ctx: &mut Ctx, gates: usize, defaults: &[&str]) -> Result<Self> {
        let (x, x_shape, r_shape) = (ctx.x(0)?, ctx.x_shape(0)?, ctx.x_shape(2)?);
        if ctx.dtype(x) != DType::F32 {
            return Err(ctx.unsupported("only f32 is covered"));
        }
        if ctx.node.int("layout", 0) != 0 {
            return Err(ctx.unsupported("`layout: 1`, batch before time; `layout: 0` is covered"));
        }
        let reverse = match ctx.node.text("direction").unwrap_or("forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(ctx.invalid(format!("direction `{other}`"))),
        };
        let ([steps, batch, inputs], [directions, wide, hidden]) = (&x_shape[..], &r_shape[..]) else {
            return Err(ctx.invalid(format!("x {x_shape:?} with recurrent weights {r_shape:?}")));
        };
        if *directions != reverse.len() || *wide != gates * hidden || x_shape.contains(&0) || *hidden == 0 {
            return Err(ctx.invalid(format!("x {x_shape:?} with recurrent weights {r_shape:?}")));
        }
        let attrs = attributes(ctx, &reverse, defaults)?;
        let lengths = ctx.node.input(LENGTHS).map(|lengths| ctx.b.cast(lengths, DType::I64));
        let flat = ctx.b.reshape_to(x, &[steps * batch, *inputs]);
        let (steps, batch, inputs, hidden) = (*steps, *batch, *inputs, *hidden);
        Ok(Self { steps, batch, inputs, hidden, reverse, lengths, x: flat, attrs })
    }

    /// All steps of all rows.
    fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// Direction `d` of a value whose dimension `axis` counts directions, in another shape.
    fn part(&self, ctx: &mut Ctx, value: ValueId, axis: i64, d: usize, shape: &[usize]) -> ValueId {
        let part = if self.reverse.len() == 1 {
            value
        } else {
            ctx.b.slice(value, &[d as i64], &[d as i64 + 1], &[axis], &[1])
        };
        ctx.b.reshape_to(part, shape)
    }

    /// Direction `d` of input `i`, which has the directions first; `None` when the input is omitted.
    fn input(&self, ctx: &mut Ctx, i: usize, d: usize, shape: &[usize]) -> Option<ValueId> {
        let value = ctx.node.input(i)?;
        Some(self.part(ctx, value, 0, d, shape))
    }

    /// The two halves of direction `d` of the bias, those of W and of R.
    fn biases(&self, ctx: &mut Ctx, d: usize, width: usize) -> Option<[ValueId; 2]> {
        let both = self.input(ctx, 3, d, &[2 * width])?;
        let half = width as i64;
        Some([0, half].map(|start| ctx.b.slice(both, &[start], &[start + half], &[0], &[1])))
    }

    /// Direction `d` of the gradient of output `i`: that of all states (0), of the last state (1) or of the last cell state (2); an empty
    /// tensor where there is none.
    fn grad(&self, ctx: &mut Ctx, i: usize, d: usize) -> ValueId {
        let (steps, batch, hidden) = (self.steps, self.batch, self.hidden);
        match ctx.dy.get(i).copied().flatten() {
            Some(dy) if i == 0 => self.part(ctx, dy, 1, d, &[steps, batch, hidden]),
            Some(dy) => self.part(ctx, dy, 0, d, &[batch, hidden]),
            None => empty(ctx),
        }
    }

    /// Lengths for the own operator, an empty tensor where there are none.
    fn lengths(&self, ctx: &mut Ctx) -> ValueId {
        self.lengths.unwrap_or_else(|| ctx.b.ints(&[]))
    }

    /// The state before each step, [steps·batch, hidden]: the initial one, then the outputs of the other steps. In the reverse
    /// direction a row starts at its own last step. What stands past the end of a row is of no account.
    fn states_before(&self, ctx: &mut Ctx, d: usize) -> Result<ValueId> {
        let (steps, batch, hidden) = (self.steps, self.batch, self.hidden);
        let like = ctx.x(0)?;
        let first = match self.input(ctx, 5, d, &[1, batch, hidden]) {
            Some(first) => first,
            None => ctx.zeros(like, &[1, batch, hidden]),
        };
        let mut before = first;
        if steps > 1 {
            let ty = TensorType::fixed(DType::F32, &[steps, self.reverse.len(), batch, hidden]);
            let y = ctx.extra_output(0, ty);
            let last = steps as i64 - 1;
            let kept = if self.reverse[d] { [1, last + 1] } else { [0, last] };
            let others = ctx.b.slice(y, &[kept[0], d as i64], &[kept[1], d as i64 + 1], &[0, 1], &[1, 1]);
            let others = ctx.b.reshape_to(others, &[steps - 1, batch, hidden]);
            let parts = if self.reverse[d] { [others, first] } else { [first, others] };
            before = ctx.b.concat(&parts, 0);
            if let Some(lengths) = self.lengths.filter(|_| self.reverse[d]) {
                let numbers: Vec<i64> = (1..=steps as i64).collect();
                let numbers = ctx.b.constant(Tensor::new([steps, 1, 1], &numbers));
                let lengths = ctx.b.reshape_to(lengths, &[1, batch, 1]);
                let inside = ctx.b.less(numbers, lengths);
                before = ctx.b.select(inside, before, first);
            }
        }
        Ok(ctx.b.reshape_to(before, &[steps * batch, hidden]))
    }

    /// The own operator of direction `d`; its output is cut into tensors of these shapes.
    fn walk(&self, ctx: &mut Ctx, op: &str, d: usize, inputs: &[ValueId], shapes: &[Vec<usize>]) -> Vec<ValueId> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        let attrs: Vec<(&str, Attr)> = self.attrs[d].iter().map(|(name, attr)| (name.as_str(), attr.clone())).collect();
        let packed = ctx.b.node(DOMAIN, op, &inputs, &attrs, 1)[0];
        let sizes: Vec<i64> = shapes.iter().map(|shape| shape.iter().product::<usize>() as i64).collect();
        let sizes = ctx.b.ints(&sizes);
        let parts = ctx.b.node("", "Split", &[Some(packed), Some(sizes)], &[("axis", Attr::Int(0))], shapes.len());
        parts.into_iter().zip(shapes).map(|(part, shape)| ctx.b.reshape_to(part, shape)).collect()
    }

    /// Puts the directions together.
    fn gather(&self, ctx: &mut Ctx, made: &[Made]) -> super::Gradients {
        let mut grads = vec![None; ctx.node.inputs.len()];
        let shape = [self.steps, self.batch, self.inputs];
        let dx: Vec<ValueId> = made.iter().filter_map(|made| made[0]).collect();
        grads[0] = match dx.as_slice() {
            [] => None,
            [one] => Some(ctx.b.reshape_to(*one, &shape)),
            [a, b, ..] => {
                let sum = ctx.b.add(*a, *b);
                Some(ctx.b.reshape_to(sum, &shape))
            }
        };
        for (i, grad) in grads.iter_mut().enumerate().skip(1) {
            let parts: Vec<ValueId> = made.iter().filter_map(|made| made.get(i).copied().flatten()).collect();
            if parts.is_empty() || !ctx.wants(i) {
                continue;
            }
            let shape = ctx.x_shape(i)?;
            let all = if parts.len() == 1 { parts[0] } else { ctx.b.concat(&parts, 0) };
            *grad = Some(ctx.b.reshape_to(all, &shape));
        }
        Ok(grads)
    }
}

/// An empty f32 tensor.
fn empty(ctx: &mut Ctx) -> ValueId {
    ctx.b.constant(Tensor::new([0], &[] as &[f32]))
}

/// a·bᵀ + c.
fn affine(ctx: &mut Ctx, a: ValueId, b: ValueId, c: Option<ValueId>) -> ValueId {
    let inputs: Vec<ValueId> = [a, b].into_iter().chain(c).collect();
    ctx.b.op_with("Gemm", &inputs, &[("transB", Attr::Int(1))])
}

/// Sum over the rows of a matrix.
fn column_sums(ctx: &mut Ctx, matrix: ValueId) -> ValueId {
    ctx.b.reduce_sum(matrix, &[0], false)
}

/// Columns `from..to` of a matrix.
fn columns(ctx: &mut Ctx, matrix: ValueId, from: usize, to: usize) -> ValueId {
    ctx.b.slice(matrix, &[from as i64], &[to as i64], &[1], &[1])
}

/// Attributes of the own operator for each direction: the activation functions with their α and β, which the node lists for the functions that
/// take them only, over all directions; `reverse`, `clip` and what has the same name in both.
fn attributes(ctx: &Ctx, reverse: &[bool], defaults: &[&str]) -> Result<Vec<Vec<(String, Attr)>>> {
    let count = reverse.len() * defaults.len();
    let names: Vec<String> = match ctx.node.attrs.get("activations") {
        Some(Attr::Strs(names)) => names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
        _ => (0..count).map(|i| defaults[i % defaults.len()].to_owned()).collect(),
    };
    if names.len() != count {
        return Err(ctx.invalid(format!("{} activations where {count} are wanted", names.len())));
    }
    let mut lists = ["activation_alpha", "activation_beta"].map(|name| match ctx.node.attrs.get(name) {
        Some(Attr::Floats(values)) => values.clone().into_iter(),
        _ => Vec::new().into_iter(),
    });
    let mut all = Vec::with_capacity(reverse.len());
    for (reverse, names) in reverse.iter().zip(names.chunks(defaults.len())) {
        let mut attrs = vec![("reverse".to_owned(), Attr::Int(i64::from(*reverse)))];
        for (i, name) in names.iter().enumerate() {
            let Some(code) = FUNCTIONS.iter().position(|function| function.0.eq_ignore_ascii_case(name)) else {
                let covered: Vec<&str> = FUNCTIONS.iter().map(|function| function.0).collect();
                return Err(ctx.unsupported(format!("activation `{name}`; covered are {}", covered.join(", "))));
            };
            let (takes_alpha, takes_beta) = parameters(code);
            let mut number = |list: usize, takes: bool, default: f32| {
                if takes { lists[list].next().unwrap_or(default) } else { default }
            };
            let alpha = number(0, takes_alpha, FUNCTIONS[code].1);
            let beta = number(1, takes_beta, FUNCTIONS[code].2);
            attrs.push((format!("activation{i}"), Attr::Int(code as i64)));
            attrs.push((format!("alpha{i}"), Attr::Float(alpha)));
            attrs.push((format!("beta{i}"), Attr::Float(beta)));
        }
        for name in ["clip", "input_forget", "linear_before_reset"] {
            attrs.extend(ctx.node.attrs.get(name).map(|attr| (name.to_owned(), attr.clone())));
        }
        all.push(attrs);
    }
    Ok(all)
}
