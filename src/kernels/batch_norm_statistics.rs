//! BatchNormStatistics: mean and biased variance of the batch, for each channel.
//!
//! Input: x f32 [N, C, …]; output [2, C]. A channel is read twice, the second time from the cache: first its mean, then the mean of
//! (x − μ)². Rows are summed in f32 lanes, planes in f64.

use super::cuda::{Argument, Planes, Work};
use super::disjoint::Disjoint;
use super::{Arg, Halves, Kernel, Operator, Parallel};
use crate::ir::{Builder, DType, Node, ValueId};
use pulp::{Arch, Simd, WithSimd};

pub(super) const OPERATOR: Operator = Operator {
    name: "BatchNormStatistics",
    inputs: &[DType::F32],
    kernel: |_| Ok(Box::new(BatchNormStatistics)),
    in_place: false,
    cuda: Some(Halves { inputs: &[0], output: false }),
    reference: Some(reference),
};

struct BatchNormStatistics;

/// Channels of a task at most.
const CHANNELS: usize = 64;

impl Kernel for BatchNormStatistics {
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        match inputs {
            [[_, channels, ..]] => Ok(vec![2, *channels]),
            _ => Err(format!("x [N, C, …], not {inputs:?}")),
        }
    }

    fn compute(&mut self, inputs: &[Arg], output: &mut [f32], parallel: Parallel) -> Result<(), String> {
        let [Arg::F32(x, [images, channels, rest @ ..])] = inputs else { return Err("it takes f32".to_owned()) };
        let (images, channels, plane) = (*images, *channels, rest.iter().product::<usize>());
        let count = (images * plane) as f64;
        let parts = Disjoint::new(output);
        // Neighbouring channels lie together where planes are small.
        let each = (1024 / plane.max(1)).clamp(1, CHANNELS);
        parallel(channels.div_ceil(each), &|task| {
            let chosen = task * each..((task + 1) * each).min(channels);
            // Σ (x − from)^power of each channel.
            let sums = |from: &[f32; CHANNELS], square: bool| {
                let mut sums = [0.0f64; CHANNELS];
                for image in 0..images {
                    for ((channel, sum), from) in chosen.clone().zip(&mut sums).zip(from) {
                        let x = &x[(image * channels + channel) * plane..][..plane];
                        *sum += f64::from(Arch::new().dispatch(Plane { x, from: *from, square }));
                    }
                }
                sums
            };
            let means = sums(&[0.0; CHANNELS], false).map(|sum| (sum / count) as f32);
            let variances = sums(&means, true).map(|sum| (sum / count) as f32);
            for (row, values) in [means, variances].iter().enumerate() {
                #[expect(unsafe_code, reason = "each channel is written by one task")]
                // SAFETY: channels are shared out and each index is run once.
                let out = unsafe { parts.part(row * channels + chosen.start, chosen.len()) };
                out.copy_from_slice(&values[..chosen.len()]);
            }
        });
        Ok(())
    }

    fn cuda(&self, inputs: &[&[usize]]) -> Result<Work, String> {
        let [x] = inputs else { return Err("it takes x".to_owned()) };
        let planes = Planes::of(x)?;
        let whole = [Argument::Output(0), planes.channels(), planes.splits(), Argument::Double(planes.count() as f64)];
        Ok(planes.sums("statistics_part", &[Argument::Input(0)], "statistics_whole", &whole))
    }
}

/// Σ (x − from), or of its square, over a plane.
struct Plane<'a> {
    x: &'a [f32],
    from: f32,
    square: bool,
}

impl WithSimd for Plane<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (x, rest) = S::as_simd_f32s(self.x);
        let from = simd.splat_f32s(self.from);
        let mut sums = [simd.splat_f32s(0.0); 4];
        let mut add = |slot: usize, x: S::f32s| {
            let d = simd.sub_f32s(x, from);
            sums[slot] = if self.square { simd.mul_add_e_f32s(d, d, sums[slot]) } else { simd.add_f32s(sums[slot], d) };
        };
        let fours = x.chunks_exact(4);
        fours.remainder().iter().for_each(|x| add(0, *x));
        for x in fours {
            add(0, x[0]);
            add(1, x[1]);
            add(2, x[2]);
            add(3, x[3]);
        }
        let pairs = [simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3])];
        let rest = rest.iter().map(|x| x - self.from).map(|d| if self.square { d * d } else { d });
        simd.reduce_sum_f32s(simd.add_f32s(pairs[0], pairs[1])) + rest.sum::<f32>()
    }
}

fn reference(b: &mut Builder, node: &Node) -> ValueId {
    let x = node.inputs[0].unwrap_or(ValueId(0));
    let rank = b.graph.shape(x).unwrap_or_default().len() as i64;
    let axes: Vec<i64> = std::iter::once(0).chain(2..rank).collect();
    let mean = b.reduce_mean(x, &axes, true);
    let centred = b.sub(x, mean);
    let square = b.mul(centred, centred);
    let variance = b.reduce_mean(square, &axes, true);
    let rows = [mean, variance].map(|row| b.reshape(row, &[1, -1]));
    b.concat(&rows, 0)
}
