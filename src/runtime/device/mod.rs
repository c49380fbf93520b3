//! Training on a GPU: weights, gradients, moments and activations stay on the device. Only batches go up, while the step before runs, and
//! what steps found comes down for several of them at a time.
//!
//! A bad value halts the device: from then on nothing is written there, so that the weights are those before the bad step however many
//! steps were given to it since.

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

/// What `--profile` is told.
pub(super) fn not_timed() -> crate::diag::Diagnostic {
    let message = "`--profile` times operators on the processor only";
    crate::diag::Diagnostic::error(crate::diag::Code::NotSupported, message)
        .help("use the vendor's profiler around `pipe bench --device cuda`, or `--device cpu`")
}
