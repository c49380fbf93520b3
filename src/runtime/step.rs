//! One training step: feeds a session, reads terms and gradients, moves running statistics on.

use super::profile::{ProfileTable, Profiling};
use super::weights::Weights;
use crate::data::Batch;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::TrainGraph;
use crate::ir::{DType, Tensor};
use crate::native::{Binding, Buffer, Options, Outputs, Place, Session};
use crate::parts::losses::Labels;
use std::path::Path;

/// Labels of a batch, in the form that losses read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Targets {
    /// Class of each row, 0 for rows that fill up.
    Classes(Vec<i64>),
    /// Values of each row, row-major.
    Values(Vec<f32>),
}

/// What one data input is fed, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// Floats.
    F32(Vec<f32>),
    /// Another element type, such as token ids.
    Other(Tensor),
}

impl Column {
    /// Its elements, empty when they are not f32.
    pub(super) fn f32(&self) -> &[f32] {
        match self {
            Self::F32(data) => data,
            Self::Other(_) => &[],
        }
    }

    /// Copies it into an input.
    ///
    /// # Errors
    /// `P0505` when it does not have the input's size.
    pub(super) fn fill(&self, buffer: &mut Buffer) -> Result<()> {
        match self {
            Self::F32(data) => copy(buffer.f32_mut(), data),
            Self::Other(data) => copy(buffer.bytes_mut(), data.bytes()),
        }
    }
}

/// A batch that is ready to run.
pub(super) struct Micro {
    /// Data of each data input.
    pub(super) data: Vec<Column>,
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
        Self { data: vec![Column::F32(batch.x)], targets, weights: batch.weights, keys }
    }
}

/// A session of a training step with its inputs.
pub(super) struct Step {
    pub(super) graph: TrainGraph,
    session: Session,
    data: Vec<Buffer>,
    keys: Option<Buffer>,
    terms: Vec<TermBuffers>,
    /// Where a step that adds to sums of gradients writes its other outputs.
    others: Vec<(String, Buffer)>,
    profiling: Option<Profiling>,
    runs: usize,
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
        let typed = |name: &str| {
            let ty = graph.graph.find(name).and_then(|value| graph.graph.ty(value));
            ty.and_then(|ty| Some((ty.dtype, ty.shape()?)))
                .ok_or_else(|| Diagnostic::error(Code::Internal, format!("input `{name}` has no static shape")))
        };
        let buffer = |name: &str, dtype: DType| Buffer::new(dtype, &typed(name)?.1);
        let data = graph.data.iter().map(|name| typed(name).and_then(|(dtype, shape)| Buffer::new(dtype, &shape)));
        let data = data.collect::<Result<Vec<_>>>()?;
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
        let mut others = Vec::new();
        if !graph.sums.is_empty() {
            let states = graph.states.iter().map(|state| &state.next);
            for name in graph.terms.iter().map(|term| &term.value).chain(states) {
                others.push((name.clone(), buffer(name, DType::F32)?));
            }
        }
        // ONNX Runtime holds the graph now; names and types are all that is read from here on.
        graph.graph.initializers.clear();
        Ok(Self { graph, session, data, keys, terms, others, profiling: None, runs: 0 })
    }

    /// Loads the graph and times every operator until [`Step::end_profile`].
    pub(super) fn profiled(graph: TrainGraph, labels: &[Labels], options: &Options) -> Result<Self> {
        let profiling = Profiling::new(&graph)?;
        let mut step = Self::new(graph, labels, &Options { profile: Some(profiling.prefix()), ..options.clone() })?;
        step.profiling = Some(profiling);
        Ok(step)
    }

    /// Runs so far.
    pub(super) fn runs(&self) -> usize {
        self.runs
    }

    /// Ends timing, writes the trace and sums it up; `None` when nothing is timed or nothing ran. Later runs are not timed.
    pub(super) fn end_profile(&mut self, trace: &Path, title: &str) -> Result<Option<ProfileTable>> {
        let Some(profiling) = self.profiling.take().filter(|_| self.runs > 0) else { return Ok(None) };
        profiling.finish(&self.session.end_profile()?, trace, title).map(Some)
    }

    /// Zeros to which a step that is [summing](TrainGraph::summing) adds its gradients.
    pub(super) fn sums(&self) -> Result<Vec<Buffer>> {
        let ty = |name: &String| self.graph.graph.find(name).and_then(|value| self.graph.graph.shape(value));
        let shapes = self.graph.sums.iter().filter_map(ty);
        let mut sums: Vec<Buffer> = shapes.map(|shape| Buffer::new(DType::F32, &shape)).collect::<Result<_>>()?;
        zero(&mut sums);
        Ok(sums)
    }

    /// Runs forward and backward. `inverse` and `lambda` are per term; `sums` take the gradients of a step that is summing, and are none for
    /// any other.
    pub(super) fn run<'s>(
        &'s mut self,
        weights: &Weights,
        micro: &Micro,
        (inverse, lambda): (&[f64], &[f64]),
        sums: &'s mut [Buffer],
    ) -> Result<StepOutputs<'s>> {
        for (buffer, data) in self.data.iter_mut().zip(&micro.data) {
            data.fill(buffer)?;
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
        self.runs += 1;
        if graph.sums.is_empty() {
            let outputs = Made::Run(self.session.run(&feeds)?);
            return Ok(StepOutputs { outputs, graph });
        }
        let mut inputs: Vec<(String, Place)> =
            feeds.iter().map(|(name, buffer)| ((*name).to_owned(), buffer.place())).collect();
        let mut outputs: Vec<(String, Place)> =
            self.others.iter().map(|(name, buffer)| (name.clone(), buffer.place())).collect();
        for ((name, (_, gradient)), sum) in graph.sums.iter().zip(&graph.params).zip(sums.iter()) {
            inputs.push((name.clone(), sum.place()));
            outputs.push((gradient.clone(), sum.place()));
        }
        // Buffers may be others than in the run before.
        Binding::new(&self.session, &inputs, &outputs)?.run(&mut self.session)?;
        Ok(StepOutputs { outputs: Made::Bound { sums, others: &self.others }, graph })
    }
}

/// Makes room for the gradients of another step.
pub(super) fn zero(sums: &mut [Buffer]) {
    for sum in sums {
        sum.f32_mut().fill(0.0);
    }
}

fn copy<T: Copy>(slot: &mut [T], data: &[T]) -> Result<()> {
    if slot.len() != data.len() {
        return Err(Diagnostic::error(
            Code::DataShape,
            format!("a batch holds {} elements where the model takes {}", data.len(), slot.len()),
        ));
    }
    slot.copy_from_slice(data);
    Ok(())
}

/// What a step made.
pub(super) struct StepOutputs<'s> {
    outputs: Made<'s>,
    graph: &'s TrainGraph,
}

enum Made<'s> {
    /// In memory of ONNX Runtime.
    Run(Outputs<'s>),
    /// In ours.
    Bound { sums: &'s [Buffer], others: &'s [(String, Buffer)] },
}

/// The buffer of an output other than a gradient.
fn other<'s>(others: &'s [(String, Buffer)], name: &str) -> Result<&'s Buffer> {
    let found = others.iter().find(|(other, _)| other == name);
    found.map(|(_, buffer)| buffer).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Diagnostic {
    Diagnostic::error(Code::Internal, format!("no output `{name}`"))
}

impl StepOutputs<'_> {
    /// Elements of an f32 output.
    pub(super) fn f32(&self, name: &str) -> Result<&[f32]> {
        match &self.outputs {
            Made::Run(outputs) => outputs.f32(name),
            Made::Bound { others, .. } => Ok(other(others, name)?.f32()),
        }
    }

    /// Copy of an output.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        match &self.outputs {
            Made::Run(outputs) => outputs.tensor(name),
            Made::Bound { others, .. } => other(others, name)?.to_tensor().ok_or_else(|| missing(name)),
        }
    }

    /// Value of each term, without λ.
    pub(super) fn terms(&self) -> Result<Vec<f64>> {
        self.graph
            .terms
            .iter()
            .map(|term| self.f32(&term.value).map(|v| f64::from(v.first().copied().unwrap_or(f32::NAN))))
            .collect()
    }

    /// Gradient of each trained parameter, or the sum that it was added to.
    pub(super) fn gradients(&self) -> Result<Vec<&[f32]>> {
        match &self.outputs {
            Made::Run(outputs) => self.graph.params.iter().map(|(_, gradient)| outputs.f32(gradient)).collect(),
            Made::Bound { sums, .. } => Ok(sums.iter().map(Buffer::f32).collect()),
        }
    }

    /// Moves the running statistics on.
    pub(super) fn advance(&self, weights: &mut Weights) -> Result<()> {
        for state in &self.graph.states {
            weights.set(&state.name, self.f32(&state.next)?)?;
        }
        Ok(())
    }
}
