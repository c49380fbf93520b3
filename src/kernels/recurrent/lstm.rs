//! LstmGrad: one direction of ONNX's LSTM, with gates i, o, f and candidate g in that order in all tensors:
//! c ← f⊙c + i⊙g, h ← o⊙tanh(c). Peephole weights add p_i⊙c, p_f⊙c of the old and p_o⊙c of the new cell state to the sums of the gates.
//!
//! Inputs: sums s f32 [T, B, 4H] with biases and without peepholes; weights R f32 [4H, H]; peepholes i, o, f f32 [3H] or empty;
//! initial cell state [B, H] or empty; lengths i64 [B] or empty; gradients of all states [T, B, H], of the last state and of the
//! last cell state [B, H], or empty. Attribute `input_forget`: f = 1 − i.
//! Output: gradients of s [T, B, 4H], of the initial state and of the initial cell state [B, H], and, where there are peepholes, each
//! row's part of theirs [B, 3H].

use super::{Block, Cell, ROWS, Rest, Sizes, blocks, floats, lengths};
use crate::ir::DType;
use crate::kernels::buffers;
use crate::kernels::product::{Matrix, product};
use crate::kernels::{Arg, Attributes, Kernel, Operator, Parallel};

pub(in crate::kernels) const OPERATOR: Operator = Operator {
    name: "LstmGrad",
    inputs: &[DType::F32, DType::F32, DType::F32, DType::F32, DType::I64, DType::F32, DType::F32, DType::F32],
    kernel: |attributes: &dyn Attributes| {
        Ok(Box::new(LstmGrad {
            cell: Cell::read(attributes, 3, 1)?,
            coupled: attributes.int("input_forget").unwrap_or(0) != 0,
        }))
    },
    in_place: false,
    cuda: None,
    reference: None,
};

struct LstmGrad {
    cell: Cell,
    coupled: bool,
}

/// Inputs of the kernel.
struct Given<'a> {
    sums: &'a [f32],
    weights: &'a [f32],
    peepholes: &'a [f32],
    cells: &'a [f32],
    dy: &'a [f32],
    dh: &'a [f32],
    dc: &'a [f32],
}

impl Kernel for LstmGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [sums, _, peepholes, ..] = inputs else { return Err("it takes sums, weights and peepholes".to_owned()) };
        let sizes = Sizes::new(sums, 4)?;
        let peeps = !peepholes.contains(&0);
        Ok(vec![sizes.all(4) + sizes.state() * (2 + 3 * usize::from(peeps))])
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let sizes = Sizes::new(inputs.first().ok_or("it has no sums")?.shape(), 4)?;
        let given = Given {
            sums: floats(inputs, 0, sizes.all(4), false)?,
            weights: floats(inputs, 1, 4 * sizes.hidden * sizes.hidden, false)?,
            peepholes: floats(inputs, 2, 3 * sizes.hidden, true)?,
            cells: floats(inputs, 3, sizes.state(), true)?,
            dy: floats(inputs, 5, sizes.all(1), true)?,
            dh: floats(inputs, 6, sizes.state(), true)?,
            dc: floats(inputs, 7, sizes.state(), true)?,
        };
        let lengths = lengths(inputs, 4, sizes)?;
        let (cell, coupled) = (&self.cell, self.coupled);
        // Seven numbers a step: the gates and g, the cell state before, tanh(c) and its slope.
        let kept = ROWS * sizes.hidden * (7 * sizes.steps + 3);
        blocks(cell, sizes, &lengths, output, parallel, &|block| {
            buffers::with(kept, |buffer| Walk { cell, coupled, given: &given, block }.run(Rest(buffer)));
        });
        Ok(())
    }
}

struct Walk<'a> {
    cell: &'a Cell,
    coupled: bool,
    given: &'a Given<'a>,
    block: Block<'a>,
}

/// What the walk forward leaves for the walk back, per step.
const KEPT: usize = 7;

impl Walk<'_> {
    fn run(&mut self, mut buffer: Rest) {
        let Sizes { steps, hidden, .. } = self.block.sizes;
        let wide = self.block.rows * hidden;
        let kept = buffer.cut(steps * KEPT * wide);
        let state = buffer.cut(wide);
        if self.given.cells.is_empty() {
            state.fill(0.0);
        } else {
            state.copy_from_slice(self.block.of(self.given.cells, 0, hidden));
        }
        for i in 0..steps {
            let step = self.block.step(i);
            for row in 0..self.block.rows {
                let kept = &mut kept[(step * self.block.rows + row) * KEPT * hidden..][..KEPT * hidden];
                self.forward(step, row, kept, &mut state[row * hidden..][..hidden]);
            }
        }
        let (dh, dc) = (state, buffer.cut(wide));
        let next = buffer.cut(wide);
        self.back(kept, dh, dc, next);
    }

    /// Gates, cell state and tanh(c) of one row and step. Slopes of the gates go where their gradients will stand.
    fn forward(&mut self, step: usize, row: usize, kept: &mut [f32], state: &mut [f32]) {
        let hidden = state.len();
        let taking = self.block.takes(step, row);
        let sums = &self.block.of(self.given.sums, step, 4 * hidden)[row * 4 * hidden..][..4 * hidden];
        let slopes = &mut self.block.out(0, step, 4 * hidden)[row * 4 * hidden..][..4 * hidden];
        if !taking {
            slopes.fill(0.0);
            return;
        }
        let [f, g, h] = [0, 1, 2].map(|i| &self.cell.activations[i]);
        let (gates, rest) = kept.split_at_mut(4 * hidden);
        gates.copy_from_slice(sums);
        let (before, rest) = rest.split_at_mut(hidden);
        before.copy_from_slice(state);
        let peeps = !self.given.peepholes.is_empty();
        let peephole = |gate: usize, sums: &mut [f32], cell: &[f32]| {
            if peeps {
                let weights = &self.given.peepholes[gate * hidden..][..hidden];
                sums.iter_mut().zip(weights.iter().zip(cell)).for_each(|(sum, (weight, cell))| *sum += weight * cell);
            }
        };
        peephole(0, &mut gates[..hidden], before);
        f.run(&mut gates[..hidden], &mut slopes[..hidden]);
        if self.coupled {
            let (input, forget) = gates.split_at_mut(2 * hidden);
            forget[..hidden].iter_mut().zip(input).for_each(|(forget, input)| *forget = 1.0 - *input);
        } else {
            peephole(2, &mut gates[2 * hidden..3 * hidden], before);
            f.run(&mut gates[2 * hidden..3 * hidden], &mut slopes[2 * hidden..3 * hidden]);
        }
        g.run(&mut gates[3 * hidden..], &mut slopes[3 * hidden..]);
        let (i, fg, gg) = (&gates[..hidden], &gates[2 * hidden..3 * hidden], &gates[3 * hidden..]);
        for k in 0..hidden {
            state[k] = fg[k] * before[k] + i[k] * gg[k];
        }
        peephole(1, &mut gates[hidden..2 * hidden], state);
        f.run(&mut gates[hidden..2 * hidden], &mut slopes[hidden..2 * hidden]);
        let (curve, curve_slope) = rest.split_at_mut(hidden);
        curve.copy_from_slice(state);
        h.run(curve, curve_slope);
    }

    fn back(&mut self, kept: &[f32], dh: &mut [f32], dc: &mut [f32], next: &mut [f32]) {
        let Sizes { steps, hidden, .. } = self.block.sizes;
        let rows = self.block.rows;
        let (states, cells, peepholes) = {
            let all = self.block.sizes.all(4);
            (all, all + self.block.sizes.state(), all + 2 * self.block.sizes.state())
        };
        let peeps = !self.given.peepholes.is_empty();
        if peeps {
            self.block.out(peepholes, 0, 3 * hidden).fill(0.0);
        }
        self.block.last(self.given.dh, dh);
        self.block.last(self.given.dc, dc);
        for i in (0..steps).rev() {
            let step = self.block.step(i);
            self.block.add(self.given.dy, step, dh);
            for row in 0..rows {
                if !self.block.takes(step, row) {
                    continue;
                }
                let kept = &kept[(step * rows + row) * KEPT * hidden..][..KEPT * hidden];
                let (dh, dc) = (&dh[row * hidden..][..hidden], &mut dc[row * hidden..][..hidden]);
                let grads = &mut self.block.out(0, step, 4 * hidden)[row * 4 * hidden..][..4 * hidden];
                if !peeps {
                    output_gate(kept, grads, dh, dc);
                    other_gates(kept, grads, dc, self.coupled);
                    continue;
                }
                let weights = self.given.peepholes;
                output_gate(kept, grads, dh, dc);
                add_product(dc, &grads[hidden..2 * hidden], &weights[hidden..2 * hidden]);
                other_gates(kept, grads, dc, self.coupled);
                add_product(dc, &grads[..hidden], &weights[..hidden]);
                add_product(dc, &grads[2 * hidden..3 * hidden], &weights[2 * hidden..]);
                // The parts of the weights are summed once the gradients of the row are no longer borrowed.
                self.peephole_grads(kept, step, row, peepholes);
            }
            let grads = self.block.out(0, step, 4 * hidden);
            let weights = Matrix::rows(self.given.weights, hidden);
            product(next, [rows, hidden, 4 * hidden], Matrix::rows(grads, 4 * hidden), weights, false);
            for row in (0..rows).filter(|row| self.block.takes(step, *row)) {
                dh[row * hidden..][..hidden].copy_from_slice(&next[row * hidden..][..hidden]);
            }
        }
        self.block.out(states, 0, hidden).copy_from_slice(dh);
        self.block.out(cells, 0, hidden).copy_from_slice(dc);
    }

    /// Adds one step to a row's part of the gradients of the peepholes.
    fn peephole_grads(&mut self, kept: &[f32], step: usize, row: usize, start: usize) {
        let hidden = self.block.sizes.hidden;
        let [i, _, f, g, before] = [0, 1, 2, 3, 4].map(|part| &kept[part * hidden..][..hidden]);
        for k in 0..hidden {
            let grads = &self.block.out(0, step, 4 * hidden)[row * 4 * hidden..];
            let [di, d_output, df] = [grads[k], grads[hidden + k], grads[2 * hidden + k]];
            let sums = &mut self.block.out(start, 0, 3 * hidden)[row * 3 * hidden..];
            sums[k] += di * before[k];
            sums[hidden + k] += d_output * (f[k] * before[k] + i[k] * g[k]);
            sums[2 * hidden + k] += df * before[k];
        }
    }
}

/// Gradient of the output gate's sum, in the place of its slope, and what flows through tanh(c) into the cell state.
fn output_gate(kept: &[f32], grads: &mut [f32], dh: &[f32], dc: &mut [f32]) {
    let hidden = dh.len();
    let [o, curve, slope] = [1, 5, 6].map(|part| &kept[part * hidden..][..hidden]);
    let grads = &mut grads[hidden..2 * hidden];
    for k in 0..hidden {
        grads[k] *= dh[k] * curve[k];
        dc[k] += dh[k] * o[k] * slope[k];
    }
}

/// Gradients of the other sums in the place of their slopes; the gradient of the cell state becomes that of the one before.
fn other_gates(kept: &[f32], grads: &mut [f32], dc: &mut [f32], coupled: bool) {
    let hidden = dc.len();
    let [i, f, g, before] = [0, 2, 3, 4].map(|part| &kept[part * hidden..][..hidden]);
    let (di, rest) = grads.split_at_mut(hidden);
    let (df, dg) = rest[hidden..].split_at_mut(hidden);
    // With f = 1 − i the forget gate takes back what the input gate gives.
    let back = if coupled { 1.0 } else { 0.0 };
    for k in 0..hidden {
        di[k] *= dc[k] * (g[k] - back * before[k]);
        df[k] *= dc[k] * before[k];
        dg[k] *= dc[k] * i[k];
        dc[k] *= f[k];
    }
    if coupled {
        df.fill(0.0);
    }
}

fn add_product(sum: &mut [f32], a: &[f32], b: &[f32]) {
    sum.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
}
