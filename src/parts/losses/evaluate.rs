//! Evaluates the few operators that losses are written in, so that their tests need no native library.

use super::Loss;
use crate::ir::{Builder, DType, Graph, Tensor, TensorType, ValueId};
use std::collections::BTreeMap;

/// A matrix; vectors have one column.
#[derive(Clone)]
struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn of(tensor: &Tensor) -> Self {
        let values = match tensor.dtype() {
            DType::I64 => tensor.to_vec::<i64>().unwrap().iter().map(|v| *v as f32).collect(),
            _ => tensor.to_vec::<f32>().unwrap(),
        };
        let columns = if tensor.shape().len() == 2 { tensor.shape()[1] } else { 1 };
        Self { columns, values }
    }

    fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self { columns: self.columns, values: self.values.iter().map(|v| f(*v)).collect() }
    }

    fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let (rows, columns) = (self.rows().max(other.rows()), self.columns.max(other.columns));
        let at = |m: &Self, r: usize, c: usize| m.values[(r % m.rows()) * m.columns + c % m.columns];
        let values =
            (0..rows * columns).map(|i| f(at(self, i / columns, i % columns), at(other, i / columns, i % columns)));
        Self { columns, values: values.collect() }
    }

    fn fold(&self, f: impl Fn(&[f32]) -> f32) -> Self {
        Self { columns: 1, values: self.values.chunks(self.columns).map(f).collect() }
    }
}

/// Per-sample losses of a loss for an output and labels.
pub(super) fn per_sample(loss: &dyn Loss, output: &[f32], shape: &[usize], labels: &Tensor) -> Vec<f32> {
    let mut graph = Graph::default();
    let x = graph.add_input("output", TensorType::fixed(DType::F32, shape));
    let y = graph.add_input("labels", TensorType::fixed(labels.dtype(), labels.shape()));
    let made = loss.build(&mut Builder::new(&mut graph, "loss"), x, y, shape).unwrap();
    graph.outputs.push(made);
    graph.verify("loss").unwrap();

    let mut known: BTreeMap<ValueId, Matrix> = graph.initializers.iter().map(|(id, t)| (*id, Matrix::of(t))).collect();
    known.insert(x, Matrix::of(&Tensor::new(shape, output)));
    known.insert(y, Matrix::of(labels));
    for node in &graph.nodes {
        let input = |i: usize| &known[&node.input(i).unwrap()];
        let a = input(0);
        let value = match node.op.as_str() {
            "Add" => a.zip(input(1), |a, b| a + b),
            "Sub" => a.zip(input(1), |a, b| a - b),
            "Mul" => a.zip(input(1), |a, b| a * b),
            "Neg" => a.map(|v| -v),
            "Softplus" => a.map(|v| v.max(0.0) + (-v.abs()).exp().ln_1p()),
            "Unsqueeze" => a.clone(),
            "ReduceSum" => a.fold(|row| row.iter().sum()),
            "ReduceMean" => a.fold(|row| row.iter().sum::<f32>() / row.len() as f32),
            "LogSoftmax" => {
                let top = a.fold(|row| row.iter().copied().fold(f32::MIN, f32::max));
                let shifted = a.zip(&top, |a, b| a - b);
                let total = shifted.fold(|row| row.iter().map(|v| v.exp()).sum::<f32>().ln());
                shifted.zip(&total, |a, b| a - b)
            }
            "OneHot" => {
                let (columns, ends) = (input(1).values[0] as usize, &input(2).values);
                let hot =
                    |class: &f32| (0..columns).map(|c| ends[usize::from(c as f32 == *class)]).collect::<Vec<f32>>();
                Matrix { columns, values: a.values.iter().flat_map(hot).collect() }
            }
            other => panic!("`{other}` is not written here"),
        };
        known.insert(node.output(0).unwrap(), value);
    }
    known[&made].values.clone()
}

/// Equal within a relative tolerance (absolute below 1).
pub(super) fn close(seen: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(seen.len(), wanted.len());
    for (a, b) in seen.iter().zip(wanted) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{seen:?} is not {wanted:?}");
    }
}
