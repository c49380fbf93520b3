//! Against the definition in f64, over odd shapes and numbers of threads.

use super::*;
use crate::world::rng::Key;

/// x shape, output channels, kernel, strides, dilations, pads, group; the size of dy follows as for Conv.
struct Shape(&'static [usize], usize, &'static [usize], &'static [usize], &'static [usize], &'static [usize], usize);

const SHAPES: &[Shape] = &[
    Shape(&[2, 3, 4, 5], 4, &[1, 1], &[1, 1], &[1, 1], &[0, 0, 0, 0], 1),
    Shape(&[2, 3, 40, 41], 5, &[1, 1], &[1, 1], &[1, 1], &[0, 0, 0, 0], 1),
    Shape(&[3, 20, 7, 7], 300, &[1, 1], &[1, 1], &[1, 1], &[0, 0, 0, 0], 1),
    Shape(&[2, 3, 5, 4], 4, &[1, 1], &[2, 2], &[1, 1], &[0, 0, 0, 0], 1),
    Shape(&[2, 3, 4, 5], 4, &[1, 1], &[1, 1], &[1, 1], &[1, 1, 1, 1], 1),
    Shape(&[2, 3, 6, 7], 4, &[3, 3], &[2, 2], &[1, 1], &[1, 0, 2, 1], 1),
    Shape(&[11, 30, 7, 7], 50, &[3, 3], &[1, 1], &[1, 1], &[1, 1, 1, 1], 1),
    Shape(&[2, 5, 33, 31], 3, &[3, 3], &[1, 1], &[1, 1], &[1, 1, 1, 1], 1),
    Shape(&[1, 2, 8, 9], 3, &[3, 2], &[3, 4], &[1, 1], &[0, 0, 0, 0], 1),
    Shape(&[1, 2, 9, 8], 3, &[3, 3], &[1, 1], &[2, 3], &[2, 1, 0, 1], 1),
    Shape(&[1, 3, 11, 12], 2, &[7, 7], &[2, 2], &[1, 1], &[3, 3, 3, 3], 1),
    Shape(&[1, 1, 1, 1], 1, &[1, 1], &[1, 1], &[1, 1], &[0, 0, 0, 0], 1),
    Shape(&[1, 1, 1, 1], 1, &[3, 3], &[2, 2], &[1, 1], &[1, 1, 1, 1], 1),
    Shape(&[1, 1, 3, 3], 2, &[2, 2], &[3, 2], &[1, 1], &[2, 2, 2, 2], 1),
    Shape(&[2, 8, 5, 5], 12, &[3, 3], &[1, 1], &[1, 1], &[1, 1, 1, 1], 2),
    Shape(&[2, 4, 5, 5], 6, &[3, 3], &[2, 1], &[1, 1], &[1, 1, 1, 1], 2),
    Shape(&[2, 4, 5, 6], 4, &[3, 3], &[2, 1], &[1, 1], &[1, 1, 1, 1], 4),
    Shape(&[1, 3, 5, 6], 6, &[3, 2], &[1, 1], &[1, 1], &[0, 0, 0, 0], 3),
    Shape(&[2, 3, 13, 17], 3, &[5, 3], &[2, 3], &[2, 1], &[4, 1, 3, 0], 3),
    Shape(&[2, 3, 9, 9], 3, &[1, 1], &[3, 2], &[1, 1], &[0, 0, 0, 0], 3),
    Shape(&[2, 3, 9], 4, &[3], &[2], &[1], &[1, 0], 1),
    Shape(&[2, 3, 2000], 2, &[5], &[1], &[1], &[2, 2], 1),
    Shape(&[2, 3, 50], 3, &[4], &[3], &[2], &[2, 5], 3),
    Shape(&[1, 2, 4, 5, 4], 3, &[2, 3, 2], &[1, 2, 2], &[1, 1, 1], &[0, 1, 0, 1, 1, 1], 1),
    Shape(&[2, 2, 6, 5, 4], 4, &[3, 2, 2], &[2, 1, 2], &[1, 2, 1], &[1, 1, 0, 1, 0, 1], 2),
    Shape(&[0, 3, 4, 5], 4, &[3, 3], &[1, 1], &[1, 1], &[1, 1, 1, 1], 1),
    Shape(&[0, 4, 4, 5], 4, &[3, 3], &[1, 1], &[1, 1], &[1, 1, 1, 1], 4),
];

fn node(shape: &Shape) -> Node {
    let ints = |list: &[usize]| Attr::Ints(list.iter().map(|v| *v as i64).collect());
    let attrs = [
        ("kernel_shape", ints(shape.2)),
        ("strides", ints(shape.3)),
        ("dilations", ints(shape.4)),
        ("pads", ints(shape.5)),
        ("group", Attr::Int(shape.6 as i64)),
    ];
    Node { attrs: attrs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(), ..Node::default() }
}

fn dy_shape(shape: &Shape) -> Vec<usize> {
    let mut dims = vec![shape.0[0], shape.1];
    for i in 0..shape.2.len() {
        let padded = shape.0[2 + i] + shape.5[i] + shape.5[i + shape.2.len()];
        dims.push((padded - (shape.2[i] - 1) * shape.4[i] - 1) / shape.3[i] + 1);
    }
    dims
}

fn draw(seed: u64, shape: &[usize]) -> Vec<f32> {
    let mut rng = Key::new(seed).rng();
    (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0) as f32).collect()
}

/// The definition, by loops over everything; the scale of rounding beside each element.
fn naive(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<(f64, f64)> {
    let at = |i: usize, sizes: [usize; 3]| [i / (sizes[1] * sizes[2]), i / sizes[2] % sizes[1], i % sizes[2]];
    let (channels, outputs) = (g.group_channels(), g.group_outputs());
    let mut dw = vec![(0.0, 0.0); g.dw_len()];
    for n in 0..g.images {
        for m in 0..g.outputs {
            for c in 0..channels {
                for k in 0..g.taps() {
                    let tap = at(k, g.kernel);
                    for o in 0..g.positions() {
                        let place = at(o, g.output);
                        let [Some(d), Some(h), Some(w)] = [0, 1, 2].map(|i| g.source(i, place[i], tap[i])) else {
                            continue;
                        };
                        let from = ((n * g.channels + m / outputs * channels + c) * g.input[0] + d) * g.input[1] + h;
                        let term = f64::from(x[from * g.input[2] + w])
                            * f64::from(dy[(n * g.outputs + m) * g.positions() + o]);
                        let sum = &mut dw[(m * channels + c) * g.taps() + k];
                        sum.0 += term;
                        sum.1 += term.abs();
                    }
                }
            }
        }
    }
    dw
}

fn run(shape: &Shape, x: &[f32], dy: &[f32], parallel: Parallel) -> Vec<f32> {
    let mut kernel = ConvWeightGrad::new(&node(shape)).unwrap();
    let dims = dy_shape(shape);
    let size = kernel.shape(&[shape.0, &dims]).unwrap().iter().product();
    let mut dw = vec![f32::NAN; size];
    // Twice, since the buffers are kept and hold the first call's numbers.
    for _ in 0..2 {
        kernel.compute(&[Arg::F32(x, shape.0), Arg::F32(dy, &dims)], &mut dw, parallel).unwrap();
    }
    dw
}

#[test]
fn is_the_definition_on_any_number_of_threads() {
    for (number, shape) in SHAPES.iter().enumerate() {
        let dims = dy_shape(shape);
        let (x, dy) = (draw(2 * number as u64, shape.0), draw(2 * number as u64 + 1, &dims));
        let one = run(shape, &x, &dy, &|count, task| (0..count).for_each(task));
        let geometry = Geometry::new(&ConvAttributes::read(&node(shape)).unwrap(), shape.0, &dims).unwrap();
        for (i, (made, (wanted, scale))) in one.iter().zip(naive(&geometry, &x, &dy)).enumerate() {
            let error = (f64::from(*made) - wanted).abs();
            assert!(error <= 1e-6 * scale + 1e-7, "shape {number}, element {i}: {made} for {wanted}");
        }
        let many = run(shape, &x, &dy, &|count, task| {
            std::thread::scope(|scope| {
                for thread in 0..3 {
                    scope.spawn(move || (thread..count).step_by(3).for_each(task));
                }
            });
        });
        assert_eq!(
            one.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            many.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn wrong_attributes_and_shapes_are_errors() {
    let good = Shape(&[1, 4, 5, 5], 4, &[3, 3], &[1, 1], &[1, 1], &[0, 0, 0, 0], 2);
    let broken = [("strides", vec![0, 1]), ("strides", vec![1]), ("pads", vec![-1, 0, 0, 0]), ("kernel_shape", vec![])];
    for (name, list) in broken {
        let mut node = node(&good);
        node.attrs.insert(name.to_owned(), Attr::Ints(list));
        assert!(ConvWeightGrad::new(&node).is_err(), "{name}");
    }
    let mut no_group = node(&good);
    no_group.attrs.insert("group".to_owned(), Attr::Int(0));
    assert!(ConvWeightGrad::new(&no_group).is_err());
    let kernel = ConvWeightGrad::new(&node(&good)).unwrap();
    assert!(kernel.shape(&[&[1, 4, 5, 5], &[2, 4, 3, 3]]).is_err());
    assert!(kernel.shape(&[&[1, 3, 5, 5], &[1, 4, 3, 3]]).is_err());
    assert!(kernel.shape(&[&[1, 4, 5], &[1, 4, 3]]).is_err());
    assert_eq!(kernel.shape(&[&[1, 4, 5, 5], &[1, 4, 3, 3]]).unwrap(), [4, 2, 3, 3]);
}
