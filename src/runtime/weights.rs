//! Current values of everything that moves: parameters and running statistics, in ONNX Runtime's memory.

use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Graph, Tensor};
use crate::native::Buffer;
use std::collections::BTreeMap;

/// Values by name, in the order of the names.
#[derive(Debug, Default)]
pub(super) struct Weights {
    buffers: BTreeMap<String, Buffer>,
}

impl Weights {
    /// Takes a value under control, starting from the initializer of the network unless it is there already.
    pub(super) fn adopt(&mut self, graph: &Graph, name: &str) -> Result<()> {
        if self.buffers.contains_key(name) {
            return Ok(());
        }
        let tensor = graph.find(name).and_then(|value| graph.constant(value)).ok_or_else(|| {
            Diagnostic::error(Code::Internal, format!("`{name}` is not an initializer of the network"))
        })?;
        self.buffers.insert(name.to_owned(), Buffer::from_tensor(tensor)?);
        Ok(())
    }

    /// The buffer of a value.
    pub(super) fn get(&self, name: &str) -> Result<&Buffer> {
        self.buffers.get(name).ok_or_else(|| Diagnostic::error(Code::Internal, format!("no value `{name}`")))
    }

    /// Sets a value.
    pub(super) fn set(&mut self, name: &str, data: &[f32]) -> Result<()> {
        let buffer = self
            .buffers
            .get_mut(name)
            .ok_or_else(|| Diagnostic::error(Code::CheckpointBad, format!("no parameter `{name}` in this network")))?;
        let slot = buffer.f32_mut();
        if slot.len() != data.len() {
            return Err(Diagnostic::error(Code::CheckpointBad, format!("`{name}` has another size in the checkpoint")));
        }
        slot.copy_from_slice(data);
        Ok(())
    }

    /// Mutable elements of the named values, in the order of `names`.
    pub(super) fn slices<'a>(&'a mut self, names: &[String]) -> Vec<&'a mut [f32]> {
        let mut by_name: BTreeMap<&str, &'a mut [f32]> =
            self.buffers.iter_mut().map(|(name, buffer)| (name.as_str(), buffer.f32_mut())).collect();
        names.iter().filter_map(|name| by_name.remove(name.as_str())).collect()
    }

    /// Names and copies of all values.
    pub(super) fn snapshot(&self) -> BTreeMap<String, Tensor> {
        self.buffers.iter().filter_map(|(name, buffer)| Some((name.clone(), buffer.to_tensor()?))).collect()
    }

    /// Goes back to copies made by [`Weights::snapshot`].
    pub(super) fn restore(&mut self, snapshot: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in snapshot {
            self.buffers.insert(name.clone(), Buffer::from_tensor(tensor)?);
        }
        Ok(())
    }

    /// A copy in which the given values stand instead.
    pub(super) fn with(&self, others: &BTreeMap<String, Tensor>) -> Result<Self> {
        let mut copy = Self::default();
        copy.restore(&self.snapshot())?;
        copy.restore(others)?;
        Ok(copy)
    }

    /// Puts the current values into a graph that holds them as initializers.
    pub(super) fn write_into(&self, graph: &mut Graph) {
        for (name, buffer) in &self.buffers {
            if let (Some(value), Some(tensor)) = (graph.find(name), buffer.to_tensor())
                && let Some(slot) = graph.initializers.get_mut(&value)
            {
                *slot = tensor;
            }
        }
    }
}
