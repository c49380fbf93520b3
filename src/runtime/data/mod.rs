//! Datasets, splits, and the loader that turns samples into batches in the background.
//!
//! What a batch holds depends only on the dataset, the transforms, the key and the rows asked for: not on threads, timing or order.

mod batch;
mod dataset;
mod loader;
mod pipeline;
mod split;
#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchSpec};
pub use dataset::Dataset;
pub use loader::{Options, Stream, pool, stream};
pub use pipeline::Pipeline;
pub use split::split;
