//! GeluGrad: dx = dy·(Φ(x) + x·Φ′(x)), or with `tanh` dy·((1 + t)/2 + x/2·(1 − t²)·a′) with t = tanh a, a = √(2/π)·(x + 0.044715·x³).
//!
//! Inputs: dy and x f32 of one shape; output of that shape. Attribute as in Gelu.

use super::cuda::{Argument, Work};
use super::disjoint::{for_each_piece, in_parts};
use super::gelu::{CUBIC, PART, ROOT, launch};
use super::normal::{normal, tanh};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "GeluGrad",
    inputs: &[DType::F32; 2],
    kernel: |attributes| Ok(Box::new(GeluGrad { tanh: attributes.int("tanh") == Some(1) })),
    in_place: true,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

struct GeluGrad {
    tanh: bool,
}

impl Kernel for GeluGrad {
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
        let arguments = vec![Argument::Input(0), Argument::Input(1), Argument::Output(0)];
        Ok(launch("gelu_grad", arguments, count, self.tanh))
    }
}

impl GeluGrad {
    /// Without `dy`, `dx` holds it.
    fn pass(&self, dy: Option<&[f32]>, x: &[f32], dx: &mut [f32], parallel: Parallel) -> Result<(), String> {
        if dy.is_some_and(|dy| dy.len() != x.len()) || dx.len() != x.len() {
            return Err("its buffers do not have one size".to_owned());
        }
        in_parts(dx, PART, parallel, |at, dx| {
            for_each_piece(dy, at, dx, |at, dx| {
                let size = dx.len();
                Arch::new().dispatch(Part { x: &x[at..][..size], dx, tanh: self.tanh });
            });
        });
        Ok(())
    }
}

/// `dx` holds dy.
struct Part<'a> {
    x: &'a [f32],
    dx: &'a mut [f32],
    tanh: bool,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.dx.iter_mut().zip(self.x);
        if self.tanh {
            for (dx, x) in rows {
                let square = CUBIC * x * x;
                let t = tanh(ROOT * x * (1.0 + square));
                let rise = ROOT * 3.0f32.mul_add(square, 1.0);
                *dx = *dx * 0.5 * (x * (1.0 - t * t)).mul_add(rise, 1.0 + t);
            }
        } else {
            for (dx, x) in rows {
                let (distribution, density) = normal(*x);
                *dx *= x.mul_add(density, distribution);
            }
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, x] = [0, 1].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let dtype = b.graph.dtype(x).unwrap_or(DType::F32);
    let scalar = |b: &mut Builder, value: f64| b.scalar(dtype, value);
    let (half, one) = (scalar(b, 0.5), scalar(b, 1.0));
    let square = b.mul(x, x);
    let slope = if node.int("tanh", 0) == 1 {
        let (root, cubic) = (f64::from(ROOT), f64::from(CUBIC));
        let (base, bend, steep) = (scalar(b, root), scalar(b, root * cubic), scalar(b, 3.0 * root * cubic));
        let bend = b.mul(square, bend);
        let factor = b.add(base, bend);
        let inner = b.mul(x, factor);
        let t = b.tanh(inner);
        let steep = b.mul(square, steep);
        let rise = b.add(base, steep);
        let t_square = b.mul(t, t);
        let rest = b.sub(one, t_square);
        let along = b.mul(rest, rise);
        let along = b.mul(x, along);
        let twice = b.add(t, one);
        let whole = b.add(twice, along);
        b.mul(whole, half)
    } else {
        let scale = scalar(b, std::f64::consts::FRAC_1_SQRT_2);
        let scaled = b.mul(x, scale);
        let erf = b.erf(scaled);
        let twice = b.add(erf, one);
        let below = b.mul(twice, half);
        let (minus, height) = (scalar(b, -0.5), scalar(b, 1.0 / std::f64::consts::TAU.sqrt()));
        let exponent = b.mul(square, minus);
        let bell = b.exp(exponent);
        let density = b.mul(bell, height);
        let steep = b.mul(x, density);
        b.add(below, steep)
    };
    b.mul(dy, slope)
}
