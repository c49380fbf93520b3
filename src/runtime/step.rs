//! One training step: feeds a session, reads terms and gradients, moves running statistics on.

use super::weights::Weights;
use crate::data::Batch;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::TrainGraph;
use crate::ir::DType;
use crate::native::{Buffer, Options, Outputs, Session};
use crate::parts::losses::Labels;

/// Labels of a batch, in the form that losses read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Targets {
    /// Class of each row, 0 for rows that fill up.
    Classes(Vec<i64>),
    /// Values of each row, row-major.
    Values(Vec<f32>),
}

/// A batch that is ready to run.
pub(super) struct Micro {
    /// f32 data of each data input, row-major.
    pub(super) data: Vec<Vec<f32>>,
    /// Labels.
    pub(super) targets: Targets,
    /// Weight of each row for each term: sample weight only, class weights are inside the loss.
    pub(super) weights: Vec<f32>,
    /// Dropout key of each row.
    pub(super) keys: Vec<i64>,
}

impl Micro {
    /// From a loaded batch.
    pub(super) fn from_batch(batch: Batch, targets: Targets, keys: Vec<i64>) -> Self {
        Self { data: vec![batch.x], targets, weights: batch.weights, keys }
    }
}

/// A session of a training step with its inputs.
pub(super) struct Step {
    pub(super) graph: TrainGraph,
    session: Session,
    data: Vec<Buffer>,
    keys: Option<Buffer>,
    terms: Vec<TermBuffers>,
}

struct TermBuffers {
    labels: Buffer,
    weights: Buffer,
    inverse: Buffer,
    lambda: Buffer,
}

impl Step {
    /// Loads the graph.
    pub(super) fn new(mut graph: TrainGraph, labels: &[Labels], options: &Options) -> Result<Self> {
        let session = Session::build(&graph.graph, options)?;
        let buffer = |name: &str, dtype: DType| {
            let shape = graph
                .graph
                .find(name)
                .and_then(|value| graph.graph.shape(value))
                .ok_or_else(|| Diagnostic::error(Code::Internal, format!("input `{name}` has no static shape")))?;
            Buffer::new(dtype, &shape)
        };
        let data = graph.data.iter().map(|name| buffer(name, DType::F32)).collect::<Result<Vec<_>>>()?;
        let keys = graph.keys.as_deref().map(|name| buffer(name, DType::I64)).transpose()?;
        let mut terms = Vec::new();
        for (term, kind) in graph.terms.iter().zip(labels) {
            terms.push(TermBuffers {
                labels: buffer(
                    &term.labels,
                    match kind {
                        Labels::Classes => DType::I64,
                        Labels::Values => DType::F32,
                    },
                )?,
                weights: buffer(&term.weights, DType::F32)?,
                inverse: buffer(&term.inverse, DType::F32)?,
                lambda: buffer(&term.lambda, DType::F32)?,
            });
        }
        // ONNX Runtime holds the graph now; names and types are all that is read from here on.
        graph.graph.initializers.clear();
        Ok(Self { graph, session, data, keys, terms })
    }

    /// Runs forward and backward. `inverse` and `lambda` are per term.
    pub(super) fn run<'s>(
        &'s mut self,
        weights: &Weights,
        micro: &Micro,
        inverse: &[f64],
        lambda: &[f64],
    ) -> Result<StepOutputs<'s>> {
        for (buffer, data) in self.data.iter_mut().zip(&micro.data) {
            copy(buffer.f32_mut(), data)?;
        }
        if let Some(keys) = &mut self.keys {
            keys.i64_mut().copy_from_slice(&micro.keys);
        }
        for (index, term) in self.terms.iter_mut().enumerate() {
            match &micro.targets {
                Targets::Classes(classes) => term.labels.i64_mut().copy_from_slice(classes),
                Targets::Values(values) => copy(term.labels.f32_mut(), values)?,
            }
            copy(term.weights.f32_mut(), &micro.weights)?;
            term.inverse.f32_mut().fill(inverse[index] as f32);
            term.lambda.f32_mut().fill(lambda[index] as f32);
        }
        let mut feeds: Vec<(&str, &Buffer)> = Vec::new();
        let graph = &self.graph;
        feeds.extend(graph.data.iter().map(String::as_str).zip(&self.data));
        if let (Some(name), Some(keys)) = (&graph.keys, &self.keys) {
            feeds.push((name, keys));
        }
        for (names, term) in graph.terms.iter().zip(&self.terms) {
            feeds.push((&names.labels, &term.labels));
            feeds.push((&names.weights, &term.weights));
            feeds.push((&names.inverse, &term.inverse));
            feeds.push((&names.lambda, &term.lambda));
        }
        for (name, _) in &graph.params {
            feeds.push((name, weights.get(name)?));
        }
        for state in &graph.states {
            feeds.push((&state.name, weights.get(&state.name)?));
        }
        let outputs = self.session.run(&feeds)?;
        Ok(StepOutputs { outputs, graph })
    }
}

fn copy(slot: &mut [f32], data: &[f32]) -> Result<()> {
    if slot.len() != data.len() {
        return Err(Diagnostic::error(
            Code::DataShape,
            format!("a batch holds {} numbers where the model takes {}", data.len(), slot.len()),
        ));
    }
    slot.copy_from_slice(data);
    Ok(())
}

/// What a step made.
pub(super) struct StepOutputs<'s> {
    outputs: Outputs<'s>,
    graph: &'s TrainGraph,
}

impl StepOutputs<'_> {
    /// Value of each term, without λ.
    pub(super) fn terms(&self) -> Result<Vec<f64>> {
        self.graph
            .terms
            .iter()
            .map(|term| self.outputs.f32(&term.value).map(|v| f64::from(v.first().copied().unwrap_or(f32::NAN))))
            .collect()
    }

    /// Gradient of each trained parameter.
    pub(super) fn gradients(&self) -> Result<Vec<&[f32]>> {
        self.graph.params.iter().map(|(_, gradient)| self.outputs.f32(gradient)).collect()
    }

    /// Moves the running statistics on.
    pub(super) fn advance(&self, weights: &mut Weights) -> Result<()> {
        for state in &self.graph.states {
            weights.set(&state.name, self.outputs.f32(&state.next)?)?;
        }
        Ok(())
    }
}
