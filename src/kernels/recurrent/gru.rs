//! GruGrad: one direction of ONNX's GRU, with gates z, r and candidate g in that order in all tensors: h ← (1 − z)⊙g + z⊙h.
//! The recurrent part of g's sum is (r⊙h)·Rgᵀ, or r⊙(h·Rgᵀ + b) with the attribute `linear_before_reset`.
//!
//! Inputs: sums s f32 [T, B, 3H] with biases, for g without the recurrent part but, unless `linear_before_reset`, with its bias;
//! that part h·Rgᵀ + b [T, B, H] with `linear_before_reset`, else empty; states before each step [T, B, H]; weights R f32 [3H, H]; lengths i64
//! [B] or empty; gradients of all states [T, B, H] and of the last [B, H], or empty.
//! Output: gradients of s [T, B, 3H] and of the initial state [B, H], and a tensor [T, B, H]: the gradient of the recurrent part with
//! `linear_before_reset`, else r⊙h.

use super::{Block, Cell, ROWS, Rest, Sizes, blocks, floats, lengths};
use crate::ir::DType;
use crate::kernels::buffers;
use crate::kernels::product::{Matrix, product};
use crate::kernels::{Arg, Attributes, Kernel, Operator, Parallel};

pub(in crate::kernels) const OPERATOR: Operator = Operator {
    name: "GruGrad",
    inputs: &[DType::F32, DType::F32, DType::F32, DType::F32, DType::I64, DType::F32, DType::F32],
    kernel: |attributes: &dyn Attributes| {
        Ok(Box::new(GruGrad {
            cell: Cell::read(attributes, 2, 0)?,
            linear: attributes.int("linear_before_reset").unwrap_or(0) != 0,
        }))
    },
    in_place: false,
    cuda: None,
    reference: None,
};

struct GruGrad {
    cell: Cell,
    linear: bool,
}

/// Inputs of the kernel.
struct Given<'a> {
    sums: &'a [f32],
    recurrent: &'a [f32],
    before: &'a [f32],
    weights: &'a [f32],
    dy: &'a [f32],
    dh: &'a [f32],
}

impl Kernel for GruGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let sizes = Sizes::new(inputs.first().ok_or("it has no sums")?, 3)?;
        Ok(vec![sizes.all(4) + sizes.state()])
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let sizes = Sizes::new(inputs.first().ok_or("it has no sums")?.shape(), 3)?;
        let given = Given {
            sums: floats(inputs, 0, sizes.all(3), false)?,
            recurrent: floats(inputs, 1, if self.linear { sizes.all(1) } else { 0 }, false)?,
            before: floats(inputs, 2, sizes.all(1), false)?,
            weights: floats(inputs, 3, 3 * sizes.hidden * sizes.hidden, false)?,
            dy: floats(inputs, 5, sizes.all(1), true)?,
            dh: floats(inputs, 6, sizes.state(), true)?,
        };
        let lengths = lengths(inputs, 4, sizes)?;
        let (cell, linear) = (&self.cell, self.linear);
        blocks(cell, sizes, &lengths, output, parallel, &|block| {
            buffers::with(9 * ROWS * sizes.hidden, |buffer| {
                Walk { cell, linear, given: &given, block }.run(Rest(buffer));
            });
        });
        Ok(())
    }
}

struct Walk<'a> {
    cell: &'a Cell,
    linear: bool,
    given: &'a Given<'a>,
    block: Block<'a>,
}

impl Walk<'_> {
    /// Every step's gates follow from the state before it, so that there is no walk forward.
    fn run(&mut self, mut buffer: Rest) {
        let Sizes { steps, hidden, .. } = self.block.sizes;
        let rows = self.block.rows;
        let wide = rows * hidden;
        let (gates, grads) = (buffer.cut(3 * wide), buffer.cut(3 * wide));
        let (dh, next, scratch) = (buffer.cut(wide), buffer.cut(wide), buffer.cut(wide));
        self.block.last(self.given.dh, dh);
        for i in (0..steps).rev() {
            let step = self.block.step(i);
            self.block.add(self.given.dy, step, dh);
            self.gates(step, gates, grads, scratch, next);
            if self.linear {
                self.linear_step(step, gates, grads, dh, next);
            } else {
                self.plain_step(step, gates, grads, dh, next, scratch);
            }
            for row in (0..rows).filter(|row| self.block.takes(step, *row)) {
                dh[row * hidden..][..hidden].copy_from_slice(&next[row * hidden..][..hidden]);
            }
        }
        let start = self.block.sizes.all(3);
        self.block.out(start, 0, hidden).copy_from_slice(dh);
    }

    /// Gates and g of a step, and the slopes of their sums; r⊙h is left in `scratch` unless it is linear before the reset.
    fn gates(&self, step: usize, gates: &mut [f32], slopes: &mut [f32], scratch: &mut [f32], sums: &mut [f32]) {
        let hidden = self.block.sizes.hidden;
        let (gate, candidate) = (&self.cell.activations[0], &self.cell.activations[1]);
        let before = self.block.of(self.given.before, step, hidden);
        gates.copy_from_slice(self.block.of(self.given.sums, step, 3 * hidden));
        let lines = || 0..self.block.rows;
        for row in lines() {
            let part = 3 * row * hidden..(3 * row + 2) * hidden;
            gate.run(&mut gates[part.clone()], &mut slopes[part]);
        }
        if self.linear {
            let recurrent = self.block.of(self.given.recurrent, step, hidden);
            for row in lines() {
                let (gates, sums) = gates[3 * row * hidden..][..3 * hidden].split_at_mut(2 * hidden);
                add_product(sums, &gates[hidden..], &recurrent[row * hidden..][..hidden]);
            }
        } else {
            for row in lines() {
                let (reset, before) = (&gates[(3 * row + 1) * hidden..][..hidden], &before[row * hidden..][..hidden]);
                let out = &mut scratch[row * hidden..][..hidden];
                (0..hidden).for_each(|k| out[k] = reset[k] * before[k]);
            }
            let weights = Matrix::rows(&self.given.weights[2 * hidden * hidden..], hidden).transposed();
            product(sums, [self.block.rows, hidden, hidden], Matrix::rows(scratch, hidden), weights, false);
            for row in lines() {
                let gates = &mut gates[(3 * row + 2) * hidden..][..hidden];
                gates.iter_mut().zip(&sums[row * hidden..]).for_each(|(gate, sum)| *gate += sum);
            }
        }
        for row in lines() {
            let part = (3 * row + 2) * hidden..(3 * row + 3) * hidden;
            candidate.run(&mut gates[part.clone()], &mut slopes[part]);
        }
    }

    fn linear_step(&mut self, step: usize, gates: &[f32], grads: &mut [f32], dh: &[f32], next: &mut [f32]) {
        let hidden = self.block.sizes.hidden;
        let (rows, extra) = (self.block.rows, self.block.sizes.all(3) + self.block.sizes.state());
        let before = self.block.of(self.given.before, step, hidden);
        let recurrent = self.block.of(self.given.recurrent, step, hidden);
        for row in 0..rows {
            let (line, wide) = (row * hidden..(row + 1) * hidden, 3 * row * hidden..3 * (row + 1) * hidden);
            let grads = &mut grads[wide.clone()];
            if !self.block.takes(step, row) {
                grads.fill(0.0);
                continue;
            }
            update(&gates[wide.clone()], grads, &before[line.clone()], &dh[line.clone()]);
            let (reset, (rest, dg)) = (&gates[wide][hidden..2 * hidden], grads.split_at_mut(2 * hidden));
            let recurrent = &recurrent[line];
            (0..hidden).for_each(|k| rest[hidden + k] *= dg[k] * recurrent[k]);
            self.block.out(0, step, 3 * hidden)[3 * row * hidden..][..2 * hidden].copy_from_slice(rest);
            self.block.out(0, step, 3 * hidden)[(3 * row + 2) * hidden..][..hidden].copy_from_slice(dg);
            (0..hidden).for_each(|k| dg[k] *= reset[k]);
        }
        self.clear(step);
        for row in 0..rows {
            self.block.out(extra, step, hidden)[row * hidden..][..hidden]
                .copy_from_slice(&grads[(3 * row + 2) * hidden..][..hidden]);
        }
        let weights = Matrix::rows(self.given.weights, hidden);
        product(next, [rows, hidden, 3 * hidden], Matrix::rows(grads, 3 * hidden), weights, false);
        for row in 0..rows {
            add_product(
                &mut next[row * hidden..][..hidden],
                &dh[row * hidden..][..hidden],
                &gates[3 * row * hidden..][..hidden],
            );
        }
    }

    fn plain_step(
        &mut self,
        step: usize,
        gates: &[f32],
        grads: &mut [f32],
        dh: &[f32],
        next: &mut [f32],
        scratch: &mut [f32],
    ) {
        let hidden = self.block.sizes.hidden;
        let (rows, extra) = (self.block.rows, self.block.sizes.all(3) + self.block.sizes.state());
        self.block.out(extra, step, hidden).copy_from_slice(scratch);
        let before = self.block.of(self.given.before, step, hidden);
        for row in 0..rows {
            let (line, wide) = (row * hidden..(row + 1) * hidden, 3 * row * hidden..3 * (row + 1) * hidden);
            if self.block.takes(step, row) {
                update(&gates[wide.clone()], &mut grads[wide], &before[line.clone()], &dh[line]);
            } else {
                grads[wide].fill(0.0);
            }
        }
        // The gradient of r⊙h.
        let through = &grads[2 * hidden..];
        let weights = Matrix::rows(&self.given.weights[2 * hidden * hidden..], hidden);
        product(scratch, [rows, hidden, hidden], Matrix::rows(through, 3 * hidden), weights, false);
        for row in 0..rows {
            let reset = &mut grads[(3 * row + 1) * hidden..][..hidden];
            let (scratch, before) = (&scratch[row * hidden..][..hidden], &before[row * hidden..][..hidden]);
            (0..hidden).for_each(|k| reset[k] *= scratch[k] * before[k]);
        }
        self.block.out(0, step, 3 * hidden).copy_from_slice(grads);
        let weights = Matrix::rows(self.given.weights, hidden);
        product(next, [rows, hidden, 2 * hidden], Matrix::rows(grads, 3 * hidden), weights, false);
        for row in 0..rows {
            let line = row * hidden..(row + 1) * hidden;
            let gates = &gates[3 * row * hidden..][..2 * hidden];
            add_product(&mut next[line.clone()], &dh[line.clone()], &gates[..hidden]);
            add_product(&mut next[line.clone()], &scratch[line], &gates[hidden..]);
        }
    }

    /// Zeros for the rows that do not take part.
    fn clear(&mut self, step: usize) {
        let hidden = self.block.sizes.hidden;
        for row in 0..self.block.rows {
            if !self.block.takes(step, row) {
                self.block.out(0, step, 3 * hidden)[3 * row * hidden..][..3 * hidden].fill(0.0);
            }
        }
    }
}

/// Gradients of the sums of z and g of a row in the place of their slopes.
fn update(gates: &[f32], grads: &mut [f32], before: &[f32], dh: &[f32]) {
    let hidden = dh.len();
    let (z, g) = (&gates[..hidden], &gates[2 * hidden..]);
    let (dz, rest) = grads.split_at_mut(hidden);
    let dg = &mut rest[hidden..];
    for k in 0..hidden {
        dz[k] *= dh[k] * (before[k] - g[k]);
        dg[k] *= dh[k] * (1.0 - z[k]);
    }
}

fn add_product(sum: &mut [f32], a: &[f32], b: &[f32]) {
    sum.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
}
