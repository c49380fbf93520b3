//! MatrixTranspose: the rows of a matrix as columns.
//!
//! Input: x f32 [M, N]; output [N, M]. It stands in front of products that would read their first operand by its columns: ONNX Runtime turns
//! each stretch of that again for every 128 columns of the other operand, and would fold a standard Transpose back into the product.

use super::disjoint::Disjoint;
use super::{Arg, Kernel, Operator, Parallel};
use crate::ir::{Attr, Builder, DType, Node, ValueId};

pub(super) const OPERATOR: Operator = Operator {
    name: "MatrixTranspose",
    inputs: &[DType::F32],
    kernel: |_| Ok(Box::new(MatrixTranspose)),
    in_place: false,
    cuda: None,
    reference: Some(reference),
};

/// Columns and rows of a task: pieces of rows are long enough to be read ahead, and the lines that their columns begin stay in the nearest cache,
/// unless the number of rows is a multiple of 1024.
const COLUMNS: usize = 256;
const ROWS: usize = 128;
/// Rows that are read at a time; more would evict each other where rows lie a power of two apart.
const LINES: usize = 8;

struct MatrixTranspose;

impl Kernel for MatrixTranspose {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [[rows, columns]] => Ok(vec![*columns, *rows]),
            _ => Err(format!("a matrix, not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, [rows, columns])] = *inputs else { return Err("it takes a matrix of f32".to_owned()) };
        let (rows, columns) = (*rows, *columns);
        if x.len() != output.len() || x.len() != rows * columns {
            return Err("its buffers do not have one size".to_owned());
        }
        if x.is_empty() {
            return Ok(());
        }
        let parts = Disjoint::new(output);
        let blocks = rows.div_ceil(ROWS);
        parallel(columns.div_ceil(COLUMNS) * blocks, &|task| {
            let (first, start) = (task / blocks * COLUMNS, task % blocks * ROWS);
            let size = COLUMNS.min(columns - first);
            for row in (start..rows.min(start + ROWS)).step_by(LINES) {
                // Behind the last row there is none.
                let lines: [&[f32]; LINES] = std::array::from_fn(|i| {
                    let start = (row + i) * columns + first;
                    x.get(start..start + size).unwrap_or_default()
                });
                for column in 0..size {
                    #[expect(unsafe_code, reason = "each element of x is written by one task")]
                    // SAFETY: tasks differ in their columns, which are rows of the output, or in their rows, and each index is run once.
                    let piece = unsafe { parts.part((first + column) * rows + row, LINES.min(rows - row)) };
                    match <&mut [f32; LINES]>::try_from(&mut *piece) {
                        Ok(piece) => *piece = lines.map(|line| line[column]),
                        Err(_) => piece.iter_mut().zip(lines).for_each(|(y, line)| *y = line[column]),
                    }
                }
            }
        });
        Ok(())
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    b.op_with("Transpose", &[node.inputs[0].unwrap_or(ValueId(0))], &[("perm", Attr::Ints(vec![1, 0]))])
}
