//! RnnGrad: one direction of ONNX's RNN, h ← f(s).
//!
//! Inputs: sums s f32 [T, B, H], biases included; weights R f32 [H, H]; lengths i64 [B] or empty; gradients of all states [T, B, H] and of
//! the last [B, H], or empty. Output: gradients of s [T, B, H] and of the initial state [B, H].

use super::{Block, Cell, ROWS, Rest, Sizes, blocks, floats, lengths};
use crate::ir::DType;
use crate::kernels::buffers;
use crate::kernels::product::{Matrix, product};
use crate::kernels::{Arg, Attributes, Kernel, Operator, Parallel};

pub(in crate::kernels) const OPERATOR: Operator = Operator {
    name: "RnnGrad",
    inputs: &[DType::F32, DType::F32, DType::I64, DType::F32, DType::F32],
    kernel: |attributes: &dyn Attributes| Ok(Box::new(RnnGrad { cell: Cell::read(attributes, 1, 0)? })),
    in_place: false,
    cuda: None,
    reference: None,
};

struct RnnGrad {
    cell: Cell,
}

impl Kernel for RnnGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let sizes = Sizes::new(inputs.first().ok_or("it has no sums")?, 1)?;
        Ok(vec![sizes.all(1) + sizes.state()])
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let sizes = Sizes::new(inputs.first().ok_or("it has no sums")?.shape(), 1)?;
        let sums = floats(inputs, 0, sizes.all(1), false)?;
        let weights = floats(inputs, 1, sizes.hidden * sizes.hidden, false)?;
        let lengths = lengths(inputs, 2, sizes)?;
        let (dy, dh) = (floats(inputs, 3, sizes.all(1), true)?, floats(inputs, 4, sizes.state(), true)?);
        let cell = &self.cell;
        blocks(cell, sizes, &lengths, output, parallel, &|block| {
            buffers::with(2 * ROWS * sizes.hidden, |buffer| walk(cell, block, sums, weights, [dy, dh], Rest(buffer)));
        });
        Ok(())
    }
}

fn walk(cell: &Cell, mut block: Block, sums: &[f32], weights: &[f32], [dy, dh]: [&[f32]; 2], mut buffer: Rest) {
    let Sizes { steps, hidden, .. } = block.sizes;
    let (rows, all) = (block.rows, block.sizes.all(1));
    let carry = buffer.cut(rows * hidden);
    let state = buffer.cut(rows * hidden);
    block.last(dh, carry);
    for i in (0..steps).rev() {
        let step = block.step(i);
        block.add(dy, step, carry);
        let taking: [bool; ROWS] = std::array::from_fn(|row| row < rows && block.takes(step, row));
        state.copy_from_slice(block.of(sums, step, hidden));
        let out = block.out(0, step, hidden);
        cell.activations[0].run(state, out);
        for (row, out) in out.chunks_exact_mut(hidden).enumerate() {
            if taking[row] {
                out.iter_mut().zip(&carry[row * hidden..]).for_each(|(slope, dh)| *slope *= dh);
            } else {
                out.fill(0.0);
            }
        }
        product(state, [rows, hidden, hidden], Matrix::rows(out, hidden), Matrix::rows(weights, hidden), false);
        for row in (0..rows).filter(|row| taking[*row]) {
            carry[row * hidden..][..hidden].copy_from_slice(&state[row * hidden..][..hidden]);
        }
    }
    block.out(all, 0, hidden).copy_from_slice(carry);
}
