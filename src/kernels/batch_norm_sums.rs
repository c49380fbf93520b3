//! BatchNormSums: what the gradients of a BatchNormalization sum for each channel, Σ dy·(x − μ)·r and Σ dy, r = 1/√(σ² + ε).
//!
//! Inputs: dy and x f32 [N, C, …], mean μ and variance σ² f32 [C]; output [2, C]: the gradients of scale and bias.
//! Attribute: `epsilon`. Both planes are read once; rows of a channel are summed in f32 lanes, images in f64.

use super::cuda::{self, Argument, Work};
use super::disjoint::Disjoint;
use super::{Arg, Attributes, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "BatchNormSums",
    inputs: &[DType::F32; 4],
    kernel: |attributes| Ok(Box::new(BatchNormSums { epsilon: epsilon(attributes) })),
    in_place: false,
    cuda: Some(Halves { inputs: &[0, 1], output: false }),
    reference: Some(reference),
};

struct BatchNormSums {
    epsilon: f32,
}

pub(super) fn epsilon(attributes: &dyn Attributes) -> f32 {
    attributes.float("epsilon").unwrap_or(1e-5)
}

/// Images, channels and elements of a plane, if dy and x have one shape and everything else is [C].
pub(super) fn sizes(dy: &[usize], x: &[usize], channels: &[&[usize]]) -> Result<[usize; 3], String> {
    match x {
        [n, c, rest @ ..] if dy == x && channels.iter().all(|shape| *shape == [*c]) => {
            Ok([*n, *c, rest.iter().product()])
        }
        _ => Err(format!("dy {dy:?}, x {x:?} and {channels:?} for the channels")),
    }
}

impl Kernel for BatchNormSums {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let [dy, x, mean, variance] = inputs else { return Err("it takes dy, x, mean and variance".to_owned()) };
        sizes(dy, x, &[mean, variance]).map(|[_, channels, _]| vec![2, channels])
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(dy, dy_shape), Arg::F32(x, x_shape), Arg::F32(mean, m_shape), Arg::F32(variance, v_shape)] =
            inputs
        else {
            return Err("it takes f32".to_owned());
        };
        let [images, channels, plane] = sizes(dy_shape, x_shape, &[m_shape, v_shape])?;
        let parts = Disjoint::new(output);
        // Neighbouring channels lie together where planes are small.
        let each = (1024 / plane.max(1)).clamp(1, 64);
        parallel(channels.div_ceil(each), &|task| {
            let chosen = task * each..((task + 1) * each).min(channels);
            let mut sums = [[0.0f64; 2]; 64];
            for image in 0..images {
                for (channel, sum) in chosen.clone().zip(&mut sums) {
                    let at = (image * channels + channel) * plane;
                    let planes = Planes { dy: &dy[at..at + plane], x: &x[at..at + plane], mean: mean[channel] };
                    let [product, total] = Arch::new().dispatch(planes);
                    *sum = [sum[0] + f64::from(product), sum[1] + f64::from(total)];
                }
            }
            for (channel, [product, total]) in chosen.zip(sums) {
                let scaled = product / f64::from(variance[channel] + self.epsilon).sqrt();
                for (row, value) in [scaled, total].into_iter().enumerate() {
                    #[expect(unsafe_code, reason = "each channel is written by one task")]
                    // SAFETY: channels are shared out and each index is run once.
                    let out = unsafe { parts.part(row * channels + channel, 1) };
                    out.fill(value as f32);
                }
            }
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let [dy, x, mean, variance] = inputs else { return Err("it takes dy, x, mean and variance".to_owned()) };
        sizes(dy, x, &[mean, variance])?;
        let planes = cuda::Planes::of(x)?;
        let part = [0, 1, 2].map(Argument::Input);
        let whole = [Argument::Input(3), Argument::Output(0), planes.channels(), planes.splits()];
        let whole = [&whole[..], &[Argument::Float(self.epsilon)]].concat();
        Ok(planes.sums("sums_part", &part, "sums_whole", &whole))
    }
}

/// Σ dy·(x − μ) and Σ dy of one plane.
struct Planes<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    mean: f32,
}

impl WithSimd for Planes<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; 2] {
        let ((dy, dy_rest), (x, x_rest)) = (S::as_simd_f32s(self.dy), S::as_simd_f32s(self.x));
        let mean = simd.splat_f32s(self.mean);
        let mut products = [simd.splat_f32s(0.0); 4];
        let mut totals = products;
        let mut add = |slot: usize, dy: S::f32s, x: S::f32s| {
            products[slot] = simd.mul_add_e_f32s(dy, simd.sub_f32s(x, mean), products[slot]);
            totals[slot] = simd.add_f32s(totals[slot], dy);
        };
        let (dy_fours, x_fours) = (dy.chunks_exact(4), x.chunks_exact(4));
        for (dy, x) in dy_fours.remainder().iter().zip(x_fours.remainder()) {
            add(0, *dy, *x);
        }
        for (dy, x) in dy_fours.zip(x_fours) {
            add(0, dy[0], x[0]);
            add(1, dy[1], x[1]);
            add(2, dy[2], x[2]);
            add(3, dy[3], x[3]);
        }
        let fold = |v: [S::f32s; 4]| {
            let pairs = [simd.add_f32s(v[0], v[1]), simd.add_f32s(v[2], v[3])];
            simd.reduce_sum_f32s(simd.add_f32s(pairs[0], pairs[1]))
        };
        let mut sums = [fold(products), fold(totals)];
        for (dy, x) in dy_rest.iter().zip(x_rest) {
            sums = [sums[0] + dy * (x - self.mean), sums[1] + dy];
        }
        sums
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let [dy, x, mean, variance] = [0, 1, 2, 3].map(|i| node.inputs[i].unwrap_or(ValueId(0)));
    let shape = b.graph.shape(x).unwrap_or_default();
    let axes: Vec<i64> = std::iter::once(0).chain(2..shape.len() as i64).collect();
    let centred = centred(b, x, mean, shape.len());
    let products = b.mul(dy, centred);
    let product = b.reduce_sum(products, &axes, false);
    let deviation = deviation(b, node, variance);
    let scaled = b.div(product, deviation);
    let total = b.reduce_sum(dy, &axes, false);
    let rows = [scaled, total].map(|row| b.unsqueeze(row, &[0]));
    b.concat(&rows, 0)
}

/// x − μ.
pub(super) fn centred(b: &mut Builder, x: ValueId, mean: ValueId, rank: usize) -> ValueId {
    let mean = column(b, mean, rank);
    b.sub(x, mean)
}

/// [C] as [C, 1, …] behind the batch.
pub(super) fn column(b: &mut Builder, value: ValueId, rank: usize) -> ValueId {
    let mut shape = vec![1; rank];
    shape[1] = -1;
    b.reshape(value, &shape)
}

/// √(σ² + ε), in the type of x, the second input.
pub(super) fn deviation(b: &mut Builder, node: &Node, variance: ValueId) -> ValueId {
    let dtype = node.input(1).and_then(|x| b.graph.dtype(x)).unwrap_or(DType::F32);
    let epsilon = b.scalar(dtype, f64::from(node.float("epsilon", 1e-5)));
    let shifted = b.add(variance, epsilon);
    b.sqrt(shifted)
}
