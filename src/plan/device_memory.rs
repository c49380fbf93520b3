//! How much memory of the GPU a run takes, estimated before it runs.
//!
//! What moves lies there once with its gradients and the states of the optimizer. Every session that is loaded has its constants beside that,
//! and memory of its own for the values of a run, which it keeps.

use super::memory::{FEATURE_BATCH, with_holes};
use super::{Memory, Phase, Plan};
use crate::diag::Result;
use crate::graph::{TrainGraph, eval_graph, peak_bytes, peak_bytes_beside_outputs, prefix_graph};
use crate::ir::{Graph, ValueId};
use crate::kernels::Device;

/// What the driver takes for a process with the kernels of ONNX Runtime, cuBLAS and cuDNN: on an H100 steps of ResNet-50 took about 0.8 GiB
/// more than was asked for.
const CONTEXT: u64 = 800 << 20;
/// Memory in which cuBLAS works.
const WORKSPACE: u64 = 32 << 20;
/// Copies of a batch: one is read while the next one goes up.
const STAGES: u64 = 2;

impl Plan {
    /// Most memory of the GPU that the run takes at a time, whichever step does; none where the steps run on the processor.
    ///
    /// # Errors
    /// As [`Plan::memory`].
    pub fn device_memory(&self) -> Result<Option<Memory>> {
        if self.target.device == Device::Cpu {
            return Ok(None);
        }
        let mut most = Memory::default();
        for phase in &self.phases {
            let graphs: Vec<&TrainGraph> = [&phase.graphs.full].into_iter().chain(&phase.graphs.short).collect();
            let mut training = self.device_step_memory(phase, &graphs)?;
            if !self.watched().is_empty() {
                training.parts.push(("evaluation", self.on_device_while_evaluated(phase)?));
            }
            for memory in [self.on_device_for_features(phase), training] {
                if memory.total() > most.total() {
                    most = memory;
                }
            }
        }
        Ok(Some(most))
    }

    /// While the training steps of a phase run, whole and partial batches each in a session of their own.
    ///
    /// # Errors
    /// As [`Plan::memory`].
    pub fn device_step_memory(&self, phase: &Phase, graphs: &[&TrainGraph]) -> Result<Memory> {
        let trained = self.trained(phase) * size_of::<f32>() as u64;
        let kept = phase.optimizer.rule.build()?.states().len() as u64 + u64::from(phase.optimizer.ema.is_some());
        let penalties = self.spec.regularizer.iter().map(|penalty| penalty.penalty.build());
        let held = penalties.collect::<Result<Vec<_>>>()?.iter().any(|penalty| penalty.needs_start());
        let summed = self.spec.schedule.accumulate > 1;
        let sum = |of: &dyn Fn(&TrainGraph) -> u64| graphs.iter().map(|train| of(train)).sum::<u64>();
        // Gradients and next running statistics are bound to places of their own.
        let values =
            |train: &TrainGraph| with_holes(peak_bytes_beside_outputs(&train.graph, train.batch, Device::Cuda));
        let running = graphs.first().map_or(0, |train| 2 * statistics(train));
        Ok(Memory {
            parts: vec![
                ("cuda", CONTEXT + WORKSPACE),
                ("weights", trained * (1 + u64::from(held)) + running),
                ("gradients", trained * (1 + u64::from(summed))),
                ("optimizer", kept * trained),
                ("frozen", sum(&|train| train.graph.constant_bytes())),
                ("batches", sum(&|train| STAGES * batch(train))),
                ("activations", sum(&values)),
            ],
        })
    }

    fn on_device_for_features(&self, phase: &Phase) -> Memory {
        let Ok(cut) = &phase.cut else { return Memory::default() };
        let graph = prefix_graph(&self.network, cut);
        let values = with_holes(peak_bytes(&graph, FEATURE_BATCH, Device::Cuda));
        Memory { parts: vec![("cuda", CONTEXT), ("frozen", graph.constant_bytes()), ("activations", values)] }
    }

    fn on_device_while_evaluated(&self, phase: &Phase) -> Result<u64> {
        let batch = self.spec.schedule.batch;
        let graph = eval_graph(&self.network, phase.cut.as_ref().ok(), &self.objective, batch)?.graph;
        Ok(graph.constant_bytes() + with_holes(peak_bytes(&graph, batch, Device::Cuda)))
    }
}

/// Bytes of a value of known size.
fn size(graph: &Graph, value: Option<ValueId>) -> u64 {
    let typed = value.and_then(|value| Some((graph.ty(value)?.dtype, graph.shape(value)?)));
    typed.map_or(0, |(dtype, shape)| (shape.iter().product::<usize>() * dtype.size()) as u64)
}

/// Bytes of the running statistics of a step.
fn statistics(train: &TrainGraph) -> u64 {
    train.states.iter().map(|state| size(&train.graph, train.graph.find(&state.name))).sum()
}

/// Bytes of the data of a batch.
fn batch(train: &TrainGraph) -> u64 {
    train.data.iter().map(|name| size(&train.graph, train.graph.find(name))).sum()
}
