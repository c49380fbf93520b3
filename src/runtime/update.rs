//! The optimizer step on the host, in two passes over all parameters (DESIGN D2).
//!
//! The first pass only reads: it tests gradients for NaN and infinity, sums λ·R at the weights before the step and Σ(g + ∂R)².
//! Nothing has changed when it finds a bad value. The second pass clips and updates weights and state in place.
//!
//! Work is cut into chunks of fixed size, and sums are formed chunk by chunk in one order, so bits do not depend on the number of
//! threads. It runs on the current rayon pool and allocates nothing.

use crate::diag::{Code, Diagnostic, Result};
use crate::parts::optimizers::{Optimizer, Step};
use crate::parts::regularizers::Regularizer;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Elements a task works on.
const CHUNK: usize = 1 << 16;
/// Elements of a gradient that are copied to the stack to add ∂R.
const BLOCK: usize = 1 << 12;
/// Most state tensors that a rule may have.
const MOST_STATES: usize = 4;

/// A parameter that is updated.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamInfo {
    /// Unique name; state is kept under it.
    pub name: String,
    /// Number of elements.
    pub len: usize,
    /// Base learning rate, group included, schedule not.
    pub lr: f64,
    /// Decoupled weight decay, group included.
    pub weight_decay: f64,
    /// Indices of the penalties that act on it.
    pub penalties: Vec<usize>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// √Σ(g + ∂R)² over all parameters, before clipping.
    pub grad_norm: f64,
    /// Σλ·R at the weights before the step.
    pub regularizer: f64,
    /// Whether the gradient was scaled down.
    pub clipped: bool,
}

/// A gradient or a penalty was NaN or infinite; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite {
    /// Index of the first such parameter.
    pub param: usize,
}

/// State of an optimizer as a checkpoint holds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// `parameter.state` → elements.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// Parameter → number of updates that it has had.
    pub counts: BTreeMap<String, u64>,
}

/// Sums over one chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Partial {
    squares: f64,
    penalty: f64,
}

struct Slot {
    info: ParamInfo,
    count: u64,
    /// State of a rule with k tensors: for each chunk, its k pieces one after the other.
    state: Vec<f32>,
    partials: Vec<Partial>,
}

/// Updates a fixed list of parameters.
pub struct Updater {
    rule: Box<dyn Optimizer>,
    penalties: Vec<Box<dyn Regularizer>>,
    clip_norm: Option<f64>,
    slots: Vec<Slot>,
}

impl Updater {
    /// An updater without history.
    ///
    /// # Errors
    /// `P0009` when a parameter names a penalty that is not there or the rule has too many states.
    pub fn new(
        rule: Box<dyn Optimizer>,
        params: &[ParamInfo],
        penalties: Vec<Box<dyn Regularizer>>,
        clip_norm: Option<f64>,
    ) -> Result<Self> {
        let states = rule.states().len();
        let known = |param: &ParamInfo| param.penalties.iter().all(|index| *index < penalties.len());
        if states > MOST_STATES || !params.iter().all(known) {
            return Err(Diagnostic::error(Code::Internal, "an optimizer was set up with indices out of range"));
        }
        let slots = params.iter().map(|info| Slot {
            info: info.clone(),
            count: 0,
            state: vec![0.0; info.len * states],
            partials: vec![Partial::default(); info.len.div_ceil(CHUNK)],
        });
        let slots = slots.collect();
        Ok(Self { rule, penalties, clip_norm, slots })
    }

    /// The parameters in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &ParamInfo> {
        self.slots.iter().map(|slot| &slot.info)
    }

    /// Whether parameter `index` has a penalty that reads its pretrained values.
    pub fn needs_start(&self, index: usize) -> bool {
        self.slots[index].info.penalties.iter().any(|penalty| self.penalties[*penalty].needs_start())
    }

    /// One update of all parameters. `starts` holds pretrained values where [`Updater::needs_start`] says so and there are any, and
    /// empty slices elsewhere. The gradient is `grads` × `grad_scale` + ∂R; the learning rate is each parameter's × `lr_factor`.
    ///
    /// # Errors
    /// [`NotFinite`], and then weights and state are as before.
    ///
    /// # Panics
    /// When the slices do not fit the list of parameters: a bug of the caller, never of input.
    pub fn step(
        &mut self,
        lr_factor: f64,
        grad_scale: f64,
        params: &mut [&mut [f32]],
        starts: &[&[f32]],
        grads: &[&[f32]],
    ) -> std::result::Result<StepReport, NotFinite> {
        let count = self.slots.len();
        assert!([params.len(), starts.len(), grads.len()] == [count; 3], "one slice for each parameter");
        for (i, slot) in self.slots.iter().enumerate() {
            let len = slot.info.len;
            assert!(params[i].len() == len && grads[i].len() == len, "slices fit `{}`", slot.info.name);
            assert!(starts[i].is_empty() || starts[i].len() == len, "pretrained values fit `{}`", slot.info.name);
        }
        let penalties = &self.penalties;
        self.slots.par_iter_mut().enumerate().for_each(|(i, slot)| {
            let Slot { info, partials, .. } = slot;
            let (param, start, grad) = (&*params[i], starts[i], grads[i]);
            partials.par_iter_mut().enumerate().for_each(|(chunk, partial)| {
                let range = chunk * CHUNK..((chunk + 1) * CHUNK).min(info.len);
                let start = if start.is_empty() { start } else { &start[range.clone()] };
                *partial = survey(penalties, &info.penalties, grad_scale, &param[range.clone()], start, &grad[range]);
            });
        });
        let report = self.reduce()?;
        let clip = self.clip_norm.map_or(1.0, |limit| (limit / (report.grad_norm + 1e-6)).min(1.0));
        let rule = self.rule.as_ref();
        let states = rule.states().len();
        self.slots.par_iter_mut().zip(params.par_iter_mut()).enumerate().for_each(|(i, (slot, param))| {
            let Slot { info, state, count, .. } = slot;
            let (start, grad) = (starts[i], grads[i]);
            let step = Step { lr: info.lr * lr_factor, weight_decay: info.weight_decay, count: *count, scale: clip };
            let update = |chunk: usize, param: &mut [f32], state: &mut [f32]| {
                let from = chunk * CHUNK;
                let start = if start.is_empty() { start } else { &start[from..from + param.len()] };
                let grad = &grad[from..from + param.len()];
                apply(rule, penalties, &info.penalties, grad_scale, step, param, start, grad, state);
            };
            if states == 0 {
                param.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, param)| update(chunk, param, &mut []));
            } else {
                let chunks = param.par_chunks_mut(CHUNK).zip(state.par_chunks_mut(CHUNK * states)).enumerate();
                chunks.for_each(|(chunk, (param, state))| update(chunk, param, state));
            }
            *count += 1;
        });
        Ok(StepReport { clipped: clip < 1.0, ..report })
    }

    /// Sums of the first pass, in the order of parameters and chunks.
    fn reduce(&self) -> std::result::Result<StepReport, NotFinite> {
        let (mut squares, mut regularizer) = (0.0, 0.0);
        for (param, slot) in self.slots.iter().enumerate() {
            for partial in &slot.partials {
                // Squares of finite f32 cannot overflow an f64, so the sum is finite exactly when every element is.
                if !(partial.squares.is_finite() && partial.penalty.is_finite()) {
                    return Err(NotFinite { param });
                }
                squares += partial.squares;
                regularizer += partial.penalty;
            }
        }
        Ok(StepReport { grad_norm: squares.sqrt(), regularizer, clipped: false })
    }

    /// State for a checkpoint or for the updater of the next phase.
    pub fn state(&self) -> State {
        let names = self.rule.states();
        let mut state = State::default();
        for slot in &self.slots {
            state.counts.insert(slot.info.name.clone(), slot.count);
            for (index, name) in names.iter().enumerate() {
                let pieces = slot.state.chunks(CHUNK * names.len());
                let elements =
                    pieces.flat_map(|piece| piece.chunks(piece.len() / names.len()).nth(index).unwrap_or(&[]));
                state.tensors.insert(format!("{}.{name}", slot.info.name), elements.copied().collect());
            }
        }
        state
    }

    /// Takes over the state of the parameters that it names. Others of `self` keep what they have, and what belongs to no parameter
    /// of `self`, now frozen, is left out. Returns the parameters without state in it.
    ///
    /// # Errors
    /// `P0603` when a tensor has the wrong length or a parameter has only a part of its state; `self` is then unchanged.
    pub fn set_state(&mut self, state: &State) -> Result<Vec<String>> {
        let names = self.rule.states();
        let mut missing = Vec::new();
        let mut found = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let name = &slot.info.name;
            let tensors: Vec<&Vec<f32>> =
                names.iter().filter_map(|s| state.tensors.get(&format!("{name}.{s}"))).collect();
            let Some(count) = state.counts.get(name).filter(|_| names.is_empty() || !tensors.is_empty()) else {
                missing.push(name.clone());
                continue;
            };
            if tensors.len() != names.len() || tensors.iter().any(|tensor| tensor.len() != slot.info.len) {
                let text = format!("the optimizer state of `{name}` does not fit the parameter");
                return Err(Diagnostic::error(Code::CheckpointBad, text)
                    .note(format!("`{}` elements and the states {names:?} are needed", slot.info.len)));
            }
            found.push((index, *count, tensors));
        }
        for (index, count, tensors) in found {
            let slot = &mut self.slots[index];
            slot.count = count;
            if names.is_empty() {
                continue;
            }
            for (chunk, piece) in slot.state.chunks_mut(CHUNK * names.len()).enumerate() {
                let len = piece.len() / names.len();
                for (part, tensor) in piece.chunks_mut(len).zip(&tensors) {
                    part.copy_from_slice(&tensor[chunk * CHUNK..chunk * CHUNK + len]);
                }
            }
        }
        Ok(missing)
    }
}

/// The gradient of a block with ∂R, on the stack.
fn with_penalties(
    penalties: &[Box<dyn Regularizer>],
    chosen: &[usize],
    grad_scale: f64,
    param: &[f32],
    start: &[f32],
    grad: &[f32],
    sum: &mut [f32],
) {
    let scale = grad_scale as f32;
    for (sum, g) in sum.iter_mut().zip(grad) {
        *sum = g * scale;
    }
    for index in chosen {
        penalties[*index].add_gradient(1.0, param, start, sum);
    }
}

/// First pass over a chunk.
fn survey(
    penalties: &[Box<dyn Regularizer>],
    chosen: &[usize],
    grad_scale: f64,
    param: &[f32],
    start: &[f32],
    grad: &[f32],
) -> Partial {
    if chosen.is_empty() {
        return Partial { squares: squares(grad) * grad_scale * grad_scale, penalty: 0.0 };
    }
    let mut partial = Partial::default();
    let mut sum = [0.0; BLOCK];
    for from in (0..param.len()).step_by(BLOCK) {
        let range = from..(from + BLOCK).min(param.len());
        let start = if start.is_empty() { start } else { &start[range.clone()] };
        let (param, grad) = (&param[range.clone()], &grad[range]);
        let sum = &mut sum[..param.len()];
        with_penalties(penalties, chosen, grad_scale, param, start, grad, sum);
        partial.squares += squares(sum);
        partial.penalty += chosen.iter().map(|index| penalties[*index].value(param, start)).sum::<f64>();
    }
    partial
}

/// Second pass over a chunk; `state` holds the pieces of all state tensors one after the other.
#[expect(clippy::too_many_arguments, reason = "all that a chunk of a parameter consists of")]
fn apply(
    rule: &dyn Optimizer,
    penalties: &[Box<dyn Regularizer>],
    chosen: &[usize],
    grad_scale: f64,
    step: Step,
    param: &mut [f32],
    start: &[f32],
    grad: &[f32],
    state: &mut [f32],
) {
    let states = rule.states().len();
    let len = param.len();
    let mut sum = [0.0; BLOCK];
    // Without penalties the gradient is read where it lies, all at once.
    let block = if chosen.is_empty() { CHUNK } else { BLOCK };
    for from in (0..len).step_by(block) {
        let range = from..(from + block).min(len);
        let mut views: [&mut [f32]; MOST_STATES] = Default::default();
        for (view, piece) in views.iter_mut().zip(state.chunks_exact_mut(len)) {
            *view = &mut piece[range.clone()];
        }
        let param = &mut param[range.clone()];
        if chosen.is_empty() {
            let step = Step { scale: step.scale * grad_scale, ..step };
            rule.update(step, param, &grad[range], &mut views[..states]);
            continue;
        }
        let start = if start.is_empty() { start } else { &start[range.clone()] };
        let sum = &mut sum[..param.len()];
        with_penalties(penalties, chosen, grad_scale, param, start, &grad[range], sum);
        rule.update(step, param, sum, &mut views[..states]);
    }
}

/// Σx² in f64, in eight lanes so that it runs in vector registers, always in the same order.
fn squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    let (full, rest) = values.as_chunks::<8>();
    for eight in full {
        for (lane, value) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(*value) * f64::from(*value);
        }
    }
    let tail: f64 = rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    lanes.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests;
