//! LayerNormSums: the gradients of a LayerNormalization's scale and bias, Σ dy·x̂ and Σ dy over the rows, x̂ = (x − μ)·r.
//!
//! Inputs: dy and x f32 of one shape, mean μ and inverse deviation r f32, the normalised dimensions of size 1; output [2, those…].
//! Attribute: `over`, how many dimensions are normalised. Blocks of 64 rows are summed in f32, blocks in f64.

use super::column_sums::{kept, sum_rows};
use super::cuda::{Argument, BLOCK, Launch, Work};
use super::layer_norm_data_grad::{SOURCE, normal, rows};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "LayerNormSums",
    inputs: &[DType::F32; 4],
    kernel: |attributes| Ok(Box::new(LayerNormSums { over: kept(attributes)? })),
    in_place: false,
    cuda: Some(Halves { inputs: &[0, 1], output: false }),
    reference: Some(reference),
};

struct LayerNormSums {
    over: usize,
}

impl LayerNormSums {
    fn sizes<'a>(&self, inputs: &[&'a [usize]]) -> Result<([usize; 2], &'a [usize]), String> {
        let [dy, x, mean, inverse] = inputs else { return Err("it takes dy, x, mean and deviation".to_owned()) };
        let over = x.len().checked_sub(self.over).ok_or("it has too few dimensions")?;
        Ok((rows(dy, x, &x[over..], [mean, inverse])?, &x[over..]))
    }
}

impl Kernel for LayerNormSums {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        self.sizes(inputs).map(|(_, over)| [&[2], over].concat())
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, _), Arg::F32(x, _), Arg::F32(mean, _), Arg::F32(inverse, _)] = inputs else {
            return Err("it takes f32".to_owned());
        };
        let shapes: Vec<&[usize]> = inputs.iter().map(Arg::shape).collect();
        let ([rows, width], _) = self.sizes(&shapes)?;
        sum_rows([rows, width], 2, output, parallel, |row, columns, sums| {
            let [dy, x] = [dy, x].map(|values| &values[row * width..][columns.clone()]);
            Arch::new().dispatch(Row { dy, x, mean: mean[row], inverse: inverse[row], sums });
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let ([rows, width], _) = self.sizes(inputs)?;
        if rows > 1 << 30 || width > 1 << 30 {
            return Err(format!("{rows} rows of {width}"));
        }
        // Blocks of 32 columns by 8 rows; enough of them for a large device, each with a few rounds of work.
        let columns = width.div_ceil(32);
        let splits = rows.div_ceil(64).clamp(1, 1056usize.div_ceil(columns.max(1)));
        let (scratch, sizes) = (Argument::Scratch(0), [rows, width].map(|size| Argument::Int(size as i32)));
        let mut part: Vec<Argument> = (0..4).map(Argument::Input).collect();
        part.push(scratch);
        part.extend(sizes);
        let whole = vec![scratch, Argument::Output(0), sizes[1], Argument::Int(splits as i32)];
        let launches = vec![
            Launch::over(SOURCE, "layer_norm_sums_part", [columns, splits, 1], part),
            Launch::new(SOURCE, "layer_norm_sums_whole", (2 * width).div_ceil(BLOCK as usize), whole),
        ];
        Ok(Work::Launches(launches, splits * 2 * width * 8))
    }
}

/// Adds dy·x̂ and dy of a row to the sums of its columns, the first kind before the second.
struct Row<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    mean: f32,
    inverse: f32,
    sums: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (products, totals) = self.sums.split_at_mut(self.dy.len());
        for (((dy, x), product), total) in self.dy.iter().zip(self.x).zip(products).zip(totals) {
            *product = dy.mul_add((x - self.mean) * self.inverse, *product);
            *total += dy;
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, x, mean, inverse] = [0, 1, 2, 3].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let kept = b.graph.shape(x).unwrap_or_default().len() as i64 - node.int("over", 1);
    let normal = normal(b, x, mean, inverse);
    let product = b.mul(dy, normal);
    let axes: Vec<i64> = (0..kept).collect();
    let sums = [product, dy].map(|value| {
        // Without rows to sum over, empty axes would mean all of them.
        let sum = if axes.is_empty() { value } else { b.reduce_sum(value, &axes, false) };
        b.unsqueeze(sum, &[0])
    });
    b.concat(&sums, 0)
}
