//! LstmGrad, GruGrad, RnnGrad: the walk back through time of the recurrent operators, one direction of them.
//!
//! The states before every step are known from the outputs of the forward operator, so that the sums that go into the activations are
//! matrix products over all steps at once, in standard operators around these kernels; so are the gradients of the weights. What is left,
//! and done here, is sequential: from the last step to the first, the gradient of each step's sums, which needs that of the state after it.
//! Rows of the batch do not meet in that walk. They are shared out in blocks of a fixed size, hence the bits do not depend on the number of threads.
//!
//! Optional inputs are given as empty tensors. The single output holds several tensors one after the other, as each kernel says.
//! Steps at and past the length of a row keep its state and get zeros.

pub(crate) mod activation;
pub(super) mod gru;
pub(super) mod lstm;
pub(super) mod rnn;
#[cfg(test)]
mod tests;

use super::disjoint::Disjoint;
use super::{Arg, Attributes, Parallel};
use activation::Activation;

/// Rows of a block.
const ROWS: usize = 8;

/// Attributes that all kernels share: `reverse`, `clip`, and `activation0`, `alpha0`, `beta0`, … for each activation function.
struct Cell {
    reverse: bool,
    activations: Vec<Activation>,
}

impl Cell {
    /// The last `unclipped` activations are not of sums and not clipped.
    fn read(attributes: &dyn Attributes, count: usize, unclipped: usize) -> Result<Self, String> {
        let clip = attributes.float("clip").unwrap_or(f32::INFINITY);
        let activations = (0..count)
            .map(|i| {
                let code = attributes.int(&format!("activation{i}")).ok_or("it lacks an activation")?;
                let number = |name: &str| attributes.float(&format!("{name}{i}")).unwrap_or(0.0);
                let clip = if i + unclipped < count { clip } else { f32::INFINITY };
                Activation::new(code, number("alpha"), number("beta"), clip)
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { reverse: attributes.int("reverse").unwrap_or(0) != 0, activations })
    }
}

/// Sizes of a sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sizes {
    steps: usize,
    batch: usize,
    hidden: usize,
}

impl Sizes {
    /// From the sums [steps, batch, gates·hidden].
    fn new(sums: &[usize], gates: usize) -> Result<Self, String> {
        match sums {
            [steps, batch, width] if width.is_multiple_of(gates) => {
                Ok(Self { steps: *steps, batch: *batch, hidden: width / gates })
            }
            _ => Err(format!("sums {sums:?} of {gates} gates")),
        }
    }

    /// Elements of a tensor [batch, hidden].
    fn state(self) -> usize {
        self.batch * self.hidden
    }

    /// Elements of a tensor [steps, batch, gates·hidden].
    fn all(self, gates: usize) -> usize {
        self.steps * self.state() * gates
    }
}

/// Floats of an input that must have a size, or none if it may be left out.
fn floats<'a>(inputs: &[Arg<'a>], i: usize, len: usize, optional: bool) -> Result<&'a [f32], String> {
    match inputs.get(i) {
        Some(Arg::F32(values, _)) if values.len() == len || optional && values.is_empty() => Ok(values),
        Some(arg) => Err(format!("input {i} has the shape {:?} where {len} floats are wanted", arg.shape())),
        None => Err(format!("it has no input {i}")),
    }
}

/// Number of steps of each row: the lengths given, or all.
fn lengths(inputs: &[Arg], i: usize, sizes: Sizes) -> Result<Vec<usize>, String> {
    match inputs.get(i) {
        Some(Arg::I64([], _)) => Ok(vec![sizes.steps; sizes.batch]),
        Some(Arg::I64(lengths, _)) if lengths.len() == sizes.batch => {
            let length = |length: &i64| usize::try_from(*length).unwrap_or(0).min(sizes.steps);
            Ok(lengths.iter().map(length).collect())
        }
        _ => Err(format!("input {i} is not a length for each row")),
    }
}

/// A block of rows that one task walks.
struct Block<'a> {
    sizes: Sizes,
    reverse: bool,
    lengths: &'a [usize],
    /// The first row.
    first: usize,
    /// Number of rows.
    rows: usize,
    out: &'a Disjoint<'a>,
}

impl Block<'_> {
    /// The step that is taken as number `i`.
    fn step(&self, i: usize) -> usize {
        if self.reverse { self.sizes.steps - 1 - i } else { i }
    }

    /// Whether a row of the block takes part in a step.
    fn takes(&self, step: usize, row: usize) -> bool {
        step < self.lengths[self.first + row]
    }

    /// The block's rows of one step of a tensor [steps, batch, width].
    fn of<'t>(&self, tensor: &'t [f32], step: usize, width: usize) -> &'t [f32] {
        &tensor[(step * self.sizes.batch + self.first) * width..][..self.rows * width]
    }

    /// The same of the tensor that stands in the output from `start`. The borrow allows one such part at a time.
    fn out(&mut self, start: usize, step: usize, width: usize) -> &mut [f32] {
        let at = start + (step * self.sizes.batch + self.first) * width;
        #[expect(unsafe_code, reason = "rows of the output are written by the block that they belong to")]
        // SAFETY: every tensor of the output is [steps, batch, width] or [batch, width]; blocks have different rows of it and each is
        // walked by one task, which holds one part at a time.
        unsafe {
            self.out.part(at, self.rows * width)
        }
    }

    /// Gradient of the state after all steps: that of the last state, or zeros. A row of no steps has no last state.
    fn last(&self, grad: &[f32], into: &mut [f32]) {
        let hidden = self.sizes.hidden;
        into.fill(0.0);
        for row in (0..self.rows).filter(|row| !grad.is_empty() && self.takes(0, *row)) {
            into[row * hidden..][..hidden].copy_from_slice(&self.of(grad, 0, hidden)[row * hidden..][..hidden]);
        }
    }

    /// Adds the gradient of a step's output for the rows that take part.
    fn add(&self, grad: &[f32], step: usize, into: &mut [f32]) {
        if grad.is_empty() {
            return;
        }
        let hidden = self.sizes.hidden;
        let grad = self.of(grad, step, hidden);
        for row in (0..self.rows).filter(|row| self.takes(step, *row)) {
            let part = row * hidden..(row + 1) * hidden;
            into[part.clone()].iter_mut().zip(&grad[part]).for_each(|(sum, grad)| *sum += grad);
        }
    }
}

/// Walks all blocks.
fn blocks(
    cell: &Cell,
    sizes: Sizes,
    lengths: &[usize],
    output: &mut [f32],
    parallel: Parallel,
    walk: &(dyn Fn(Block) + Sync),
) {
    let out = Disjoint::new(output);
    parallel(sizes.batch.div_ceil(ROWS), &|block| {
        let first = block * ROWS;
        let rows = ROWS.min(sizes.batch - first);
        walk(Block { sizes, reverse: cell.reverse, lengths, first, rows, out: &out });
    });
}

/// What is left of a buffer.
struct Rest<'a>(&'a mut [f32]);

impl<'a> Rest<'a> {
    /// Cuts off the first `len` elements.
    fn cut(&mut self, len: usize) -> &'a mut [f32] {
        let (part, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        part
    }
}
