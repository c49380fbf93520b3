//! GateGrad: what a Relu or a Clip lets through of a gradient, dx = dy where `low` < x < `high`, else 0.
//!
//! Inputs: dy and x f32 of one shape; output of that shape. Attributes: `low` and `high`, without which there is no such bound, and
//! `closed`, 1 where x may lie on a bound. In standard operators this takes a pass over the memory for every comparison.

use super::cuda::{self, Argument, Launch, Work};
use super::disjoint::{for_each_piece, in_parts};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "GateGrad",
    inputs: &[DType::F32, DType::F32],
    kernel: |attributes| {
        let bound = |name: &str, none: f32| attributes.float(name).unwrap_or(none);
        let (low, high) = (bound("low", f32::NEG_INFINITY), bound("high", f32::INFINITY));
        Ok(Box::new(GateGrad { low, high, closed: attributes.int("closed") == Some(1) }))
    },
    in_place: true,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

/// Elements of a task: a few pages, so that tasks are even and cheap to share out.
const PART: usize = 1 << 15;

struct GateGrad {
    low: f32,
    high: f32,
    closed: bool,
}

impl Kernel for GateGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [dy, x] if dy == x => Ok(x.to_vec()),
            _ => Err(format!("dy and x of one shape, not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, _), Arg::F32(x, _)] = inputs else { return Err("it takes f32".to_owned()) };
        self.pass(Some(dy), x, output, parallel)
    }

    fn update(&mut self, _: &[usize], others: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, _)] = others else { return Err("it takes f32".to_owned()) };
        self.pass(None, x, output, parallel)
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let count = self.shape(inputs)?.iter().product::<usize>();
        let fours = count.is_multiple_of(4);
        let (function, count) = if fours { ("gate_grad_fours", count / 4) } else { ("gate_grad", count) };
        let arguments = vec![
            Argument::Input(0),
            Argument::Input(1),
            Argument::Output(0),
            Argument::Long(count as i64),
            Argument::Float(self.low),
            Argument::Float(self.high),
            Argument::Int(i32::from(self.closed)),
        ];
        let launch = Launch::new(include_str!("cuda/gate_grad.cu"), function, cuda::blocks(count), arguments);
        Ok(Work::Launches(vec![launch], 0))
    }
}

impl GateGrad {
    /// Without `dy`, `dx` holds it.
    fn pass(&self, dy: Option<&[f32]>, x: &[f32], dx: &mut [f32], parallel: Parallel) -> Result<(), String> {
        if dy.is_some_and(|dy| dy.len() != x.len()) || dx.len() != x.len() {
            return Err("its buffers do not have one size".to_owned());
        }
        let (low, high, closed) = (self.low, self.high, self.closed);
        in_parts(dx, PART, parallel, |at, dx| {
            for_each_piece(dy, at, dx, |at, dx| {
                let size = dx.len();
                Arch::new().dispatch(Gate { x: &x[at..][..size], dx, low, high, closed });
            });
        });
        Ok(())
    }
}

/// `dx` holds dy.
struct Gate<'a> {
    x: &'a [f32],
    dx: &'a mut [f32],
    low: f32,
    high: f32,
    closed: bool,
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_rest) = S::as_simd_f32s(self.x);
        let (dx, dx_rest) = S::as_mut_simd_f32s(self.dx);
        let [low, high, zero] = [self.low, self.high, 0.0].map(|value| simd.splat_f32s(value));
        for (dx, x) in dx.iter_mut().zip(x) {
            let inside = if self.closed {
                simd.and_m32s(simd.less_than_or_equal_f32s(low, *x), simd.less_than_or_equal_f32s(*x, high))
            } else {
                simd.and_m32s(simd.less_than_f32s(low, *x), simd.less_than_f32s(*x, high))
            };
            *dx = simd.select_f32s(inside, *dx, zero);
        }
        for (dx, x) in dx_rest.iter_mut().zip(x_rest) {
            let inside = if self.closed { self.low <= *x && *x <= self.high } else { self.low < *x && *x < self.high };
            *dx = if inside { *dx } else { 0.0 };
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, x] = [0, 1].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let dtype = b.graph.dtype(x).unwrap_or(DType::F32);
    let closed = node.int("closed", 0) == 1;
    let zero = b.scalar(dtype, 0.0);
    let mut kept = dy;
    for (name, open_op, closed_op) in [("low", "Greater", "GreaterOrEqual"), ("high", "Less", "LessOrEqual")] {
        let bound = node.float(name, f32::NAN);
        if bound.is_nan() {
            continue;
        }
        let bound = b.scalar(dtype, f64::from(bound));
        let inside = b.op(if closed { closed_op } else { open_op }, &[x, bound]);
        kept = b.select(inside, kept, zero);
    }
    if kept == dy { b.identity(dy) } else { kept }
}
