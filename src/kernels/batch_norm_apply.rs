//! BatchNormApply: y = γ·(x − μ)·r + β, r = 1/√(σ² + ε), for each channel.
//!
//! Inputs: x f32 [N, C, …], scale γ and bias β f32 [C], statistics f32 [2, C] (mean and variance); output [N, C, …].
//! Attribute: `epsilon`.

use super::batch_norm_sums::{column, epsilon};
use super::cuda::{Argument, Planes, Work};
use super::disjoint::Disjoint;
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "BatchNormApply",
    inputs: &[DType::F32; 4],
    kernel: |attributes| Ok(Box::new(BatchNormApply { epsilon: epsilon(attributes) })),
    in_place: false,
    cuda: Some(Halves { inputs: &[0], output: true }),
    reference: Some(reference),
};

/// Tasks that the planes are shared out to, for machines with many cores.
const TASKS: usize = 128;

struct BatchNormApply {
    epsilon: f32,
}

impl Kernel for BatchNormApply {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [x @ [_, c, ..], scale, bias, statistics] if *scale == [*c] && *bias == [*c] && *statistics == [2, *c] => {
                Ok(x.to_vec())
            }
            _ => Err(format!("x, scale, bias and statistics, not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, x_shape), Arg::F32(scale, _), Arg::F32(bias, _), Arg::F32(statistics, _)] = inputs else {
            return Err("it takes f32".to_owned());
        };
        let shapes: Vec<&[usize]> = inputs.iter().map(Arg::shape).collect();
        self.shape(&shapes)?;
        let (channels, planes) = (x_shape[1], x_shape[0] * x_shape[1]);
        let plane = x_shape[2..].iter().product::<usize>();
        let each = planes.div_ceil(TASKS).max(1);
        let parts = Disjoint::new(output);
        parallel(planes.div_ceil(each), &|task| {
            for at in task * each..((task + 1) * each).min(planes) {
                let channel = at % channels;
                #[expect(unsafe_code, reason = "each plane is written by one task")]
                // SAFETY: planes do not overlap, they are shared out and each index is run once.
                let y = unsafe { parts.part(at * plane, plane) };
                let gain = scale[channel] / (statistics[channels + channel] + self.epsilon).sqrt();
                let x = &x[at * plane..][..plane];
                Arch::new().dispatch(Plane { x, y, mean: statistics[channel], gain, bias: bias[channel] });
            }
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let planes = Planes::of(&self.shape(inputs)?)?;
        let mut arguments: Vec<Argument> = (0..4).map(Argument::Input).collect();
        arguments.extend([Argument::Output(0), planes.elements(), planes.channels(), planes.plane()]);
        arguments.extend([Argument::Float(self.epsilon), planes.fours()]);
        Ok(Work::Launches(vec![planes.each("apply", arguments)], 0))
    }
}

struct Plane<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    mean: f32,
    gain: f32,
    bias: f32,
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ((x, x_rest), (y, y_rest)) = (S::as_simd_f32s(self.x), S::as_mut_simd_f32s(self.y));
        let [mean, gain, bias] = [self.mean, self.gain, self.bias].map(|value| simd.splat_f32s(value));
        for (y, x) in y.iter_mut().zip(x) {
            *y = simd.mul_add_e_f32s(gain, simd.sub_f32s(*x, mean), bias);
        }
        for (y, x) in y_rest.iter_mut().zip(x_rest) {
            *y = self.gain * (x - self.mean) + self.bias;
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [x, scale, bias, statistics] = [0, 1, 2, 3].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let rank = b.graph.shape(x).unwrap_or_default().len();
    let dtype = b.graph.dtype(x).unwrap_or(DType::F32);
    let [mean, variance] = [0, 1].map(|row| {
        let row = b.slice(statistics, &[row], &[row + 1], &[0], &[1]);
        b.reshape(row, &[-1])
    });
    let epsilon = b.scalar(dtype, f64::from(node.float("epsilon", 1e-5)));
    let shifted = b.add(variance, epsilon);
    let deviation = b.sqrt(shifted);
    let gain = b.div(scale, deviation);
    let [mean, gain, bias] = [mean, gain, bias].map(|value| column(b, value, rank));
    let centred = b.sub(x, mean);
    let scaled = b.mul(centred, gain);
    b.add(scaled, bias)
}
