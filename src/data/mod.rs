//! Data on its way to a step: named datasets, their splits, the transforms of a sample, and batches decoded ahead.
//!
//! Absence: nothing here knows a model, a loss or an epoch's order; who asks says which rows a batch holds.

mod dataset;
mod pipeline;
mod scan;
mod split;
mod stream;
mod tree;

pub use dataset::Dataset;
pub use pipeline::{Pipeline, REVISION};
pub use split::split;
pub use stream::{Batch, BatchSpec, Batches, stream};
