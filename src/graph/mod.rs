//! Surgery on the source model: new layers, freezing, losses, the cut behind the frozen prefix.
//!
//! [`Network`] is the model in evaluation form with every parameter as an initializer; [`TrainGraph`] and [`EvalGraph`] are made of it
//! for one batch size. Absence: nothing here reads data or runs a graph; shapes come from the probe in `native`.

mod control;
mod cut;
mod flops;
mod freeze;
mod initial;
mod input;
mod liveness;
pub mod names;
mod network;
mod objective;
pub(crate) mod patterns;
mod precision;
mod rebatch;
mod recompute;
mod slices;
mod surgery;
mod target;
mod train;
mod transposes;
mod whole;
mod written_out;

pub use cut::{Cut, find_cut};
pub use flops::Flops;
pub(crate) use freeze::void as void_freeze;
pub use freeze::{Trainable, resolve as resolve_freeze};
pub use liveness::{peak_bytes, peak_bytes_beside_outputs};
pub use network::{BATCH, Network, Param};
pub use objective::{Objective, TermGraph, TermPlan};
pub use rebatch::{Freed, free_batch};
pub use recompute::Recomputed;
pub(crate) use recompute::{unmatched_nodes, void_nodes};
pub use target::Target;
pub(crate) use train::remove_dropout;
pub use train::{EvalGraph, State, StepForm, TrainGraph, eval_graph, prefix_graph, train_graph};
pub(crate) use whole::usual_size;
pub use whole::{Chosen, index_bound};
