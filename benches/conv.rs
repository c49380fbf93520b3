//! Own convolution operators on the layers of a ResNet-50 and of an EfficientNet-Lite0, 16 images: milliseconds and GFLOP/s.
//! `cargo bench --bench conv`.
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
    [144, 144, 5, 56, 2, 144],
    [480, 480, 3, 14, 1, 480],
    [672, 672, 5, 14, 1, 672],
    [1152, 1152, 5, 7, 1, 1152],
];

fn main() {
    let images = 16;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
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
            ("shape", ints(&[size, size])),
        ];
        let node = Node { attrs: attrs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(), ..Node::default() };
        let x = [images, channels, size, size];
        let (w, y) = ([outputs, channels / group, kernel, kernel], [images, outputs, wide, wide]);
        write!(out, "{channels:4} → {outputs:4}  {kernel}×{kernel}/{stride} @{size:<3} {group:4} groups").unwrap();
        // The operators that make dw, y and dx of the other two.
        for (name, inputs, made) in [("ConvWeightGrad", [x, y], w), ("Conv", [x, w], y), ("ConvDataGrad", [y, w], x)] {
            if name != "ConvWeightGrad" && !pipe::kernels::is_narrow(group, &w) {
                continue;
            }
            let operator = OPERATORS.iter().find(|operator| operator.name == name).unwrap();
            let mut run = (operator.kernel)(&node).unwrap();
            let data = inputs.map(|shape| vec![0.5f32; shape.iter().product()]);
            let mut result = vec![0.0f32; made.iter().product()];
            let parallel = |count: usize, task: &(dyn Fn(usize) + Sync)| {
                pool.scope(|scope| (0..count).for_each(|i| scope.spawn(move |_| task(i))));
            };
            let mut best = f64::INFINITY;
            for _ in 0..5 {
                let args = [Arg::F32(&data[0], &inputs[0]), Arg::F32(&data[1], &inputs[1])];
                let start = Instant::now();
                run.compute(&args, &mut result, &parallel).unwrap();
                best = best.min(start.elapsed().as_secs_f64());
            }
            let work = 2.0 * w.iter().product::<usize>() as f64 * (images * wide * wide) as f64;
            write!(out, "  {name} {:6.2} ms {:4.0} GFLOP/s", best * 1e3, work / best / 1e9).unwrap();
        }
        writeln!(out).unwrap();
    }
}
