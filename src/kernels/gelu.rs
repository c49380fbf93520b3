//! Gelu: y = x·Φ(x), Φ the normal distribution, or with `tanh` its form x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
//!
//! Input: x f32; output of its shape. Attribute: `tanh`, 1 for that form. Exporters write it out in five and more nodes, each of which
//! passes over the memory and keeps its result for the gradient.
//! Source: Hendrycks, Gimpel, "Gaussian error linear units", 2016.

use super::cuda::{self, Argument, Launch, Work};
use super::disjoint::in_parts;
use super::normal::{normal, tanh};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "Gelu",
    inputs: &[DType::F32],
    kernel: |attributes| Ok(Box::new(Gelu { tanh: attributes.int("tanh") == Some(1) })),
    in_place: false,
    cuda: Some(Halves { inputs: &[0], output: true }),
    reference: Some(reference),
};

/// Elements of a task.
pub(super) const PART: usize = 1 << 13;
/// √(2/π) and the factor of the cube.
pub(super) const ROOT: f32 = 0.797_884_6;
pub(super) const CUBIC: f32 = 0.044_715;

struct Gelu {
    tanh: bool,
}

impl Kernel for Gelu {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [x] => Ok(x.to_vec()),
            _ => Err(format!("x, not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, _)] = inputs else { return Err("it takes f32".to_owned()) };
        if output.len() != x.len() {
            return Err("its buffers do not have one size".to_owned());
        }
        in_parts(output, PART, parallel, |at, y| {
            Arch::new().dispatch(Part { x: &x[at..][..y.len()], y, tanh: self.tanh });
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let count = self.shape(inputs)?.iter().product::<usize>();
        let arguments = vec![Argument::Input(0), Argument::Output(0)];
        Ok(launch("gelu", arguments, count, self.tanh))
    }
}

/// A launch over elements, four at a time where their number allows it.
pub(super) fn launch(function: &'static str, mut arguments: Vec<Argument>, count: usize, tanh: bool) -> Work {
    let fours = count.is_multiple_of(4);
    let count = if fours { count / 4 } else { count };
    arguments.extend([Argument::Long(count as i64), Argument::Int(i32::from(fours)), Argument::Int(i32::from(tanh))]);
    let source = include_str!("cuda/gelu.cu");
    Work::Launches(vec![Launch::new(source, function, cuda::blocks(count), arguments)], 0)
}

struct Part<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    tanh: bool,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if self.tanh {
            for (y, x) in self.y.iter_mut().zip(self.x) {
                *y = 0.5 * x * (1.0 + tanh(ROOT * x * (CUBIC * x).mul_add(*x, 1.0)));
            }
        } else {
            for (y, x) in self.y.iter_mut().zip(self.x) {
                *y = x * normal(*x).0;
            }
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let x = node.inputs[0].unwrap_or(ValueId(0));
    let dtype = b.graph.dtype(x).unwrap_or(DType::F32);
    let [half, one] = [0.5, 1.0].map(|value| b.scalar(dtype, value));
    let bent = if node.int("tanh", 0) == 1 {
        let [root, cubic] = [ROOT, CUBIC].map(|value| b.scalar(dtype, f64::from(value)));
        let square = b.mul(x, x);
        let bend = b.mul(square, cubic);
        let factor = b.add(bend, one);
        let scaled = b.mul(x, root);
        let inner = b.mul(scaled, factor);
        b.tanh(inner)
    } else {
        let scale = b.scalar(dtype, std::f64::consts::FRAC_1_SQRT_2);
        let scaled = b.mul(x, scale);
        b.erf(scaled)
    };
    let twice = b.add(bent, one);
    let below = b.mul(twice, half);
    b.mul(x, below)
}
