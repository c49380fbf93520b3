//! Small graphs on which the sweep test compares every rule with finite differences. They stand beside their rules.

use crate::ir::{Builder, DType, ValueId};

/// One graph of one operator.
#[derive(Clone, Copy)]
pub struct Case {
    /// The operator that it exercises.
    pub op: &'static str,
    /// What is particular about it.
    pub name: &'static str,
    /// Its differentiated inputs.
    pub inputs: &'static [Input],
    /// Emits the graph from the inputs. Constants take the inputs' element type.
    pub build: fn(&mut Builder, &[ValueId]) -> ValueId,
}

/// A differentiated input.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// Its shape.
    pub shape: &'static [usize],
    /// How its elements are drawn.
    pub draw: Draw,
}

/// How elements are drawn, so that no kink is met within the reach of the difference quotient.
#[derive(Debug, Clone, Copy)]
pub enum Draw {
    /// Uniform between two bounds.
    Uniform(f64, f64),
    /// Uniform in [−2, 2], at least 0.1 away from each of these points.
    Away(&'static [f64]),
    /// All different from each other by at least 0.1, in random order, none within 0.05 of zero.
    Apart,
}

/// A case.
pub(super) const fn case(
    op: &'static str,
    name: &'static str,
    inputs: &'static [Input],
    build: fn(&mut Builder, &[ValueId]) -> ValueId,
) -> Case {
    Case { op, name, inputs, build }
}

/// Uniform in [−1.5, 1.5].
pub(super) const fn any(shape: &'static [usize]) -> Input {
    Input { shape, draw: Draw::Uniform(-1.5, 1.5) }
}

/// Uniform in [0.4, 2].
pub(super) const fn positive(shape: &'static [usize]) -> Input {
    Input { shape, draw: Draw::Uniform(0.4, 2.0) }
}

/// In [−2, 2] and away from points.
pub(super) const fn away(shape: &'static [usize], points: &'static [f64]) -> Input {
    Input { shape, draw: Draw::Away(points) }
}

/// All elements different.
pub(super) const fn apart(shape: &'static [usize]) -> Input {
    Input { shape, draw: Draw::Apart }
}

/// A scalar of the type of a value.
pub(super) fn scalar(b: &mut Builder, like: ValueId, value: f64) -> ValueId {
    let dtype = b.graph.dtype(like).unwrap_or(DType::F32);
    b.scalar(dtype, value)
}

/// A constant of the type of a value, from numbers that f32 holds.
pub(super) fn constant(b: &mut Builder, like: ValueId, shape: &[usize], values: &[f32]) -> ValueId {
    match b.graph.dtype(like) {
        Some(DType::F64) => {
            let wide: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            b.constant(crate::ir::Tensor::new(shape, &wide))
        }
        _ => b.constant(crate::ir::Tensor::new(shape, values)),
    }
}
