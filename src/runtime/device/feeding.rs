//! Batches on their way up: two buffers of the host that the device copies from by itself, and two of the device that steps read in turn.

use super::layout::Layout;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::TrainGraph;
use crate::native::Place;
use crate::native::cuda::{DeviceBuffer, Event, Pinned};
use crate::runtime::step::{Column, Micro, Targets};

/// Where the inputs of a step lie in its buffer.
pub(super) struct Inputs {
    layout: Layout,
    data: Vec<usize>,
    keys: Option<usize>,
    /// Labels, weights and inverse total of each term.
    terms: Vec<[usize; 3]>,
    /// λ of the first term; those of the others follow.
    lambda: usize,
    names: Vec<(String, usize)>,
}

impl Inputs {
    /// All inputs that a batch fills.
    pub(super) fn of(graph: &TrainGraph) -> Result<Self> {
        let mut layout = Layout::default();
        let mut names = Vec::new();
        let mut push = |name: &str| {
            let ty = graph.graph.find(name).and_then(|value| graph.graph.ty(value));
            let typed = ty.and_then(|ty| Some((ty.dtype, ty.shape()?)));
            let (dtype, shape) = typed
                .ok_or_else(|| Diagnostic::error(Code::Internal, format!("input `{name}` has no static shape")))?;
            let number = layout.push(dtype, &shape);
            names.push((name.to_owned(), number));
            Ok(number)
        };
        let data = graph.data.iter().map(|name| push(name)).collect::<Result<Vec<_>>>()?;
        let keys = graph.keys.as_deref().map(&mut push).transpose()?;
        let mut terms = Vec::new();
        for term in &graph.terms {
            terms.push([push(&term.labels)?, push(&term.weights)?, push(&term.inverse)?]);
        }
        let lambdas = graph.terms.iter().map(|term| push(&term.lambda)).collect::<Result<Vec<_>>>()?;
        let lambda = lambdas.first().copied().unwrap_or(0);
        Ok(Self { layout, data, keys, terms, lambda, names })
    }

    /// Names and places in a buffer.
    pub(super) fn places(&self, buffer: &DeviceBuffer) -> Vec<(String, Place)> {
        self.names.iter().map(|(name, number)| (name.clone(), self.layout.place(*number, buffer.address()))).collect()
    }

    /// Address of the λ of the first term in a buffer.
    pub(super) fn lambda(&self, buffer: &DeviceBuffer) -> u64 {
        buffer.address() + self.layout.at(self.lambda) as u64
    }

    fn slot<'b>(&self, bytes: &'b mut [u8], number: usize, length: usize) -> Result<&'b mut [u8]> {
        let range = self.layout.range(number);
        if range.len() == length {
            return Ok(&mut bytes[range]);
        }
        let message = format!("a batch holds {length} bytes where the model takes {}", range.len());
        Err(Diagnostic::error(Code::DataShape, message))
    }

    fn write(&self, bytes: &mut [u8], micro: &Micro, inverse: &[f64], lambda: &[f64]) -> Result<()> {
        for (number, column) in self.data.iter().zip(&micro.data) {
            match column {
                Column::F32(data) => put(self.slot(bytes, *number, data.len() * 4)?, data, f32::to_ne_bytes),
                Column::Other(data) => self.slot(bytes, *number, data.bytes().len())?.copy_from_slice(data.bytes()),
            }
        }
        if let Some(number) = self.keys {
            put(self.slot(bytes, number, micro.keys.len() * 8)?, &micro.keys, i64::to_ne_bytes);
        }
        for (index, [labels, weights, total]) in self.terms.iter().enumerate() {
            match &micro.targets {
                Targets::Classes(ids) => put(self.slot(bytes, *labels, ids.len() * 8)?, ids, i64::to_ne_bytes),
                Targets::Values(values) => put(self.slot(bytes, *labels, values.len() * 4)?, values, f32::to_ne_bytes),
            }
            put(self.slot(bytes, *weights, micro.weights.len() * 4)?, &micro.weights, f32::to_ne_bytes);
            self.slot(bytes, *total, 4)?.copy_from_slice(&(inverse[index] as f32).to_ne_bytes());
            self.slot(bytes, self.lambda + index, 4)?.copy_from_slice(&(lambda[index] as f32).to_ne_bytes());
        }
        Ok(())
    }
}

/// Copies elements as bytes.
fn put<T: Copy, const N: usize>(slot: &mut [u8], data: &[T], bytes: impl Fn(T) -> [u8; N]) {
    slot.chunks_exact_mut(N).zip(data).for_each(|(slot, value)| slot.copy_from_slice(&bytes(*value)));
}

/// One of the two ways up.
pub(super) struct Stage {
    pinned: Pinned,
    pub(super) buffer: DeviceBuffer,
    copied: Event,
    used: Event,
    busy: bool,
}

impl Stage {
    pub(super) fn new(inputs: &Inputs) -> Result<Self> {
        let size = inputs.layout.size();
        Ok(Self {
            pinned: Pinned::new(size)?,
            buffer: DeviceBuffer::zeros(size)?,
            copied: Event::new()?,
            used: Event::new()?,
            busy: false,
        })
    }

    /// Sends a batch up, once the step that read the last one here is done; what comes on the stream next waits for it.
    pub(super) fn send(&mut self, inputs: &Inputs, micro: &Micro, inverse: &[f64], lambda: &[f64]) -> Result<()> {
        if self.busy {
            self.copied.wait()?;
            self.used.hold_copies()?;
        }
        inputs.write(self.pinned.bytes_mut(), micro, inverse, lambda)?;
        self.buffer.fill(&self.pinned)?;
        self.copied.mark_copies()?;
        self.copied.hold_work()?;
        self.busy = true;
        Ok(())
    }

    /// Marks that the step that reads the batch was given to the device.
    pub(super) fn used(&self) -> Result<()> {
        self.used.mark_work()
    }
}
