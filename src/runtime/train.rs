//! Trains one phase.

use super::average::Statistics;
use super::checkpoint::Moment;
use super::device::{Bad, DeviceSteps, LossScale, Micros, Start, WINDOW};
use super::evaluate::{class_weight, directions};
use super::event::{Event, Scores};
use super::execute::Run;
use super::feed::{Fed, Feed, LastBatch, cut};
use super::length::Length;
use super::not_finite::BadStep;
use super::pass::{averaging, updater};
use super::profile::PROFILED;
use super::step::{Step as TrainStep, zero};
use super::update::Updater;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{Param, TermPlan, TrainGraph};
use crate::ir::Tensor;
use crate::kernels::Device;
use crate::native::{Buffer, Options};
use crate::parts::losses::Labels;
use crate::plan::{Phase, on_processor};
use crate::spec::Weight;
use crate::world::clock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

impl Run<'_> {
    /// Runs what is left of a phase.
    pub(super) fn train(
        &mut self,
        number: usize,
        pool: &rayon::ThreadPool,
    ) -> std::result::Result<(), Vec<Diagnostic>> {
        let done = number < self.progress.phase || (number == self.progress.phase && self.progress.phase_done);
        if done {
            return Ok(());
        }
        if number > self.progress.phase || self.progress.phase_done {
            self.progress.phase = number;
            self.progress.phase_done = false;
            self.progress.epoch = 0;
            self.progress.step = 0;
            self.progress.watched = None;
            self.progress.stale = 0;
            self.progress.loss_scale = None;
            self.progress.phase_bytes = self.sink.flush().map_err(|error| vec![error])?;
        }
        let mut phase = Training::new(self, number)?;
        phase.run(self, pool).map_err(|error| vec![error])
    }
}

/// Seconds after which what steps on a device found is read and told.
const PATIENCE: f64 = 0.5;

/// Where the steps of a phase run.
enum Steps {
    /// On the processor: the step, and the one of a partial last batch, where batch statistics forbid filling it up.
    Host(Box<TrainStep>, Option<Box<TrainStep>>),
    /// On a GPU, with the steps that were given to it and that it has not told of.
    Device(Box<DeviceSteps>, VecDeque<Given>),
}

impl Steps {
    /// Loads those of a phase; of `several` batches each adds its gradients to sums.
    fn on_host(phase: &Phase, several: bool, profile: bool, kinds: &[Labels], options: &Options) -> Result<Self> {
        let load = if profile { TrainStep::profiled } else { TrainStep::new };
        let form = |graph: &TrainGraph| if several { graph.clone().summing() } else { graph.clone() };
        let full = load(form(&phase.graphs.full), kinds, options)?;
        let short = phase.graphs.short.as_ref().map(|graph| TrainStep::new(form(graph), kinds, options));
        Ok(Self::Host(Box::new(full), short.transpose()?.map(Box::new)))
    }

    /// Runs of whole batches so far.
    fn runs(&self) -> usize {
        match self {
            Self::Host(full, _) => full.runs(),
            Self::Device(device, _) => device.runs(),
        }
    }

    /// Steps that are under way.
    fn ahead(&self) -> u64 {
        match self {
            Self::Host(..) => 0,
            Self::Device(_, given) => given.len() as u64,
        }
    }
}

/// A step that was given to a device.
struct Given {
    group: Vec<Fed>,
    lambda: Vec<f64>,
    inverse: Vec<f64>,
    factor: f64,
    samples: usize,
}

/// A phase at work.
struct Training {
    number: usize,
    feed: Feed,
    steps: Steps,
    /// What the gradients of a step's batches are added to, if it has several.
    sums: Vec<Buffer>,
    last: LastBatch,
    updater: Updater,
    /// Averages of the running statistics, where the optimizer keeps any.
    statistics: Option<Statistics>,
    names: Vec<String>,
    starts: Vec<Vec<f32>>,
    base_lr: f64,
    length: Length,
    accumulate: usize,
    /// When the device was last heard.
    settled: clock::Instant,
    /// Whether any sample could be read.
    weighed: bool,
    lr: Option<Box<dyn crate::parts::schedules::Schedule>>,
}

impl Training {
    fn new(run: &mut Run, number: usize) -> std::result::Result<Self, Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        let plan = run.plan;
        let phase = &plan.phases[number];
        let feed = run.feed(number, "train").map_err(one)?;
        let length = Length::of(plan, number);
        let graph = &phase.graphs.full;
        let params: Vec<&Param> = phase.trainable.params.iter().map(|index| &plan.network.params[*index]).collect();
        for (input, _) in &graph.params {
            run.weights.adopt(&plan.network.graph, input).map_err(one)?;
        }
        for state in &graph.states {
            run.weights.adopt(&plan.network.graph, &state.name).map_err(one)?;
        }
        let inputs: Vec<String> = graph.params.iter().map(|(input, _)| input.clone()).collect();
        let kinds = run.label_kinds();
        let options = run.session();
        let rule = phase.optimizer.rule.build().map_err(one)?;
        let base_lr = rule.lr();
        let (mut updater, starts) = updater(plan, phase, rule, &params)?;
        updater.set_state(&run.states, &run.progress.counts).map_err(one)?;
        let statistics = averaging(run, phase, &inputs, &mut updater).map_err(one)?;
        let several = plan.spec.schedule.accumulate > 1;
        let steps = if plan.target.device == Device::Cuda {
            let graphs = [Some(graph), phase.graphs.short.as_ref()].into_iter().flatten().cloned().collect();
            let start = Start {
                graphs,
                updater: &updater,
                statistics: statistics.as_ref(),
                starts: &starts,
                weights: &run.weights,
                several,
                loss_scale: plan
                    .target
                    .loss_scale()
                    .map(|first| run.progress.loss_scale.unwrap_or(LossScale::new(first))),
                profile: run.options.profile,
                options: &options,
            };
            let device = DeviceSteps::new(start).map_err(one)?;
            if let Some(problem) = on_processor(&device.fallbacks().map_err(one)?, plan.spec.runtime.strict) {
                if plan.spec.runtime.strict {
                    return Err(one(problem));
                }
                run.sink.event(&Event::Warning(problem)).map_err(one)?;
            }
            Steps::Device(Box::new(device), VecDeque::new())
        } else {
            Steps::on_host(phase, several, run.options.profile, &kinds, &options).map_err(one)?
        };
        let sums = match &steps {
            Steps::Host(full, _) => full.sums().map_err(one)?,
            Steps::Device(..) => Vec::new(),
        };
        let this = Self {
            number,
            feed,
            steps,
            sums,
            last: phase.graphs.last,
            updater,
            statistics,
            names: inputs,
            starts,
            base_lr,
            length,
            accumulate: plan.spec.schedule.accumulate,
            settled: clock::now(),
            weighed: false,
            lr: phase.lr.as_ref().map(crate::parts::Chosen::build).transpose().map_err(one)?,
        };
        let trained = params.iter().map(|param| param.shape.iter().product::<usize>() as u64).sum();
        let (phase, steps) = (number + 1, length.total);
        // A run that goes on inside a phase has said so already.
        if run.progress.step == 0 {
            run.sink.event(&Event::Phase { phase, trained, steps }).map_err(one)?;
        } else if run.progress.length != steps {
            run.sink.event(&Event::Extended { phase, steps }).map_err(one)?;
        }
        run.progress.length = steps;
        run.progress.per_epoch = this.length.per_epoch;
        Ok(this)
    }

    fn run(&mut self, run: &mut Run, pool: &rayon::ThreadPool) -> Result<()> {
        while run.progress.epoch < self.length.epochs {
            self.epoch(run, pool)?;
            self.settle(run)?;
            run.progress.epoch += 1;
            run.progress.epochs_total += 1;
            run.averages = self.averages(run)?;
            let stop = self.judge(run)?;
            (run.states, run.progress.counts) = self.updater.state();
            // In the same checkpoint as the epoch: a run that dies here must not train on after patience has run out.
            run.progress.phase_done = stop || run.progress.epoch >= self.length.epochs;
            run.checkpoint(Moment::Epoch)?;
            if run.progress.phase_done {
                self.end_profile(run)?;
            }
            if stop {
                break;
            }
            let paused = run.options.until.is_some_and(|until| run.progress.epochs_total >= until);
            if run.options.stop.load(Ordering::Relaxed) || paused {
                return Err(Diagnostic::error(Code::Interrupted, "the run was stopped after an epoch")
                    .help("`pipe run SPEC --resume` goes on from here"));
            }
        }
        Ok(())
    }

    /// One pass over the training set.
    fn epoch(&mut self, run: &mut Run, pool: &rayon::ThreadPool) -> Result<()> {
        let spec = &run.plan.spec;
        let pass = run.progress.epochs_total;
        let samples = self.feed.dataset.len();
        let order = if spec.schedule.shuffle {
            run.key.named("shuffle").with(pass).rng().permutation(samples)
        } else {
            (0..samples).collect()
        };
        let batches = cut(&order, spec.schedule.batch, self.last);
        let left = self.length.total - run.progress.step;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).saturating_mul(self.accumulate);
        // Other than 0 where a run goes on that was stopped, or was to end, inside this epoch.
        let begun = run.progress.step.saturating_sub(run.progress.epoch * self.length.per_epoch);
        let begun = usize::try_from(begun).unwrap_or(usize::MAX).saturating_mul(self.accumulate);
        // What was read of it before the run was stopped is not known to have been all unreadable.
        self.weighed |= begun > 0;
        let batches: Vec<_> = batches.into_iter().skip(begun).take(wanted).collect();
        let count = batches.len();
        let feed = self.feed.share();
        let mut stream = feed.batches(batches, pass);
        let mut taken = 0;
        while taken < count {
            let mut group = Vec::with_capacity(self.accumulate);
            while group.len() < self.accumulate && taken < count {
                let Some(fed) = stream.next() else { break };
                group.push(fed?);
                taken += 1;
            }
            if group.is_empty() {
                break;
            }
            self.step(run, pool, group)?;
            if self.steps.runs() >= PROFILED {
                self.end_profile(run)?;
            }
            if run.options.stop.load(Ordering::Relaxed) {
                self.settle(run)?;
                run.averages = self.averages(run)?;
                (run.states, run.progress.counts) = self.updater.state();
                run.checkpoint(Moment::Stopped)?;
                return Err(Diagnostic::error(Code::Interrupted, "the run was stopped between two steps")
                    .help("`pipe run SPEC --resume` goes on from here"));
            }
        }
        if count > 0 && !self.weighed {
            return Err(Diagnostic::error(
                Code::DataEmpty,
                format!("none of the {samples} samples of `train` can be read"),
            )
            .help("without `on_error: skip` the run stops at the first ones and says why"));
        }
        Ok(())
    }

    /// Tells where the time of the steps so far went, if that is still wanted.
    fn end_profile(&mut self, run: &mut Run) -> Result<()> {
        let phase = self.number + 1;
        let file = format!("trace.phase{phase}.json");
        let (trace, title) = (run.options.folder.file(&file), format!("train phase {phase}"));
        let made = match &mut self.steps {
            Steps::Host(full, _) => full.end_profile(&trace, &title)?,
            Steps::Device(device, _) => device.end_profile(&trace, &title)?,
        };
        made.map_or(Ok(()), |table| run.sink.event(&Event::Profiled { phase, file, table }))
    }

    /// Tells what could not be read of the batches of a step.
    fn receive(&mut self, run: &mut Run, group: &mut [Fed]) -> Result<()> {
        for fed in group.iter_mut() {
            for warning in std::mem::take(&mut fed.skipped) {
                run.sink.event(&Event::Warning(warning))?;
            }
        }
        self.weighed |= group.iter().any(|fed| fed.micro.weights.iter().any(|weight| *weight > 0.0));
        Ok(())
    }

    /// One optimizer step over one or several batches.
    fn step(&mut self, run: &mut Run, pool: &rayon::ThreadPool, mut group: Vec<Fed>) -> Result<()> {
        self.receive(run, &mut group)?;
        let plan = run.plan;
        let terms = &plan.objective.terms;
        let number = run.progress.step + self.steps.ahead();
        let progress = number as f64 / self.length.total.max(1) as f64;
        let lambda: Vec<f64> = terms.iter().map(|term| weight_at(&term.weight, progress)).collect();
        let inverse = inverse_totals(terms, &group);
        let samples = group.iter().map(|fed| fed.rows.iter().flatten().count()).sum();
        let factor = self.lr.as_ref().map_or(1.0, |lr| lr.factor(number, self.length.total, self.length.per_epoch));
        if let Steps::Device(device, given) = &mut self.steps {
            let batches = group.iter().map(|fed| (&fed.micro, fed.rows.len())).collect();
            device.give(&Micros { batches, inverse: &inverse, lambda: &lambda, factor })?;
            given.push_back(Given { group, lambda, inverse, factor, samples });
            if device.pending() >= WINDOW || self.settled.seconds() > PATIENCE {
                self.drain(run)?;
            }
            return Ok(());
        }
        let starts: Vec<&[f32]> = self.starts.iter().map(Vec::as_slice).collect();
        let mut sums = vec![0.0f64; terms.len()];
        zero(&mut self.sums);
        let count = group.len();
        let mut report = None;
        for (index, fed) in group.iter().enumerate() {
            let Steps::Host(full, short) = &mut self.steps else { continue };
            let step = match short {
                Some(short) if fed.rows.len() == short.graph.batch => short,
                _ => full,
            };
            let made = step.run(&run.weights, &fed.micro, (&inverse, &lambda), &mut self.sums)?;
            for (sum, term) in sums.iter_mut().zip(made.terms()?) {
                *sum += term;
            }
            made.advance(&mut run.weights)?;
            if index + 1 == count {
                let gradients = made.gradients()?;
                let finite = sums.iter().all(|sum| sum.is_finite());
                let mut params = run.weights.slices(&self.names);
                let updater = &mut self.updater;
                let stepped = if finite {
                    pool.install(|| updater.step(factor, &mut params, &starts, &gradients))
                        .map_err(|bad| Some(bad.param))
                } else {
                    Err(None)
                };
                report = Some(stepped);
            }
        }
        let report = match report {
            Some(Ok(report)) => report,
            Some(Err(param)) => {
                let (phase, dataset) = (self.number, &self.feed.dataset);
                let (inverse, lambda, sums) = (&inverse, &lambda, &sums);
                return Err(BadStep { phase, group: &group, dataset, inverse, lambda, sums, param }.explain(run));
            }
            None => return Ok(()),
        };
        if let Some(statistics) = &mut self.statistics {
            statistics.step(&run.weights)?;
        }
        self.tell(run, sums, &lambda, (Some(report.grad_norm), report.regularizer), factor, samples)
    }

    /// Counts a step and tells what it found; one without a norm was left out.
    fn tell(
        &self,
        run: &mut Run,
        sums: Vec<f64>,
        lambda: &[f64],
        (grad_norm, regularizer): (Option<f64>, f64),
        factor: f64,
        samples: usize,
    ) -> Result<()> {
        run.progress.step += 1;
        run.progress.steps_total += 1;
        let loss: f64 = sums.iter().zip(lambda).map(|(sum, lambda)| sum * lambda).sum();
        run.sink.event(&Event::Step {
            phase: self.number + 1,
            epoch: run.progress.epoch + 1,
            step: run.progress.steps_total,
            loss,
            terms: run.plan.objective.terms.iter().map(|term| term.name.clone()).zip(sums).collect(),
            regularizer,
            objective: loss + regularizer,
            lr: self.base_lr * factor,
            grad_norm,
            samples,
            skipped: grad_norm.is_none(),
        })
    }

    /// Reads what the steps found that were given to the device.
    fn drain(&mut self, run: &mut Run) -> Result<()> {
        let Steps::Device(device, given) = &mut self.steps else { return Ok(()) };
        let given = std::mem::take(given);
        let found = device.drain()?;
        self.settled = clock::now();
        for (given, found) in given.into_iter().zip(found) {
            let param = match found.bad {
                Bad::Term => Some(None),
                Bad::Param(param) => Some(Some(param)),
                Bad::Nothing | Bad::Skipped | Bad::Before => None,
            };
            if let Some(param) = param {
                // The device has written nothing since.
                self.pull(run)?;
                let Given { group, lambda, inverse, .. } = &given;
                let (phase, dataset) = (self.number, &self.feed.dataset);
                let bad = BadStep { phase, group, dataset, inverse, lambda, sums: &found.terms, param };
                return Err(bad.explain(run));
            }
            let report = (found.norm(), found.regularizer);
            self.tell(run, found.terms, &given.lambda, report, given.factor, given.samples)?;
        }
        Ok(())
    }

    /// Waits for the device and brings back everything that moves.
    fn settle(&mut self, run: &mut Run) -> Result<()> {
        self.drain(run)?;
        self.pull(run)
    }

    fn pull(&mut self, run: &mut Run) -> Result<()> {
        match &self.steps {
            Steps::Device(device, _) => {
                run.progress.loss_scale = device.loss_scale()?;
                device.pull(&mut run.weights, &mut self.updater, self.statistics.as_mut())
            }
            Steps::Host(..) => Ok(()),
        }
    }

    /// The moving averages so far.
    fn averages(&self, run: &Run) -> Result<BTreeMap<String, Tensor>> {
        let params = self.names.iter().zip(self.updater.averages()).map(|(name, average)| (name, average.as_slice()));
        params
            .chain(self.statistics.iter().flat_map(Statistics::values))
            .filter(|(_, average)| !average.is_empty())
            .map(|(name, average)| Ok((name.clone(), Tensor::new(run.weights.get(name)?.shape(), average))))
            .collect()
    }

    /// Measures after an epoch, keeps the best, and says whether patience is at its end.
    fn judge(&mut self, run: &mut Run) -> Result<bool> {
        let plan = run.plan;
        let mut scores: BTreeMap<String, Scores> = BTreeMap::new();
        for set in plan.watched() {
            let (found, _) = run.measure(self.number, &set)?;
            run.sink.event(&Event::Evaluated {
                phase: self.number + 1,
                epoch: run.progress.epoch,
                dataset: set.clone(),
                scores: found.clone(),
                last: false,
            })?;
            scores.insert(set, found);
        }
        let directions = directions(&run.metrics);
        let value = |watch: &str| -> Option<(f64, bool)> {
            let (set, metric) = watch.split_once('.')?;
            let value = *scores.get(set)?.numbers.get(metric)?;
            Some((value, directions.get(metric).copied().unwrap_or(false)))
        };
        if let Some((found, larger)) = plan.spec.schedule.keep.best.as_deref().and_then(value)
            && better(found, run.progress.best, larger)
        {
            run.progress.best = Some(found);
            run.best = run.weights.snapshot();
            run.best.extend(run.averages.clone());
        }
        let Some(stop) = &plan.spec.schedule.stop else { return Ok(false) };
        let Some((found, larger)) = value(&stop.watch) else { return Ok(false) };
        if better(found, run.progress.watched, larger) {
            run.progress.watched = Some(found);
            run.progress.stale = 0;
            return Ok(false);
        }
        run.progress.stale += 1;
        if run.progress.stale < stop.patience {
            return Ok(false);
        }
        run.sink.event(&Event::Stopped {
            phase: self.number + 1,
            epoch: run.progress.epoch,
            watch: stop.watch.clone(),
            best: run.progress.watched.unwrap_or(f64::NAN),
        })?;
        Ok(true)
    }
}

fn better(found: f64, best: Option<f64>, larger: bool) -> bool {
    match best {
        _ if found.is_nan() => false,
        None => true,
        Some(best) if larger => found > best,
        Some(best) => found < best,
    }
}

fn weight_at(weight: &Weight, progress: f64) -> f64 {
    match weight {
        Weight::Constant(value) => *value,
        Weight::Ramp { to, gamma } => to * (2.0 / (1.0 + (-gamma * progress).exp()) - 1.0),
    }
}

/// For each term, one over the weight of all samples of a step; 0 where nothing weighs.
fn inverse_totals(terms: &[TermPlan], group: &[Fed]) -> Vec<f64> {
    terms
        .iter()
        .map(|term| {
            let total: f64 = group
                .iter()
                .flat_map(|fed| {
                    fed.micro.weights.iter().enumerate().map(|(row, weight)| {
                        if *weight == 0.0 {
                            return 0.0;
                        }
                        f64::from(*weight) * class_weight(term.loss.as_ref(), &fed.micro.targets, row)
                    })
                })
                .sum();
            if total > 0.0 { 1.0 / total } else { 0.0 }
        })
        .collect()
}
