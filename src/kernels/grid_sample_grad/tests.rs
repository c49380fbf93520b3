//! The weights of an axis against difference quotients, and the gradients against the sums that they belong to.

use super::*;
use crate::ir::{Attr, Node};
use crate::world::rng::Key;

/// The line x along one axis, sampled at a coordinate.
fn sample(axis: Axis, x: &[f32], point: f32) -> f64 {
    axis.taps(point, x.len()).iter().map(|(at, weight, _)| f64::from(weight) * f64::from(x[at])).sum()
}

#[test]
fn slopes_of_weights_are_derivatives() {
    let x = [0.3, -1.0, 0.8, 0.1, -0.4];
    for mode in [0, 2] {
        for padding in 0..3 {
            for aligned in [false, true] {
                let axis = Axis { mode, padding, aligned };
                // No point is within the step of a kink: elements, borders and their reflections.
                for point in [-2.33f32, -1.62, -1.13, -0.91, -0.31, 0.07, 0.33, 0.72, 1.13, 1.47, 2.71] {
                    let step = 1.0 / 64.0;
                    let at = |by: f32| sample(axis, &x, point + by);
                    let quotient =
                        (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step)) / (12.0 * f64::from(step));
                    let slope: f64 =
                        axis.taps(point, x.len()).iter().map(|(at, _, slope)| f64::from(slope * x[at])).sum();
                    let kinked = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].iter().any(|k| {
                        let scale = if aligned { 2.0 } else { 2.5 };
                        let at = (point + 1.0) * scale - if aligned { 0.0 } else { 0.5 };
                        (at - k).abs() < 0.09 || (at - k - 0.5).abs() < 0.09
                    });
                    if !kinked {
                        assert!((slope - quotient).abs() < 3e-5, "{axis:?} at {point}: {slope} for {quotient}");
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_are_the_same_on_any_number_of_threads_and_odd_shapes_are_errors() {
    let draw = |name: &str, len: usize, bound: f64| -> Vec<f32> {
        let mut rng = Key::new(3).named(name).rng();
        (0..len).map(|_| rng.range(-bound, bound) as f32).collect()
    };
    let (x_shape, grid_shape, dy_shape) = ([5, 2, 3, 4], [5, 2, 3, 2], [5, 2, 2, 3]);
    let (x, grid, dy) = (draw("x", 120, 1.0), draw("grid", 60, 1.5), draw("dy", 60, 1.0));
    let node = Node { attrs: [("mode".to_owned(), Attr::Int(2))].into(), ..Node::default() };
    let mut kernel = (OPERATOR.kernel)(&node).unwrap();
    let inputs = [Arg::F32(&x, &x_shape), Arg::F32(&grid, &grid_shape), Arg::F32(&dy, &dy_shape)];
    let mut run = |parallel: Parallel| {
        let mut out = vec![f32::NAN; 180];
        kernel.compute(&inputs, &mut out, parallel).unwrap();
        out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    let one = run(&|count, task| (0..count).for_each(task));
    let many = run(&|count, task| {
        std::thread::scope(|scope| {
            for thread in 0..3 {
                scope.spawn(move || (thread..count).step_by(3).for_each(task));
            }
        });
    });
    assert_eq!(one, many);
    assert!(kernel.shape(&[&[1, 2, 3], &[1, 2, 1], &[1, 2, 2]]).is_err());
    assert!(kernel.shape(&[&x_shape, &[5, 2, 3, 3], &dy_shape]).is_err());
    let odd = Node { attrs: [("mode".to_owned(), Attr::Int(3))].into(), ..Node::default() };
    assert!((OPERATOR.kernel)(&odd).is_err());
}
