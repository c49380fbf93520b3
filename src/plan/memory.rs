//! How much memory a run takes, estimated before it runs.
//!
//! The estimate follows what the process holds at a time: the model as it was read, copies that ONNX Runtime keeps, what moves with its
//! gradients and the states of the optimizer, and the values of a step as long as something reads them. `benches/memory.sh` compares it with
//! what is measured.

use super::{Phase, Plan};
use crate::diag::{Result, bytes};
use crate::graph::{TrainGraph, eval_graph, peak_bytes, prefix_graph};
use crate::kernels::Device;
use serde_json::{Value, json};

/// Samples that a run of the frozen prefix takes at once.
pub const FEATURE_BATCH: usize = 16;
/// What the process takes with ONNX Runtime loaded and nothing else: 62 MiB were measured.
const PROCESS: u64 = 62 << 20;
/// Copies of a session's constants while it is loaded: the encoded message, as bytes and parsed, and the session's own.
const LOADING: u64 = 4;
/// What holes between values add, in hundredths: 1 to 13 were counted for the networks of `benches/memory.sh`.
const HOLES: u64 = 10;

/// Bytes at the peak of a phase by what holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    pub(super) parts: Vec<(&'static str, u64)>,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// For programs: bytes by part, and `total`.
    pub fn to_json(&self) -> Value {
        let mut value = json!({ "total": self.total() });
        for (name, bytes) in &self.parts {
            value[*name] = json!(bytes);
        }
        value
    }

    /// In one line, the largest part first.
    pub fn describe(&self) -> String {
        let mut parts = self.parts.clone();
        parts.retain(|(_, bytes)| *bytes > 0);
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let parts: Vec<String> = parts.iter().map(|(name, size)| format!("{name} {}", bytes(*size))).collect();
        format!("about {} at the peak: {}", bytes(self.total()), parts.join(", "))
    }
}

pub(super) fn with_holes(values: u64) -> u64 {
    values + values * HOLES / 100
}

impl Plan {
    /// Most memory that the run takes at a time, whichever step does.
    ///
    /// # Errors
    /// A bug: graphs that training has made cannot be made again.
    pub fn memory(&self) -> Result<Memory> {
        let mut most = Memory::default();
        for phase in &self.phases {
            for memory in [self.of_features(phase), self.of_training(phase)?] {
                if memory.total() > most.total() {
                    most = memory;
                }
            }
        }
        Ok(most)
    }

    /// What the process holds of the values of a step: nothing where they lie on a GPU.
    fn on_host(&self, values: u64) -> u64 {
        if self.target.device == Device::Cpu { values } else { 0 }
    }

    /// While the frozen prefix of a phase runs over a dataset.
    fn of_features(&self, phase: &Phase) -> Memory {
        let Ok(cut) = &phase.cut else { return Memory::default() };
        let graph = prefix_graph(&self.network, cut);
        let (constants, values) =
            (graph.constant_bytes(), self.on_host(with_holes(peak_bytes(&graph, FEATURE_BATCH, self.target.device))));
        let loading = (LOADING - 1) * constants;
        let most = if loading > values { ("loading", loading) } else { ("activations", values) };
        Memory { parts: vec![("process", PROCESS), ("model", self.network.bytes() + constants), most] }
    }

    /// While a phase trains and is evaluated.
    fn of_training(&self, phase: &Phase) -> Result<Memory> {
        let mut memory = self.step_memory(phase, &phase.graphs.full)?;
        memory.parts.push(("evaluation", self.of_evaluation(phase)?));
        Ok(memory)
    }

    /// While a training step of a phase runs again and again.
    ///
    /// # Errors
    /// As [`Plan::memory`].
    pub fn step_memory(&self, phase: &Phase, train: &TrainGraph) -> Result<Memory> {
        let trained = self.trained(phase) * size_of::<f32>() as u64;
        let states = phase.optimizer.rule.build()?.states().len() as u64 + u64::from(phase.optimizer.ema.is_some());
        // Gradients are outputs of the step and among its values; sums of them are written where they lie.
        let values =
            self.on_host(with_holes(peak_bytes(&train.graph, train.batch, self.target.device)).saturating_sub(trained));
        Ok(Memory {
            parts: vec![
                ("process", PROCESS),
                ("model", self.network.bytes() + train.graph.constant_bytes()),
                ("weights", trained),
                ("gradients", self.on_host(trained)),
                ("optimizer", states * trained),
                ("activations", values),
            ],
        })
    }

    /// While a dataset is measured: between epochs, beside what trains, or at the end.
    fn of_evaluation(&self, phase: &Phase) -> Result<u64> {
        if self.watched().is_empty() && self.evaluated().is_empty() {
            return Ok(0);
        }
        let batch = self.spec.schedule.batch;
        let graph = eval_graph(&self.network, phase.cut.as_ref().ok(), &self.objective, batch)?.graph;
        let (constants, values) =
            (graph.constant_bytes(), self.on_host(with_holes(peak_bytes(&graph, batch, self.target.device))));
        // The graph with the weights of now is one more.
        Ok(constants + (LOADING * constants).max(constants + values))
    }
}
