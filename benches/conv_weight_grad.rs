//! ConvWeightGrad on the layers of a ResNet-50, 16 images: milliseconds and GFLOP/s. `cargo bench --bench conv_weight_grad`.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and may stop at any failure"
)]

use pipe::ir::{Attr, Node};
use pipe::kernels::{Arg, OPERATORS};
use std::io::Write;
use std::time::Instant;

/// Input channels, output channels, kernel, input size, stride, group.
const LAYERS: &[[usize; 6]] = &[
    [3, 64, 7, 224, 2, 1],
    [64, 64, 1, 56, 1, 1],
    [64, 64, 3, 56, 1, 1],
    [64, 256, 1, 56, 1, 1],
    [128, 128, 3, 28, 1, 1],
    [256, 512, 1, 56, 2, 1],
    [1024, 256, 1, 14, 1, 1],
    [256, 256, 3, 14, 1, 1],
    [512, 512, 3, 7, 1, 1],
    [96, 96, 3, 112, 2, 96],
];

fn main() {
    let images = 16;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let operator = OPERATORS.iter().find(|operator| operator.name == "ConvWeightGrad").unwrap();
    let mut out = std::io::stdout().lock();
    for [channels, outputs, kernel, size, stride, group] in LAYERS.iter().copied() {
        let pad = kernel / 2;
        let wide = (size + 2 * pad - kernel) / stride + 1;
        let ints = |values: &[usize]| Attr::Ints(values.iter().map(|v| *v as i64).collect());
        let attrs = [
            ("kernel_shape", ints(&[kernel, kernel])),
            ("strides", ints(&[stride, stride])),
            ("pads", ints(&[pad; 4])),
            ("group", Attr::Int(group as i64)),
        ];
        let node = Node { attrs: attrs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(), ..Node::default() };
        let mut weight_grad = (operator.kernel)(&node).unwrap();
        let (x_shape, dy_shape) = ([images, channels, size, size], [images, outputs, wide, wide]);
        let x = vec![0.5f32; x_shape.iter().product()];
        let dy = vec![0.25f32; dy_shape.iter().product()];
        let mut dw = vec![0.0f32; outputs * channels / group * kernel * kernel];
        let parallel = |count: usize, task: &(dyn Fn(usize) + Sync)| {
            pool.scope(|scope| (0..count).for_each(|i| scope.spawn(move |_| task(i))));
        };
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            weight_grad.compute(&[Arg::F32(&x, &x_shape), Arg::F32(&dy, &dy_shape)], &mut dw, &parallel).unwrap();
            best = best.min(start.elapsed().as_secs_f64());
        }
        let work = 2.0 * dw.len() as f64 * (images * wide * wide) as f64;
        writeln!(
            out,
            "{channels:>5} → {outputs:<5} {kernel}×{kernel}/{stride} @{size:<4} group {group:<3} {:8.1} ms {:8.1} GFLOP/s",
            best * 1e3,
            work / best / 1e9
        )
        .unwrap();
    }
}
