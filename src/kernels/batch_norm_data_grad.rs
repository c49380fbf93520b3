//! BatchNormDataGrad: the gradient of a BatchNormalization's input with the statistics of the batch,
//! dx = γ·r·(dy − Σdy/m − (x − μ)·r·Σdy·(x − μ)·r/m), r = 1/√(σ² + ε), m the elements of a channel.
//!
//! Inputs: dy and x f32 [N, C, …], scale γ, mean μ and variance σ² f32 [C], and the sums [2, C] of BatchNormSums; output [N, C, …].
//! Attribute: `epsilon`. Source: Ioffe, Szegedy, "Batch normalization", 2015, in torch's form.

use super::batch_norm_sums::{centred, column, deviation, epsilon, sizes};
use super::cuda::{Argument, Planes, Work};
use super::disjoint::{Disjoint, for_each_piece};
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "BatchNormDataGrad",
    inputs: &[DType::F32; 6],
    kernel: |attributes| Ok(Box::new(BatchNormDataGrad { epsilon: epsilon(attributes) })),
    in_place: true,
    cuda: Some(Halves { inputs: &[0, 1], output: true }),
    reference: Some(reference),
};

/// Tasks that the planes are shared out to, for machines with many cores.
const TASKS: usize = 128;

struct BatchNormDataGrad {
    epsilon: f32,
}

impl Kernel for BatchNormDataGrad {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [dy, x, scale, mean, variance, sums] = inputs else {
            return Err("it takes dy, x, scale, mean, variance and sums".to_owned());
        };
        let [_, channels, _] = sizes(dy, x, &[scale, mean, variance])?;
        if *sums == [2, channels] { Ok(x.to_vec()) } else { Err(format!("sums {sums:?} of {channels} channels")) }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [
            Arg::F32(dy, dy_shape),
            Arg::F32(x, x_shape),
            Arg::F32(scale, _),
            Arg::F32(mean, _),
            Arg::F32(variance, _),
            Arg::F32(sums, _),
        ] = inputs
        else {
            return Err("it takes f32".to_owned());
        };
        let shapes: Vec<&[usize]> = inputs.iter().map(Arg::shape).collect();
        self.shape(&shapes)?;
        let sizes = sizes(dy_shape, x_shape, &[])?;
        self.pass(Some(dy), [x, scale, mean, variance, sums], sizes, output, parallel);
        Ok(())
    }

    fn update(&mut self, shape: &[usize], others: &[Arg], dx: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, x_shape), Arg::F32(scale, _), Arg::F32(mean, _), Arg::F32(variance, _), Arg::F32(sums, _)] =
            others
        else {
            return Err("it takes f32".to_owned());
        };
        let shapes: Vec<&[usize]> = std::iter::once(shape).chain(others.iter().map(Arg::shape)).collect();
        self.shape(&shapes)?;
        let sizes = sizes(shape, x_shape, &[])?;
        self.pass(None, [x, scale, mean, variance, sums], sizes, dx, parallel);
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let shape = self.shape(inputs)?;
        let planes = Planes::of(&shape)?;
        let part = shape[1] as f32 / shape.iter().product::<usize>().max(1) as f32;
        let mut arguments: Vec<Argument> = (0..6).map(Argument::Input).collect();
        arguments.extend([Argument::Output(0), planes.elements(), planes.channels(), planes.plane()]);
        arguments.extend([Argument::Float(part), Argument::Float(self.epsilon), planes.fours()]);
        Ok(Work::Launches(vec![planes.each("data_grad", arguments)], 0))
    }
}

impl BatchNormDataGrad {
    /// Without `dy`, `dx` holds it.
    fn pass(
        &self,
        dy: Option<&[f32]>,
        [x, scale, mean, variance, sums]: [&[f32]; 5],
        [images, channels, plane]: [usize; 3],
        dx: &mut [f32],
        parallel: Parallel,
    ) {
        let (planes, part) = (images * channels, 1.0 / (images * plane).max(1) as f32);
        let each = planes.div_ceil(TASKS).max(1);
        let parts = Disjoint::new(dx);
        parallel(planes.div_ceil(each), &|task| {
            for at in task * each..((task + 1) * each).min(planes) {
                let channel = at % channels;
                #[expect(unsafe_code, reason = "each plane is written by one task")]
                // SAFETY: planes do not overlap, they are shared out and each index is run once.
                let dx = unsafe { parts.part(at * plane, plane) };
                let inverse = 1.0 / (variance[channel] + self.epsilon).sqrt();
                let gain = scale[channel] * inverse;
                let mean = mean[channel];
                let (slope, shift) = (-gain * inverse * sums[channel] * part, -gain * sums[channels + channel] * part);
                for_each_piece(dy, at * plane, dx, |at, dx| {
                    let x = &x[at..][..dx.len()];
                    Arch::new().dispatch(Plane { x, dx, gain, mean, slope, shift });
                });
            }
        });
    }
}

/// dx = gain·dy + slope·(x − mean) + shift; `dx` holds dy.
struct Plane<'a> {
    x: &'a [f32],
    dx: &'a mut [f32],
    gain: f32,
    mean: f32,
    slope: f32,
    shift: f32,
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_rest) = S::as_simd_f32s(self.x);
        let (dx, dx_rest) = S::as_mut_simd_f32s(self.dx);
        let [gain, mean, slope, shift] =
            [self.gain, self.mean, self.slope, self.shift].map(|value| simd.splat_f32s(value));
        for (dx, x) in dx.iter_mut().zip(x) {
            let along = simd.mul_add_e_f32s(slope, simd.sub_f32s(*x, mean), shift);
            *dx = simd.mul_add_e_f32s(gain, *dx, along);
        }
        for (dx, x) in dx_rest.iter_mut().zip(x_rest) {
            *dx = self.gain * *dx + (self.slope * (x - self.mean) + self.shift);
        }
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, x, scale, mean, variance, sums] = [0, 1, 2, 3, 4, 5].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let shape = b.graph.shape(x).unwrap_or_default();
    let rank = shape.len();
    let channels = shape.get(1).copied().unwrap_or(1);
    let elements = (shape.iter().product::<usize>() / channels.max(1)).max(1);
    let dtype = b.graph.dtype(x).unwrap_or(DType::F32);
    let part = b.scalar(dtype, 1.0 / elements as f64);
    let means = b.mul(sums, part);
    let [product, total] = [0, 1].map(|row| {
        let row = b.slice(means, &[row], &[row + 1], &[0], &[1]);
        let row = b.reshape(row, &[-1]);
        column(b, row, rank)
    });
    let deviation = deviation(b, node, variance);
    let gain = b.div(scale, deviation);
    let (gain, deviation) = (column(b, gain, rank), column(b, deviation, rank));
    let centred = centred(b, x, mean, rank);
    let normal = b.div(centred, deviation);
    let along = b.mul(normal, product);
    let along = b.add(along, total);
    let rest = b.sub(dy, along);
    b.mul(rest, gain)
}
