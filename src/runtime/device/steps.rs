//! The steps of a phase on the device.

use super::feeding::{Inputs, Stage};
use super::optimizer::{DeviceOptimizer, Found, Setting};
use super::scale::LossScale;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{TrainGraph, peak_bytes_beside_outputs};
use crate::kernels::Device;
use crate::native::Binding;
use crate::native::cuda::{Fallback, Recorded, Refusal, fallbacks, gpu};
use crate::native::{Options, Session};
use crate::runtime::average::Statistics;
use crate::runtime::profile::{ProfileTable, Profiling};
use crate::runtime::step::Micro;
use crate::runtime::update::Updater;
use crate::runtime::weights::Weights;
use crate::world::clock;
use crate::world::env::launches_block;
use std::collections::BTreeMap;
use std::path::Path;

/// Steps that may be given to the device before what they found is read.
pub(in crate::runtime) const WINDOW: usize = 16;

/// A session with its batches and bindings.
struct Loaded {
    session: Session,
    batch: usize,
    inputs: Inputs,
    stages: [Stage; 2],
    turn: usize,
    /// By stage, and by whether gradients go where they are added from.
    ways: BTreeMap<(usize, bool), Way>,
    /// Whether steps may be recorded.
    records: bool,
    graph: TrainGraph,
    runs: usize,
}

/// What is timed beside the session.
struct Timed {
    profiling: Profiling,
    /// Seconds of the optimizer in each step.
    optimizer: Vec<f64>,
}

/// A binding, and what it gives to the device once that was recorded.
struct Way {
    binding: Binding,
    /// Runs that are left until it is recorded; none where it is not.
    until: Option<usize>,
    recorded: Option<std::result::Result<Recorded, Refusal>>,
}

/// Runs before a recording: in these, memory is taken and convolutions are timed.
const BEFORE: usize = 3;

impl Way {
    fn run(&mut self, session: &mut Session) -> Result<()> {
        if let Some(Ok(recorded)) = &self.recorded {
            return recorded.launch();
        }
        match self.until {
            Some(0) => {
                self.until = None;
                self.recorded = Some(Recorded::of(|| self.binding.run(session))?);
                self.run(session)
            }
            left => {
                self.until = left.map(|left| left - 1);
                self.binding.run(session)
            }
        }
    }
}

/// Everything that a phase has on the device.
pub(in crate::runtime) struct DeviceSteps {
    loaded: Vec<Loaded>,
    optimizer: DeviceOptimizer,
    pending: usize,
    timed: Option<Timed>,
}

/// The batches of a step, with what its terms are divided by and weighed with.
pub(in crate::runtime) struct Micros<'a> {
    /// The batches.
    pub(in crate::runtime) batches: Vec<(&'a Micro, usize)>,
    /// One over the weight of all samples, for each term.
    pub(in crate::runtime) inverse: &'a [f64],
    /// λ of each term.
    pub(in crate::runtime) lambda: &'a [f64],
    /// The schedule's factor.
    pub(in crate::runtime) factor: f64,
}

/// What the steps of a phase start from.
pub(in crate::runtime) struct Start<'a> {
    /// The step, and the one of a partial last batch.
    pub(in crate::runtime) graphs: Vec<TrainGraph>,
    pub(in crate::runtime) updater: &'a Updater,
    pub(in crate::runtime) statistics: Option<&'a Statistics>,
    pub(in crate::runtime) starts: &'a [Vec<f32>],
    pub(in crate::runtime) weights: &'a Weights,
    /// Whether a step has several batches.
    pub(in crate::runtime) several: bool,
    /// Factor on the loss, in half precision.
    pub(in crate::runtime) loss_scale: Option<LossScale>,
    /// Whether operators are timed, of the first of the graphs.
    pub(in crate::runtime) profile: bool,
    pub(in crate::runtime) options: &'a Options,
}

impl DeviceSteps {
    /// Loads the graphs and takes everything that moves to the device.
    pub(in crate::runtime) fn new(start: Start) -> Result<Self> {
        let first = start.graphs.first().ok_or_else(|| Diagnostic::error(Code::Internal, "a phase without a step"))?;
        let value = |name: &str| -> Result<(Vec<usize>, &[f32])> {
            let buffer = start.weights.get(name)?;
            Ok((buffer.shape(), buffer.f32()))
        };
        let params = first.params.iter().map(|(name, _)| value(name)).collect::<Result<Vec<_>>>()?;
        let states = first.states.iter().map(|state| value(&state.name)).collect::<Result<Vec<_>>>()?;
        let averages: Option<BTreeMap<&str, &[f32]>> = start
            .statistics
            .map(|statistics| statistics.values().map(|(name, value)| (name.as_str(), value)).collect());
        let running = averages.as_ref().map(|averages| {
            first.states.iter().map(|state| averages.get(state.name.as_str()).copied().unwrap_or_default()).collect()
        });
        let optimizer = DeviceOptimizer::new(&Setting {
            updater: start.updater,
            params,
            states,
            starts: start.starts,
            running,
            terms: first.terms.len(),
            window: WINDOW,
            several: start.several,
            loss_scale: start.loss_scale,
        })?;
        let profiling = if start.profile { Some(Profiling::new(first)?) } else { None };
        let mut options = Options { profile: profiling.as_ref().map(Profiling::prefix), ..start.options.clone() };
        let mut loaded = Vec::new();
        for graph in start.graphs {
            loaded.push(Loaded::new(graph, &options)?);
            options.profile = None;
        }
        let timed = profiling.map(|profiling| Timed { profiling, optimizer: Vec::new() });
        Ok(Self { loaded, optimizer, pending: 0, timed })
    }

    /// Nodes of a step that run on the processor.
    pub(in crate::runtime) fn fallbacks(&self) -> Result<Vec<Fallback>> {
        self.loaded.first().map_or(Ok(Vec::new()), |loaded| fallbacks(&loaded.session))
    }

    /// Steps whose findings were not read yet.
    pub(in crate::runtime) fn pending(&self) -> usize {
        self.pending
    }

    /// Gives a step to the device. At most [`WINDOW`] may be pending.
    pub(in crate::runtime) fn give(&mut self, micros: &Micros) -> Result<()> {
        let mut seconds = 0.0;
        for (index, (micro, rows)) in micros.batches.iter().enumerate() {
            let known = self.loaded.iter().position(|loaded| loaded.batch == *rows).unwrap_or(0);
            let Some(loaded) = self.loaded.get_mut(known) else { continue };
            loaded.run(&self.optimizer, micro, micros.inverse, micros.lambda, index > 0)?;
            seconds += self.beside(|optimizer| optimizer.gather(self.pending, index == 0))?;
        }
        seconds += self.beside(|optimizer| optimizer.step(self.pending, micros.factor))?;
        self.pending += 1;
        if let Some(timed) = &mut self.timed {
            timed.optimizer.push(seconds);
        }
        Ok(())
    }

    /// Lets the optimizer do something; how long it took, where that is timed.
    fn beside(&self, work: impl FnOnce(&DeviceOptimizer) -> Result<()>) -> Result<f64> {
        if self.timed.is_none() {
            return work(&self.optimizer).map(|()| 0.0);
        }
        Self::wait()?;
        let began = clock::now();
        work(&self.optimizer)?;
        Self::wait()?;
        Ok(began.seconds())
    }

    /// Whether steps were recorded, or why not; none where that was not tried.
    pub(in crate::runtime) fn recorded(&self) -> Option<std::result::Result<(), Refusal>> {
        let ways = self.loaded.iter().flat_map(|loaded| loaded.ways.values());
        // An error is more than a success.
        ways.filter_map(|way| way.recorded.as_ref()).map(|made| made.as_ref().map(|_| ()).map_err(|why| *why)).max()
    }

    /// Runs of whole batches so far.
    pub(in crate::runtime) fn runs(&self) -> usize {
        self.loaded.first().map_or(0, |loaded| loaded.runs)
    }

    /// Ends timing, writes the trace and sums it up; `None` when nothing is timed or nothing ran. Later runs are not timed.
    pub(in crate::runtime) fn end_profile(&mut self, trace: &Path, title: &str) -> Result<Option<ProfileTable>> {
        let runs = self.runs();
        let (Some(timed), Some(loaded)) = (self.timed.take().filter(|_| runs > 0), self.loaded.first_mut()) else {
            return Ok(None);
        };
        let table = timed.profiling.finish(&loaded.session.end_profile()?, trace, title)?;
        Ok(Some(table.with_optimizer(&timed.optimizer)))
    }

    /// Runs forward and backward alone, for timing.
    pub(in crate::runtime) fn run(&mut self, micros: &Micros) -> Result<()> {
        match (self.loaded.first_mut(), micros.batches.first()) {
            (Some(loaded), Some((micro, _))) => {
                loaded.run(&self.optimizer, micro, micros.inverse, micros.lambda, false)
            }
            _ => Ok(()),
        }
    }

    /// Waits for everything and tells what the pending steps found.
    pub(in crate::runtime) fn drain(&mut self) -> Result<Vec<Found>> {
        self.optimizer.found(std::mem::take(&mut self.pending))
    }

    /// Waits until the device has nothing to do.
    pub(in crate::runtime) fn wait() -> Result<()> {
        gpu()?.wait()
    }

    /// The factor on the loss as the steps so far have moved it; none but in half precision.
    pub(in crate::runtime) fn loss_scale(&self) -> Result<Option<LossScale>> {
        self.optimizer.loss_scale()
    }

    /// Brings the values back to where everything else reads them.
    pub(in crate::runtime) fn pull(
        &self,
        weights: &mut Weights,
        updater: &mut Updater,
        statistics: Option<&mut Statistics>,
    ) -> Result<()> {
        let Some(graph) = self.loaded.first().map(|loaded| &loaded.graph) else { return Ok(()) };
        let [params, states] = self.optimizer.values()?;
        for ((name, _), value) in graph.params.iter().zip(&params) {
            weights.set(name, value)?;
        }
        for (state, value) in graph.states.iter().zip(&states) {
            weights.set(&state.name, value)?;
        }
        self.optimizer.give_back(updater)?;
        let any = updater.averages().iter().any(|average| !average.is_empty());
        if let (Some(statistics), Some(averages), true) = (statistics, self.optimizer.running_averages()?, any) {
            for (state, value) in graph.states.iter().zip(averages) {
                statistics.take_back(&state.name, value);
            }
        }
        Ok(())
    }
}

impl Loaded {
    fn new(mut graph: TrainGraph, options: &Options) -> Result<Self> {
        let session = Session::build(&graph.graph, options)?;
        session.reserve(peak_bytes_beside_outputs(&graph.graph, graph.batch, Device::Cuda));
        graph.graph.initializers.clear();
        let inputs = Inputs::of(&graph)?;
        let stages = [Stage::new(&inputs)?, Stage::new(&inputs)?];
        // What the processor computes in between would be that of the recorded step for ever; a profile is of single nodes, and where the driver
        // waits for each kernel nothing is recorded.
        let records = options.profile.is_none() && !launches_block() && fallbacks(&session)?.is_empty();
        Ok(Self {
            session,
            batch: graph.batch,
            inputs,
            stages,
            turn: 0,
            ways: BTreeMap::new(),
            records,
            graph,
            runs: 0,
        })
    }

    fn run(
        &mut self,
        optimizer: &DeviceOptimizer,
        micro: &Micro,
        inverse: &[f64],
        lambda: &[f64],
        more: bool,
    ) -> Result<()> {
        self.runs += 1;
        let turn = self.turn;
        self.turn = 1 - turn;
        if !self.ways.contains_key(&(turn, more)) {
            let (binding, until) = (self.bind(optimizer, turn, more)?, self.records.then_some(BEFORE));
            self.ways.insert((turn, more), Way { binding, until, recorded: None });
        }
        let stage = &mut self.stages[turn];
        stage.send(&self.inputs, micro, inverse, lambda)?;
        optimizer.scale_loss(self.inputs.lambda(&stage.buffer))?;
        if let Some(way) = self.ways.get_mut(&(turn, more)) {
            way.run(&mut self.session)?;
        }
        self.stages[turn].used()
    }

    fn bind(&self, optimizer: &DeviceOptimizer, turn: usize, more: bool) -> Result<Binding> {
        let graph = &self.graph;
        let mut inputs = self.inputs.places(&self.stages[turn].buffer);
        let mut outputs = Vec::new();
        let grads = match &optimizer.more {
            Some(buffer) if more => buffer.address(),
            _ => optimizer.grads.address(),
        };
        for (number, (name, gradient)) in graph.params.iter().enumerate() {
            inputs.push((name.clone(), optimizer.param(number)));
            outputs.push((gradient.clone(), optimizer.gradient(number, grads)));
        }
        for (number, state) in graph.states.iter().enumerate() {
            let [now, next] = optimizer.state(number);
            inputs.push((state.name.clone(), now));
            outputs.push((state.next.clone(), next));
        }
        for (number, term) in graph.terms.iter().enumerate() {
            let shape = graph.graph.find(&term.value).and_then(|value| graph.graph.shape(value)).unwrap_or_default();
            outputs.push((term.value.clone(), optimizer.term(number, shape)));
        }
        let known: Vec<String> = self.session.inputs().into_iter().map(|(name, _)| name).collect();
        inputs.retain(|(name, _)| known.contains(name));
        // A forward pass alone has no gradients.
        let made: Vec<String> = self.session.outputs().into_iter().map(|(name, _)| name).collect();
        outputs.retain(|(name, _)| made.contains(name));
        Binding::new(&self.session, &inputs, &outputs)
    }
}
