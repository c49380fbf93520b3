//! SoftmaxGrad: the gradient of a Softmax over the last dimension, dx = y·(dy − Σ dy·y), or with `log` of a LogSoftmax, dy − e^y·Σ dy.
//!
//! Inputs: dy and y f32 of one shape; output of that shape. Attribute: `log`, 1 for that form. A row is read twice, the second time from
//! the cache.

use super::cuda::{Argument, Launch, Work};
use super::disjoint::in_parts;
use super::normal::exp;
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "SoftmaxGrad",
    inputs: &[DType::F32; 2],
    kernel: |attributes| Ok(Box::new(SoftmaxGrad { log: attributes.int("log") == Some(1) })),
    in_place: true,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

/// Elements of a task at least.
const PART: usize = 1 << 12;
/// Rows up to this width are a warp's work, wider ones a block's.
const WARP: usize = 1024;

struct SoftmaxGrad {
    log: bool,
}

impl Kernel for SoftmaxGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [dy, y] if dy == y && !y.is_empty() => Ok(y.to_vec()),
            _ => Err(format!("dy and y of one shape, not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, shape), Arg::F32(y, _)] = inputs else { return Err("it takes f32".to_owned()) };
        self.pass(Some(dy), shape, y, output, parallel)
    }

    fn update(&mut self, shape: &[usize], others: &[Arg], dx: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(y, _)] = others else { return Err("it takes f32".to_owned()) };
        self.pass(None, shape, y, dx, parallel)
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let shape = self.shape(inputs)?;
        let width = shape.last().copied().unwrap_or(1).max(1);
        let rows = shape.iter().product::<usize>() / width;
        if rows > 1 << 30 || width > 1 << 30 {
            return Err(format!("{rows} rows of {width}"));
        }
        let arguments = [Argument::Input(0), Argument::Input(1), Argument::Output(0)];
        let sizes = [rows, width].map(|size| Argument::Int(size as i32));
        let arguments = [&arguments[..], &sizes, &[Argument::Int(i32::from(self.log))]].concat();
        const SOURCE: &str = concat!(include_str!("cuda/sums.cu"), include_str!("cuda/softmax_grad.cu"));
        let launch = if width <= WARP {
            Launch::new(SOURCE, "softmax_grad_warps", rows.div_ceil(8), arguments)
        } else {
            Launch::new(SOURCE, "softmax_grad_blocks", rows, arguments)
        };
        Ok(Work::Launches(vec![launch], 0))
    }
}

impl SoftmaxGrad {
    /// Without `dy`, `dx` holds it.
    fn pass(
        &self,
        dy: Option<&[f32]>,
        shape: &[usize],
        y: &[f32],
        dx: &mut [f32],
        parallel: Parallel,
    ) -> Result<(), String> {
        let width = shape.last().copied().unwrap_or(0).max(1);
        if dy.is_some_and(|dy| dy.len() != y.len()) || dx.len() != y.len() {
            return Err("its buffers do not have one size".to_owned());
        }
        in_parts(dx, (PART / width).max(1) * width, parallel, |from, rows| {
            for (row, dx) in rows.chunks_exact_mut(width).enumerate() {
                let at = from + row * width;
                if let Some(dy) = dy {
                    dx.copy_from_slice(&dy[at..][..width]);
                }
                Arch::new().dispatch(Row { y: &y[at..][..width], dx, log: self.log });
            }
        });
        Ok(())
    }
}

/// `dx` holds dy.
struct Row<'a> {
    y: &'a [f32],
    dx: &'a mut [f32],
    log: bool,
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ((dy, dy_rest), (y, y_rest)) = (S::as_simd_f32s(self.dx), S::as_simd_f32s(self.y));
        let mut sums = [simd.splat_f32s(0.0); 2];
        for (i, (dy, y)) in dy.iter().zip(y).enumerate() {
            let sum = &mut sums[i % 2];
            *sum = if self.log { simd.add_f32s(*sum, *dy) } else { simd.mul_add_e_f32s(*dy, *y, *sum) };
        }
        let rest: f32 = dy_rest.iter().zip(y_rest).map(|(dy, y)| if self.log { *dy } else { dy * y }).sum();
        let sum = simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1])) + rest;
        let rows = self.dx.iter_mut().zip(self.y);
        if self.log {
            rows.for_each(|(dx, y)| *dx = exp(*y).mul_add(-sum, *dx));
        } else {
            rows.for_each(|(dx, y)| *dx = y * (*dx - sum));
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, y] = [0, 1].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    if node.int("log", 0) == 1 {
        let sum = b.reduce_sum(dy, &[-1], true);
        let p = b.exp(y);
        let mean = b.mul(p, sum);
        return b.sub(dy, mean);
    }
    let weighted = b.mul(dy, y);
    let sum = b.reduce_sum(weighted, &[-1], true);
    let centred = b.sub(dy, sum);
    b.mul(y, centred)
}
