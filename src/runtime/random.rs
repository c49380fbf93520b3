//! Batches of random data for a training step, counted from the seed of the plan.

use super::step::{Column, Micro, Targets};
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{TrainGraph, index_bound};
use crate::ir::{DType, Tensor};
use crate::parts::losses::Labels;
use crate::plan::Plan;
use crate::world::rng::Key;

/// A batch: normal numbers, indices that every table has, ones in masks; classes drawn evenly, zeros as values.
pub(super) fn random(plan: &Plan, train: &TrainGraph) -> Result<Micro> {
    let key = Key::new(plan.spec.seed).named("bench");
    let mut data = Vec::new();
    for name in &train.data {
        let found = train.graph.find(name).and_then(|value| Some((value, train.graph.ty(value)?)));
        let Some((value, ty)) = found else {
            return Err(Diagnostic::error(Code::Internal, format!("no input `{name}`")));
        };
        let shape = ty.shape().unwrap_or_default();
        let count: usize = shape.iter().product();
        let mut rng = key.named(name).rng();
        let bound = index_bound(&train.graph, value);
        let mut index = || bound.map_or(1, |bound| rng.below(bound));
        data.push(match ty.dtype {
            DType::F32 => Column::F32((0..count).map(|_| rng.normal() as f32).collect()),
            DType::I64 => Column::Other(Tensor::new(shape, &(0..count).map(|_| index() as i64).collect::<Vec<_>>())),
            DType::I32 => Column::Other(Tensor::new(shape, &(0..count).map(|_| index() as i32).collect::<Vec<_>>())),
            DType::Bool => Column::Other(Tensor::new(shape, &vec![true; count])),
            other => {
                return Err(Diagnostic::error(Code::NotSupported, format!("input `{name}` is {other}"))
                    .help("random data are made for f32, i64, i32 and bool"));
            }
        });
    }
    let batch = train.batch;
    let targets = match plan.objective.terms.first() {
        Some(term) if term.loss.labels() == Labels::Classes => {
            let classes = term.units.iter().product();
            let mut rng = key.named("labels").rng();
            Targets::Classes((0..batch).map(|_| rng.below(classes) as i64).collect())
        }
        term => Targets::Values(vec![0.0; batch * term.map_or(0, |term| term.units.iter().product())]),
    };
    let keys = (0..batch).map(|row| key.named("dropout").with(row as u64).bits() as i64).collect();
    Ok(Micro { data, targets, weights: vec![1.0; batch], keys })
}
