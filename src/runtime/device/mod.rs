//! Training on a GPU: weights, gradients, moments and activations stay on the device. Only batches go up, while the step before runs, and
//! what steps found comes down for several of them at a time.
//!
//! A bad value halts the device: from then on nothing is written there, so that the weights are those before the bad step however many
//! steps were given to it since.

use crate::diag::{Code, Diagnostic};
use crate::graph::Target;
use crate::kernels::Device;
use crate::world::env::{CUDA_LAUNCH_BLOCKING, launches_block};

mod ceiling;
mod feeding;
mod layout;
mod memory;
mod optimizer;
mod scale;
mod steps;

pub(super) use ceiling::ceiling;
pub(super) use memory::{explain, explain_with};
pub(super) use optimizer::Bad;
pub(super) use scale::LossScale;
pub(super) use steps::{DeviceSteps, Micros, Start, WINDOW};

/// Why operators cannot be timed: ONNX Runtime's profile has the times of launches, which are those of kernels only if each is waited for.
pub(super) fn not_timed(target: Target) -> Option<Diagnostic> {
    if target.device == Device::Cpu || launches_block() {
        return None;
    }
    let message = format!("operators are timed on a GPU only where `{CUDA_LAUNCH_BLOCKING}` is 1");
    let problem = Diagnostic::error(Code::NotSupported, message);
    Some(
        problem
            .help("set it before the process begins; `pipe run --profile` and `pipe bench --profile` do so themselves"),
    )
}
