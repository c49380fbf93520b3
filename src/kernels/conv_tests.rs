//! The three kernels of a convolution against its definition in f64, over odd shapes and numbers of threads.

use super::conv_attributes::ConvAttributes;
use super::geometry::Geometry;
use super::*;
use crate::ir::Attr;
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
        ("shape", ints(&shape.0[2..])),
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

/// Calls with the indices in x, w and y of every product that the convolution sums.
fn products(g: &Geometry, mut visit: impl FnMut([usize; 3])) {
    let at = |i: usize, sizes: [usize; 3]| [i / (sizes[1] * sizes[2]), i / sizes[2] % sizes[1], i % sizes[2]];
    let (channels, outputs) = (g.group_channels(), g.group_outputs());
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
                        let weight = (m * channels + c) * g.taps() + k;
                        visit([from * g.input[2] + w, weight, (n * g.outputs + m) * g.positions() + o]);
                    }
                }
            }
        }
    }
}

/// An operator under test and which of x, w, y it makes of the other two, in their order.
struct Made(&'static Operator, usize);

const MADE: [Made; 3] =
    [Made(&conv_data_grad::OPERATOR, 0), Made(&conv_weight_grad::OPERATOR, 1), Made(&conv::OPERATOR, 2)];

impl Made {
    /// Runs the kernel on the other two of x, w, y.
    fn run(&self, shape: &Shape, given: &[Vec<f32>; 3], dims: &[Vec<usize>; 3], parallel: Parallel) -> Vec<f32> {
        let mut kernel = (self.0.kernel)(&node(shape)).unwrap();
        // ConvDataGrad takes dy before w.
        let inputs = [[2, 1], [0, 2], [0, 1]][self.1];
        let shapes = inputs.map(|i| dims[i].as_slice());
        assert_eq!(kernel.shape(&shapes).unwrap(), dims[self.1], "{}", self.0.name);
        let mut made = vec![f32::NAN; given[self.1].len()];
        // Twice, since the buffers are kept and hold the first call's numbers.
        for _ in 0..2 {
            kernel.compute(&inputs.map(|i| Arg::F32(&given[i], &dims[i])), &mut made, parallel).unwrap();
        }
        made
    }
}

#[test]
fn each_is_its_definition_on_any_number_of_threads() {
    for (number, shape) in SHAPES.iter().enumerate() {
        let weights = [&[shape.1, shape.0[1] / shape.6], shape.2].concat();
        let dims = [shape.0.to_vec(), weights, dy_shape(shape)];
        let given = [0, 1, 2].map(|i| draw(3 * number as u64 + i as u64, &dims[i]));
        let geometry = Geometry::new(&ConvAttributes::read(&node(shape)).unwrap(), &dims[0], &dims[2]).unwrap();
        for made in &MADE {
            let what = format!("{} of shape {number}", made.0.name);
            // Sums and the scale of their rounding.
            let mut wanted = vec![(0.0f64, 0.0f64); given[made.1].len()];
            products(&geometry, |at| {
                let [a, b] = [[1, 2], [0, 2], [0, 1]][made.1].map(|i| f64::from(given[i][at[i]]));
                let sum = &mut wanted[at[made.1]];
                *sum = (sum.0 + a * b, sum.1 + (a * b).abs());
            });
            let one = made.run(shape, &given, &dims, &|count, task| (0..count).for_each(task));
            for (i, (made, (wanted, scale))) in one.iter().zip(&wanted).enumerate() {
                let error = (f64::from(*made) - wanted).abs();
                assert!(error <= 1e-6 * scale + 1e-7, "{what}, element {i}: {made} for {wanted}");
            }
            let many = made.run(shape, &given, &dims, &|count, task| {
                std::thread::scope(|scope| {
                    for thread in 0..3 {
                        scope.spawn(move || (thread..count).step_by(3).for_each(task));
                    }
                });
            });
            let bits = |list: &[f32]| list.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&many), "{what}");
        }
    }
}

#[test]
fn wrong_attributes_and_shapes_are_errors() {
    let good = Shape(&[1, 4, 5, 5], 4, &[3, 3], &[1, 1], &[1, 1], &[0, 0, 0, 0], 2);
    let broken = [("strides", vec![0, 1]), ("strides", vec![1]), ("pads", vec![-1, 0, 0, 0]), ("kernel_shape", vec![])];
    for (name, list) in broken {
        let mut node = node(&good);
        node.attrs.insert(name.to_owned(), Attr::Ints(list));
        assert!((conv_weight_grad::OPERATOR.kernel)(&node).is_err(), "{name}");
    }
    let mut no_group = node(&good);
    no_group.attrs.insert("group".to_owned(), Attr::Int(0));
    assert!((conv_weight_grad::OPERATOR.kernel)(&no_group).is_err());
    let kernel = (conv_weight_grad::OPERATOR.kernel)(&node(&good)).unwrap();
    assert!(kernel.shape(&[&[1, 4, 5, 5], &[2, 4, 3, 3]]).is_err());
    assert!(kernel.shape(&[&[1, 3, 5, 5], &[1, 4, 3, 3]]).is_err());
    assert!(kernel.shape(&[&[1, 4, 5], &[1, 4, 3]]).is_err());
    assert_eq!(kernel.shape(&[&[1, 4, 5, 5], &[1, 4, 3, 3]]).unwrap(), [4, 2, 3, 3]);
}
