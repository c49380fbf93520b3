//! ColumnSums: the sum of the rows of x, as the gradient of a bias is.
//!
//! Input: x f32 [N…, over…]; output [over…]. Attribute: `over`, how many dimensions are kept. Blocks of 64 rows are summed in f32, blocks in
//! f64. A block is read row by row, as it lies in memory; ONNX Runtime's ReduceSum goes down the columns.

use super::disjoint::{Disjoint, in_parts};
use super::{Arg, Attributes, Kernel, Operator, Parallel, buffers};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

pub(super) const OPERATOR: Operator = Operator {
    name: "ColumnSums",
    inputs: &[DType::F32],
    kernel: |attributes| Ok(Box::new(ColumnSums { over: kept(attributes)? })),
    in_place: false,
    cuda: None,
    reference: Some(reference),
};

/// Rows that are summed in f32.
const ROWS: usize = 64;
/// Columns of a task: their sums stay in the nearest cache.
const COLUMNS: usize = 1024;

struct ColumnSums {
    over: usize,
}

/// The attribute `over`.
pub(super) fn kept(attributes: &dyn Attributes) -> Result<usize, String> {
    let over = attributes.int("over").and_then(|over| usize::try_from(over).ok()).filter(|over| *over > 0);
    over.ok_or_else(|| "it has no `over`".to_owned())
}

impl Kernel for ColumnSums {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [x] if x.len() > self.over => Ok(x[x.len() - self.over..].to_vec()),
            _ => Err(format!("more than {} dimensions, not {inputs:?}", self.over)),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, shape)] = inputs else { return Err("it takes f32".to_owned()) };
        let width = self.shape(&[shape])?.iter().product::<usize>();
        let rows = shape[..shape.len() - self.over].iter().product();
        if output.len() != width || x.len() != rows * width {
            return Err("its buffers do not have one size".to_owned());
        }
        sum_rows([rows, width], 1, output, parallel, |row, columns, sums| {
            let x = &x[row * width..][columns];
            Arch::new().dispatch(Row { x, sums });
        });
        Ok(())
    }
}

/// Sums over rows, column by column: `kinds` of them, which stand behind each other in `output` with `width` numbers each. `add` adds what a
/// row gives for some columns to as many numbers of each kind.
pub(super) fn sum_rows(
    [rows, width]: [usize; 2],
    kinds: usize,
    output: &mut [f32],
    parallel: Parallel,
    add: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
) {
    if kinds == 1 && rows <= ROWS {
        return in_parts(output, COLUMNS, parallel, |first, sums| {
            sums.fill(0.0);
            (0..rows).for_each(|row| add(row, first..first + sums.len(), sums));
        });
    }
    let (blocks, chunks) = (rows.div_ceil(ROWS), width.div_ceil(COLUMNS));
    let columns = |chunk: usize| chunk * COLUMNS..width.min((chunk + 1) * COLUMNS);
    // The sums of a block lie chunk by chunk.
    let place = |block: usize, chunk: usize| kinds * (block * width + columns(chunk).start);
    buffers::with(blocks * kinds * width, |sums| {
        let parts = Disjoint::new(sums);
        parallel(blocks * chunks, &|task| {
            let (block, chunk) = (task / chunks, task % chunks);
            #[expect(unsafe_code, reason = "each chunk of a block is written by one task")]
            // SAFETY: chunks of blocks do not overlap and each index is run once.
            let sums = unsafe { parts.part(place(block, chunk), kinds * columns(chunk).len()) };
            sums.fill(0.0);
            for row in block * ROWS..rows.min((block + 1) * ROWS) {
                add(row, columns(chunk), sums);
            }
        });
        let sums = &*sums;
        for (kind, output) in output.chunks_exact_mut(width.max(1)).enumerate() {
            in_parts(output, COLUMNS, parallel, |first, part| {
                let mut whole = [0.0f64; COLUMNS];
                for block in 0..blocks {
                    let from = place(block, first / COLUMNS) + kind * part.len();
                    for (whole, sum) in whole.iter_mut().zip(&sums[from..][..part.len()]) {
                        *whole += f64::from(*sum);
                    }
                }
                part.iter_mut().zip(whole).for_each(|(out, whole)| *out = whole as f32);
            });
        }
    });
}

struct Row<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.sums.iter_mut().zip(self.x).for_each(|(sum, x)| *sum += x);
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let x = node.inputs[0].unwrap_or(ValueId(0));
    let summed = b.graph.shape(x).unwrap_or_default().len() as i64 - node.int("over", 1);
    b.reduce_sum(x, &(0..summed).collect::<Vec<i64>>(), false)
}
