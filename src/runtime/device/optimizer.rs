//! The optimizer on the device: one reading and one writing kernel over all parameters, which lie one after the other.

use super::layout::Layout;
use super::scale::{LossScale, SCALER};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::DType;
use crate::kernels::cuda::{Argument, UPDATE, blocks};
use crate::native::Place;
use crate::native::cuda::{DeviceBuffer, Function, Gpu, gpu};
use crate::runtime::update::{Held, Updater};

/// Elements of a chunk; as in `update.cu`.
const CHUNK: usize = 4096;
/// Threads of the kernel that adds the parts.
const DECIDERS: u32 = 1024;
/// Doubles of a slot in front of the terms.
const SLOT: usize = 5;
/// Bytes of a row of parameters.
const ROW: usize = 56;

/// The kernels of `update.cu`.
struct Kernels {
    measure: Function,
    decide: Function,
    update: Function,
    counted: Function,
    collect: Function,
    add: Function,
    advance: Function,
    follow: Function,
    scale_terms: Function,
}

impl Kernels {
    fn compile(gpu: &Gpu, rule: &str) -> Result<Self> {
        let source = format!("{rule}{UPDATE}");
        let find = |name: &str| {
            gpu.kernel(&source, name).map_err(|error| {
                Diagnostic::error(Code::Internal, "the optimizer cannot be compiled for the GPU").note(error)
            })
        };
        Ok(Self {
            measure: find("measure")?,
            decide: find("decide")?,
            update: find("update")?,
            counted: find("counted")?,
            collect: find("collect")?,
            add: find("add")?,
            advance: find("advance")?,
            follow: find("follow")?,
            scale_terms: find("scale_terms")?,
        })
    }
}

/// What a step found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::runtime) struct Found {
    /// ‖g‖ with ∂R, before clipping; not finite where the gradients are not.
    grad_norm: f64,
    /// λ·R before the update.
    pub(in crate::runtime) regularizer: f64,
    /// What was bad.
    pub(in crate::runtime) bad: Bad,
    /// Value of each term, without λ.
    pub(in crate::runtime) terms: Vec<f64>,
}

impl Found {
    /// ‖g‖ with ∂R, before clipping; none of a step that was left out.
    pub(in crate::runtime) fn norm(&self) -> Option<f64> {
        (self.bad != Bad::Skipped).then_some(self.grad_norm)
    }
}

/// What a step found to be bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum Bad {
    /// Nothing.
    Nothing,
    /// Gradients were not finite at a factor on the loss that is lower now; the step was left out.
    Skipped,
    /// A term of the loss.
    Term,
    /// The gradient of a parameter.
    Param(usize),
    /// A step before.
    Before,
}

/// Memory and tables of the optimizer.
pub(super) struct DeviceOptimizer {
    kernels: Kernels,
    params: Layout,
    states: Layout,
    count: usize,
    /// Elements of the stretch of parameters, gaps included.
    elements: usize,
    state_elements: usize,
    chunks: usize,
    owner: DeviceBuffer,
    at: DeviceBuffer,
    length: DeviceBuffer,
    rows: DeviceBuffer,
    weights: DeviceBuffer,
    pub(super) grads: DeviceBuffer,
    /// Gradients of a further batch of a step, before they are added.
    pub(super) more: Option<DeviceBuffer>,
    starts: Option<DeviceBuffer>,
    moments: [Option<DeviceBuffer>; 2],
    average: Option<(f64, DeviceBuffer)>,
    running: DeviceBuffer,
    next: DeviceBuffer,
    running_average: Option<DeviceBuffer>,
    terms: usize,
    term_values: DeviceBuffer,
    parts: DeviceBuffer,
    slots: DeviceBuffer,
    halt: DeviceBuffer,
    scale: DeviceBuffer,
    scaler: Option<DeviceBuffer>,
    clip: f64,
}

/// What the optimizer starts from.
pub(super) struct Setting<'a> {
    pub(super) updater: &'a Updater,
    /// Current values of the parameters and of the running statistics, in order, with their shapes.
    pub(super) params: Vec<(Vec<usize>, &'a [f32])>,
    pub(super) states: Vec<(Vec<usize>, &'a [f32])>,
    /// Pretrained values, empty where no regularizer reads them.
    pub(super) starts: &'a [Vec<f32>],
    /// Averages of the running statistics, in order; none without averaging.
    pub(super) running: Option<Vec<&'a [f32]>>,
    /// Terms of the objective.
    pub(super) terms: usize,
    /// Steps whose findings are kept.
    pub(super) window: usize,
    /// Whether a step has several batches.
    pub(super) several: bool,
    /// Factor on the loss, in half precision.
    pub(super) loss_scale: Option<LossScale>,
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

impl DeviceOptimizer {
    pub(super) fn new(setting: &Setting) -> Result<Self> {
        let gpu = gpu()?;
        let updater = setting.updater;
        let (mut params, mut states) = (Layout::default(), Layout::default());
        for (shape, _) in &setting.params {
            params.push(DType::F32, shape);
        }
        for (shape, _) in &setting.states {
            states.push(DType::F32, shape);
        }
        let count = setting.params.len();
        let [owner, at, length] = chunked(&params, setting);
        let chunks = owner.len() / 4;
        let held = updater.held();
        let moment = |number: usize| -> Result<Option<DeviceBuffer>> {
            if number >= updater.rule().states().len() {
                return Ok(None);
            }
            filled(&params, &mut held.states.iter().map(|states| states[number].as_slice())).map(Some)
        };
        let moments = [moment(0)?, moment(1)?];
        let average = match held.average {
            Some((decay, values)) => Some((*decay, filled(&params, &mut values.iter().map(Vec::as_slice))?)),
            None => None,
        };
        let scaler = setting.loss_scale.map(|scale| table(&scale.to_bytes())).transpose()?;
        let running_average = match &setting.running {
            Some(values) => Some(filled(&states, &mut values.iter().copied())?),
            None => None,
        };
        let has_starts = setting.starts.iter().any(|start| !start.is_empty());
        let starts = has_starts.then(|| filled(&params, &mut setting.starts.iter().map(Vec::as_slice)));
        let terms = setting.terms.max(1);
        Ok(Self {
            kernels: Kernels::compile(gpu, &updater.rule().cuda())?,
            count,
            elements: params.size() / 4,
            state_elements: states.size() / 4,
            chunks,
            owner: table(&owner)?,
            at: table(&at)?,
            length: table(&length)?,
            rows: table(&rows(updater, setting.starts))?,
            weights: filled(&params, &mut setting.params.iter().map(|(_, values)| *values))?,
            grads: DeviceBuffer::zeros(params.size())?,
            more: if setting.several { Some(DeviceBuffer::zeros(params.size())?) } else { None },
            starts: starts.transpose()?,
            moments,
            average,
            running: filled(&states, &mut setting.states.iter().map(|(_, values)| *values))?,
            next: DeviceBuffer::zeros(states.size())?,
            running_average,
            terms,
            term_values: DeviceBuffer::zeros(256 * terms)?,
            parts: DeviceBuffer::zeros(16 * chunks.max(1))?,
            slots: DeviceBuffer::zeros(8 * (SLOT + terms) * setting.window)?,
            halt: DeviceBuffer::zeros(8)?,
            scale: DeviceBuffer::zeros(8)?,
            scaler,
            clip: updater.clip_norm().unwrap_or(0.0),
            params,
            states,
        })
    }

    /// Where a parameter lies.
    pub(super) fn param(&self, number: usize) -> Place {
        self.params.place(number, self.weights.address())
    }

    /// Where its gradient goes, in the stretch that starts at an address.
    pub(super) fn gradient(&self, number: usize, start: u64) -> Place {
        self.params.place(number, start)
    }

    /// Where a running statistic lies, and its next value.
    pub(super) fn state(&self, number: usize) -> [Place; 2] {
        [&self.running, &self.next].map(|buffer| self.states.place(number, buffer.address()))
    }

    /// Where the value of a term goes.
    pub(super) fn term(&self, number: usize, shape: Vec<usize>) -> Place {
        Place { address: self.term_values.address() + 256 * number as u64, dtype: DType::F32, shape }
    }

    fn slot(&self, number: usize) -> u64 {
        self.slots.address() + (8 * (SLOT + self.terms) * number) as u64
    }

    /// Multiplies the λ of a batch by the factor on the loss.
    pub(super) fn scale_loss(&self, lambda: u64) -> Result<()> {
        let Some(scaler) = &self.scaler else { return Ok(()) };
        let arguments = [address(lambda), Argument::Int(self.terms as i32), address(scaler.address())];
        gpu()?.call(self.kernels.scale_terms, self.terms.div_ceil(64), 64, &arguments)
    }

    /// After a batch: its terms are collected, its gradients added, the running statistics move on.
    pub(super) fn gather(&self, slot: usize, first: bool) -> Result<()> {
        let gpu = gpu()?;
        let halt = address(self.halt.address());
        let terms = [
            address(self.slot(slot)),
            address(self.term_values.address()),
            Argument::Int(self.terms as i32),
            Argument::Int(i32::from(first)),
            halt,
        ];
        gpu.call(self.kernels.collect, self.terms.div_ceil(64), 64, &terms)?;
        if let (false, Some(more)) = (first, &self.more) {
            let count = Argument::Long(self.elements as i64);
            let arguments = [address(self.grads.address()), address(more.address()), count];
            gpu.call(self.kernels.add, blocks(self.elements), 256, &arguments)?;
        }
        let count = Argument::Long(self.state_elements as i64);
        let arguments = [address(self.running.address()), address(self.next.address()), count, halt];
        gpu.call(self.kernels.advance, blocks(self.state_elements), 256, &arguments)
    }

    /// One step at a factor of the schedule.
    pub(super) fn step(&self, slot: usize, factor: f64) -> Result<()> {
        let gpu = gpu()?;
        let of = |buffer: &Option<DeviceBuffer>| address(buffer.as_ref().map_or(0, DeviceBuffer::address));
        let (owner, at, length) = (&self.owner, &self.at, &self.length);
        let tables = [&self.rows, owner, at, length].map(|buffer| address(buffer.address()));
        let (weights, grads) = (address(self.weights.address()), address(self.grads.address()));
        let parts = address(self.parts.address());
        let (slot, halt, scale) =
            (address(self.slot(slot)), address(self.halt.address()), address(self.scale.address()));
        let (starts, scaler) = (of(&self.starts), of(&self.scaler));
        let measured = [&tables[..], &[weights, starts, grads, scaler, parts]].concat();
        gpu.call(self.kernels.measure, self.chunks, 256, &measured)?;
        let decided = [
            tables[1],
            parts,
            Argument::Int(self.chunks as i32),
            Argument::Double(self.clip),
            Argument::Int(self.terms as i32),
            slot,
            halt,
            scale,
            scaler,
        ];
        gpu.call(self.kernels.decide, 1, DECIDERS, &decided)?;
        let (decay, average) = self.average.as_ref().map_or((0.0, 0), |(decay, buffer)| (*decay, buffer.address()));
        let moved = [weights, starts, grads, of(&self.moments[0]), of(&self.moments[1]), address(average)];
        let rest = [Argument::Double(decay), Argument::Double(factor), halt, scale, slot];
        gpu.call(self.kernels.update, self.chunks, 256, &[&tables[..], &moved, &rest].concat())?;
        if let Some(average) = &self.running_average {
            // The first parameter's count says whether this is the first step.
            let averaged = address(self.rows.address() + 48);
            let count = Argument::Long(self.state_elements as i64);
            let arguments = [
                address(self.running.address()),
                address(average.address()),
                count,
                Argument::Double(decay),
                averaged,
                halt,
            ];
            gpu.call(self.kernels.follow, blocks(self.state_elements), 256, &arguments)?;
        }
        let count = Argument::Int(self.count as i32);
        gpu.call(self.kernels.counted, self.count.div_ceil(256), 256, &[tables[0], count, halt])
    }

    /// What the first `count` slots hold, after everything that was given to the device.
    pub(super) fn found(&self, count: usize) -> Result<Vec<Found>> {
        let mut bytes = vec![0u8; 8 * (SLOT + self.terms) * count];
        self.slots.read(0, &mut bytes)?;
        Ok(found(&bytes, self.terms))
    }

    /// Current values of the parameters and of the running statistics, in order.
    pub(super) fn values(&self) -> Result<[Vec<Vec<f32>>; 2]> {
        Ok([read(&self.params, &self.weights)?, read(&self.states, &self.running)?])
    }

    /// The factor on the loss, in half precision.
    pub(super) fn loss_scale(&self) -> Result<Option<LossScale>> {
        let Some(scaler) = &self.scaler else { return Ok(None) };
        let mut bytes = [0; SCALER];
        scaler.read(0, &mut bytes)?;
        Ok(Some(LossScale::from_bytes(bytes)))
    }

    /// Averages of the running statistics, in order.
    pub(super) fn running_averages(&self) -> Result<Option<Vec<Vec<f32>>>> {
        self.running_average.as_ref().map(|buffer| read(&self.states, buffer)).transpose()
    }

    /// Moments, averages and counts go back to where checkpoints are made from.
    pub(super) fn give_back(&self, updater: &mut Updater) -> Result<()> {
        let mut moments = Vec::new();
        for buffer in self.moments.iter().flatten() {
            moments.push(read(&self.params, buffer)?);
        }
        let average = self.average.as_ref().map(|(_, buffer)| read(&self.params, buffer)).transpose()?;
        let mut rows = vec![0u8; ROW * self.count];
        self.rows.read(0, &mut rows)?;
        let count = |row: &[u8], at: usize| i64::from_ne_bytes(std::array::from_fn(|i| row[at + i]));
        let counts: Vec<[u64; 2]> =
            rows.chunks_exact(ROW).map(|row| [40, 48].map(|at| count(row, at).max(0) as u64)).collect();
        updater.take_back(moments, average, &counts);
        Ok(())
    }
}

/// What slots with so many terms say.
fn found(bytes: &[u8], terms: usize) -> Vec<Found> {
    let eight = |bytes: &[u8]| -> [u8; 8] { std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0)) };
    let slot = |slot: &[u8]| {
        let words: Vec<[u8; 8]> = slot.chunks_exact(8).map(eight).collect();
        let number = |i: usize| f64::from_ne_bytes(words[i]);
        let bad = match i64::from_ne_bytes(words[4]) {
            0 => Bad::Nothing,
            1 => Bad::Term,
            -1 => Bad::Before,
            -2 => Bad::Skipped,
            param => Bad::Param((param - 2) as usize),
        };
        let terms = (SLOT..SLOT + terms).map(number).collect();
        Found { grad_norm: number(0), regularizer: number(1), bad, terms }
    };
    bytes.chunks_exact(8 * (SLOT + terms)).map(slot).collect()
}

fn address(value: u64) -> Argument {
    Argument::Long(value as i64)
}

/// A stretch with the values of tensors; what is empty stays zero.
fn filled(layout: &Layout, values: &mut dyn Iterator<Item = &[f32]>) -> Result<DeviceBuffer> {
    let mut buffer = DeviceBuffer::zeros(layout.size())?;
    for (number, values) in values.enumerate().filter(|(_, values)| !values.is_empty()) {
        buffer.write(layout.at(number), &floats(values))?;
    }
    Ok(buffer)
}

fn table(bytes: &[u8]) -> Result<DeviceBuffer> {
    let mut buffer = DeviceBuffer::zeros(bytes.len().max(ROW))?;
    buffer.write(0, bytes)?;
    Ok(buffer)
}

/// Parameter, first element and length of every chunk.
fn chunked(params: &Layout, setting: &Setting) -> [Vec<u8>; 3] {
    let [mut owner, mut at, mut length] = [const { Vec::new() }; 3];
    for (index, (_, values)) in setting.params.iter().enumerate() {
        for from in (0..values.len()).step_by(CHUNK) {
            owner.extend((index as i32).to_ne_bytes());
            at.extend(((params.at(index) / 4 + from) as i64).to_ne_bytes());
            length.extend((CHUNK.min(values.len() - from) as i32).to_ne_bytes());
        }
    }
    [owner, at, length]
}

/// The values of a stretch of tensors.
fn read(layout: &Layout, buffer: &DeviceBuffer) -> Result<Vec<Vec<f32>>> {
    let mut bytes = vec![0u8; buffer.size()];
    buffer.read(0, &mut bytes)?;
    let float = |raw: &[u8]| f32::from_ne_bytes([raw[0], raw[1], raw[2], raw[3]]);
    Ok((0..layout.len()).map(|number| bytes[layout.range(number)].chunks_exact(4).map(float).collect()).collect())
}

/// The rows of `Param` in `update.cu`.
fn rows(updater: &Updater, starts: &[Vec<f32>]) -> Vec<u8> {
    let Held { counts, average, .. } = updater.held();
    let mut bytes = Vec::new();
    for (index, info) in updater.infos().iter().enumerate() {
        let slopes = updater.slopes(index, starts.get(index).is_some_and(|start| !start.is_empty()));
        for value in [info.lr, info.weight_decay, slopes.l1, slopes.l2, slopes.pull] {
            bytes.extend(value.to_ne_bytes());
        }
        let averaged = average.and_then(|(_, values)| values.get(index)).is_some_and(|value| !value.is_empty());
        bytes.extend((counts[index] as i64).to_ne_bytes());
        bytes.extend(i64::from(averaged).to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_was_left_out_has_no_norm() {
        let slot = |norm: f64, bad: i64| {
            let numbers = [norm, 0.5, 0.0, 2.0].into_iter().flat_map(f64::to_ne_bytes);
            numbers.chain(bad.to_ne_bytes()).chain(0.25f64.to_ne_bytes()).collect::<Vec<u8>>()
        };
        let bytes = [slot(3.0, 0), slot(f64::INFINITY, -2), slot(f64::NAN, 1), slot(f64::INFINITY, 5)].concat();
        let made = found(&bytes, 1);
        assert_eq!(
            made.iter().map(|found| found.bad).collect::<Vec<_>>(),
            [Bad::Nothing, Bad::Skipped, Bad::Term, Bad::Param(3)]
        );
        assert_eq!((made[0].norm(), made[1].norm()), (Some(3.0), None));
        assert!(made.iter().all(|found| found.regularizer == 0.5 && found.terms == [0.25]));
    }
}
