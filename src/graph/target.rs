//! What a training step is made for.

use super::precision;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Graph, ValueId};
use crate::kernels::{self, Device};
use crate::native;
use crate::spec::{self, Precision};

/// A device and the numbers that it computes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Target {
    /// The device.
    pub device: Device,
    /// Numbers of products.
    pub precision: Precision,
    /// Only kernels that give the same bits every time.
    pub deterministic: bool,
}

impl Target {
    /// What `runtime` asks for on this machine.
    pub fn of(runtime: &spec::Runtime) -> Self {
        let device = match runtime.device {
            spec::Device::Cuda => Device::Cuda,
            spec::Device::Auto if native::cuda::is_usable() => Device::Cuda,
            spec::Device::Auto | spec::Device::Cpu => Device::Cpu,
        };
        Self { device, precision: runtime.precision, deterministic: runtime.deterministic }
    }

    /// What stands against the device and the numbers that a spec asks for, on this machine or (`here` is false) on any.
    pub fn problem(self, runtime: &spec::Runtime, here: bool) -> Option<Diagnostic> {
        if self.device == Device::Cuda {
            return native::cuda::ready().err().filter(|_| here).map(|problem| problem.at("/runtime/device", ""));
        }
        // Elsewhere `device: auto` may find a GPU.
        if self.precision == Precision::F32 || !(here || runtime.device == spec::Device::Cpu) {
            return None;
        }
        let message = format!("`precision: {}` needs a GPU, and the steps run on the processor", self.precision.word());
        Some(
            Diagnostic::error(Code::Conflict, message)
                .at("/runtime/precision", "")
                .help("leave `precision` out, or set `device: cuda` on a machine with a GPU"),
        )
    }

    /// Lets the process load the library that can use the device; nothing is said here if there is none.
    pub fn prepare(self) {
        if self.device == Device::Cuda {
            native::prefer_cuda();
        }
    }

    /// Gives the nodes of a step the forms that the device runs best, and the numbers that they compute in. Gives the values that are made in
    /// half precision then, each with the one that it stands for.
    ///
    /// # Errors
    /// A bug: a graph whose types cannot be inferred.
    pub fn settle(self, graph: &mut Graph) -> Result<Vec<(ValueId, ValueId)>> {
        let mut halves = Vec::new();
        if self.device == Device::Cuda {
            // Which operators are better on a GPU is a matter of shapes.
            native::probe(graph, &[])?;
            halves = precision::lower(graph, self.precision);
        }
        kernels::prefer(graph, self.device);
        Ok(halves)
    }

    /// How sessions run on a GPU; none on the processor.
    pub fn cuda(self) -> Option<native::Cuda> {
        let cuda = native::Cuda { tf32: self.precision != Precision::F32, deterministic: self.deterministic };
        (self.device == Device::Cuda).then_some(cuda)
    }

    /// Factor on the loss to begin with, where gradients are in half precision.
    pub fn loss_scale(self) -> Option<f64> {
        (self.device == Device::Cuda && self.precision == Precision::F16).then_some(65_536.0)
    }
}
