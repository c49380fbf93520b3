//! Walks the steps of a plan in order.

use super::checkpoint::{self, Checkpoint, Moment, Progress};
use super::evaluate::{Measuring, Raw};
use super::event::{Event, Scores, Sink};
use super::export;
use super::features::Features;
use super::feed::{Feed, Source};
use super::folder::RunFolder;
use super::prefix::Prefix;
use super::together::{Job, together};
use super::weights::Weights;
use crate::data::Pipeline;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{Cut, eval_graph};
use crate::ir::Tensor;
use crate::native::{Level, Options};
use crate::parts::losses::{Labels, Loss};
use crate::parts::metrics::Metric;
use crate::plan::{CACHE_LIMIT, Fate, Keys, Plan, Reuse, Step};
use crate::spec::Weight;
use crate::world;
use crate::world::rng::Key;
use crate::world::{Store, env};
use petgraph::Direction;
use petgraph::graph::NodeIndex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a plan is executed; nothing here changes what is computed.
pub struct RunOptions {
    /// The run's folder.
    pub folder: RunFolder,
    /// Where the cache lies.
    pub cache: PathBuf,
    /// What is taken from it.
    pub reuse: Reuse,
    /// Threads of ONNX Runtime, of the loader and of the optimizer.
    pub threads: usize,
    /// Goes on from the last checkpoint.
    pub resume: bool,
    /// Times every operator over the first steps of each phase.
    pub profile: bool,
    /// Stops after so many epochs of the run, to be resumed.
    pub until: Option<u64>,
    /// Set from outside to stop at the next step boundary.
    pub stop: Arc<AtomicBool>,
}

/// What a finished run found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the run.
    pub name: String,
    /// Optimizer steps that were taken.
    pub steps: u64,
    /// Final scores by dataset, of the exported weights.
    pub scores: BTreeMap<String, Scores>,
    /// Files in the run's folder.
    pub files: Vec<String>,
}

/// What the steps share.
pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) options: &'p RunOptions,
    pub(super) sink: &'p mut dyn Sink,
    pub(super) key: Key,
    pub(super) weights: Weights,
    pub(super) states: BTreeMap<String, Tensor>,
    /// Moving averages of what moves, which stand for it where it is evaluated and exported.
    pub(super) averages: BTreeMap<String, Tensor>,
    pub(super) best: BTreeMap<String, Tensor>,
    pub(super) progress: Progress,
    pub(super) metrics: Vec<Box<dyn Metric>>,
    pub(super) streams: BTreeMap<String, Feed>,
    features: Vec<(Cut, String, Arc<Features>)>,
    pub(super) summary: Summary,
    pub(super) raw: BTreeMap<String, Raw>,
    finished_training: bool,
    /// Whether a checkpoint was taken up.
    pub(super) resumed: bool,
    pub(super) store: Store,
    /// Keys of the steps; none when nothing is cached.
    pub(super) keys: Keys,
    fates: BTreeMap<NodeIndex, Fate>,
}

/// Runs a plan to its end.
///
/// # Errors
/// What went wrong; the last checkpoint stays as it was.
pub fn execute(
    plan: &Plan,
    options: &RunOptions,
    sink: &mut dyn Sink,
) -> std::result::Result<Summary, Vec<Diagnostic>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().map_err(|error| {
        vec![Diagnostic::error(Code::Internal, "cannot start the worker threads").note(error.to_string())]
    })?;
    if let Some(problem) = super::device::not_timed(plan.target).filter(|_| options.profile) {
        return Err(vec![problem]);
    }
    pool.install(|| super::reproduce::record(plan, options)).map_err(|error| vec![error])?;
    // Sinks and plans stay on this thread; the pool is entered only by the parts that are parallel.
    let mut run = Run::new(plan, options, sink).map_err(|error| vec![error])?;
    run.walk(&pool).map_err(|problems| super::device::explain(plan, problems))
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, options: &'p RunOptions, sink: &'p mut dyn Sink) -> Result<Self> {
        let key = Key::new(plan.spec.seed);
        let mut streams = BTreeMap::new();
        for (name, dataset) in &plan.sets {
            let pipeline = Pipeline::build(plan.transforms(name), key.named("augment").named(name))?;
            let source = Source::Stream { pipeline: Arc::new(pipeline), threads: options.threads };
            let feed = Feed {
                dataset: Arc::clone(dataset),
                source,
                keys: key.named("dropout").named(name),
                width: plan.target_width(),
            };
            streams.insert(name.clone(), feed);
        }
        let metrics = plan.spec.evaluate.metrics.iter().map(crate::parts::Chosen::build).collect::<Result<Vec<_>>>()?;
        let mut run = Self {
            plan,
            options,
            sink,
            key,
            weights: Weights::default(),
            states: BTreeMap::new(),
            averages: BTreeMap::new(),
            best: BTreeMap::new(),
            progress: Progress { spec: crate::spec::identity(&plan.spec), ..Progress::default() },
            metrics,
            streams,
            features: Vec::new(),
            summary: Summary { name: plan.spec.name.clone(), ..Summary::default() },
            raw: BTreeMap::new(),
            finished_training: false,
            resumed: false,
            store: Store::at(&options.cache),
            keys: plan.cached_keys()?,
            fates: BTreeMap::new(),
        };
        run.progress.ground = run.keys.ground();
        if options.resume {
            run.resume()?;
        }
        if run.progress.edited {
            // What such a run makes is not what the spec gives.
            run.keys = run.keys.of_features(plan);
        }
        run.decide();
        Ok(run)
    }

    /// What becomes of each step. What a run has trained of itself is not taken from elsewhere.
    fn decide(&mut self) {
        let reuse = if self.resumed && self.options.reuse == Reuse::All { Reuse::Features } else { self.options.reuse };
        let done = self.progress.phase + usize::from(self.progress.phase_done);
        self.fates = self.plan.fates(&self.store, &self.keys, reuse, if self.resumed { done } else { 0 });
    }

    fn walk(&mut self, pool: &rayon::ThreadPool) -> std::result::Result<Summary, Vec<Diagnostic>> {
        let one = |error| vec![error];
        let mut done = BTreeSet::new();
        while let Some(nodes) = self.next(&done) {
            let node = nodes[0];
            if self.fates.get(&node) == Some(&Fate::Cached) && !self.serve(node).map_err(one)? {
                // It is not whole, and what it was made from may be needed after all.
                self.discard(node).map_err(one)?;
                done.retain(|node| !matches!(self.plan.dag[*node], Step::Features { .. }));
                self.decide();
                continue;
            }
            if self.fates.get(&node) == Some(&Fate::Run) {
                match &self.plan.dag[node] {
                    // The plan holds what these make.
                    Step::Model | Step::Index { .. } | Step::Split | Step::Report => {}
                    Step::Features { .. } => self.features(&nodes).map_err(one)?,
                    Step::Train { phase } => self.train_and_store(node, *phase, pool)?,
                    Step::Evaluate { .. } => self.evaluate(&nodes).map_err(one)?,
                    Step::Export => self.export_and_store(node).map_err(one)?,
                }
            }
            done.extend(nodes);
        }
        self.report().map_err(one)?;
        if limit(self.plan) > 0 {
            self.store.collect(limit(self.plan)).map_err(one)?;
        }
        Ok(self.summary.clone())
    }

    /// The next step in order; with features and evaluations that run, all others of the kind that nothing stands in the way of.
    fn next(&self, done: &BTreeSet<NodeIndex>) -> Option<Vec<NodeIndex>> {
        let order = self.plan.order();
        let first = order.iter().position(|node| !done.contains(node))?;
        let kind = |node: NodeIndex| match &self.plan.dag[node] {
            Step::Features { .. } => Some("features"),
            Step::Evaluate { .. } => Some("evaluate"),
            _ => None,
        };
        let runs = |node: NodeIndex| self.fates.get(&node) == Some(&Fate::Run);
        let mut nodes = vec![order[first]];
        if runs(order[first]) && kind(order[first]).is_some() {
            let needs =
                |node| self.plan.dag.neighbors_directed(node, Direction::Incoming).all(|need| done.contains(&need));
            let alike = |node: &NodeIndex| kind(*node) == kind(order[first]) && runs(*node) && !done.contains(node);
            nodes.extend(order[first + 1..].iter().copied().filter(|node| alike(node) && needs(*node)));
        }
        Some(nodes)
    }

    /// Options of a session.
    pub(super) fn session(&self) -> Options {
        Options {
            threads: self.options.threads,
            level: Level::All,
            cuda: self.plan.target.cuda(),
            ..Options::default()
        }
    }

    /// Features of some datasets, side by side.
    fn features(&mut self, nodes: &[NodeIndex]) -> Result<()> {
        let plan = self.plan;
        let mut jobs = Vec::new();
        let mut made = Vec::new();
        let session = self.session();
        for node in nodes {
            let Step::Features { phase, set } = &plan.dag[*node] else { continue };
            let (Ok(cut), Some(key)) = (&plan.phases[*phase].cut, self.keys.get(*node)) else { continue };
            let Some(feed) = self.streams.get(set) else { continue };
            let work = feed.dataset.len() as u64;
            let prefix = Prefix {
                network: &plan.network,
                cut,
                feed: feed.share(),
                store: &self.store,
                key,
                reuse: self.options.reuse,
            };
            let session = session.clone();
            made.push((cut.clone(), set.clone()));
            jobs.push(Job {
                what: format!("features {set}"),
                work,
                bytes: plan.network.bytes(),
                run: Box::new(move |threads, halt, sink| {
                    prefix.with_threads(threads).features(&Options { threads, ..session }, halt, sink)
                }),
            });
        }
        let found = together(jobs, self.options.threads, free_memory(), &self.options.stop, self.sink)?;
        self.features.extend(made.into_iter().zip(found).map(|((cut, set), features)| (cut, set, features)));
        Ok(())
    }

    /// Takes features from the store; `false` when they are not whole.
    pub(super) fn serve_features(&mut self, phase: usize, set: &str, key: &world::StoreKey) -> Result<bool> {
        let (Ok(cut), Some(feed)) = (&self.plan.phases[phase].cut, self.streams.get(set)) else { return Ok(true) };
        let Some(found) = Features::open(&self.store, key, feed.dataset.len(), &cut.shapes) else { return Ok(false) };
        self.sink.event(&Event::Cached { what: key.what.clone(), lines: Vec::new() })?;
        self.features.push((cut.clone(), set.to_owned(), Arc::new(found)));
        Ok(true)
    }

    fn feed_of(&self, set: &str) -> Result<&Feed> {
        let found = self.streams.get(set);
        found.ok_or_else(|| Diagnostic::error(Code::UnknownName, format!("there is no dataset `{set}`")))
    }

    /// A dataset as a phase sees it: from features where there are some.
    pub(super) fn feed(&self, phase: usize, set: &str) -> Result<Feed> {
        let stream = self.feed_of(set)?;
        let features = self.plan.phases[phase].cut.as_ref().ok().and_then(|cut| {
            self.features
                .iter()
                .find(|(other, name, _)| other == cut && name == set)
                .map(|(_, _, features)| Arc::clone(features))
        });
        Ok(match features {
            Some(features) => stream.reading(features),
            None => stream.share(),
        })
    }

    /// Measures a dataset with the current weights, or their averages.
    pub(super) fn measure(&self, phase: usize, set: &str) -> Result<(Scores, Raw)> {
        self.measuring(phase, set)?.run(&self.session())
    }

    /// All that is needed to measure a dataset with the current weights.
    fn measuring(&self, phase: usize, set: &str) -> Result<Measuring<'_>> {
        let alike = self.alike(set);
        let cut = self.plan.phases[phase].cut.as_ref().ok().filter(|_| alike);
        let mut graph = eval_graph(&self.plan.network, cut, &self.plan.objective, self.plan.spec.schedule.batch)?;
        let averaged = (!self.averages.is_empty()).then(|| self.weights.with(&self.averages)).transpose()?;
        averaged.as_ref().unwrap_or(&self.weights).write_into(&mut graph.graph);
        let feed = if alike { self.feed(phase, set)? } else { self.eval_feed(set)? };
        let terms: Vec<(&str, &dyn Loss, f64)> = self
            .plan
            .objective
            .terms
            .iter()
            .map(|term| {
                let lambda = match term.weight {
                    Weight::Constant(value) => value,
                    Weight::Ramp { to, .. } => to,
                };
                (term.name.as_str(), term.loss.as_ref(), lambda)
            })
            .collect();
        Ok(Measuring { graph, kinds: self.label_kinds(), feed, terms, metrics: &self.metrics })
    }

    /// Whether a dataset is evaluated with the transforms with which it is read. Training samples are evaluated as others are, not as they
    /// are trained on.
    fn alike(&self, set: &str) -> bool {
        self.plan.transforms(set) == self.plan.eval_transforms(set)
    }

    /// A dataset, read sample by sample as it is evaluated.
    fn eval_feed(&self, set: &str) -> Result<Feed> {
        let mut feed = self.feed_of(set)?.share();
        if self.alike(set) {
            return Ok(feed);
        }
        let pipeline = Pipeline::build(self.plan.eval_transforms(set), self.key.named("augment").named(set))?;
        feed.source = Source::Stream { pipeline: Arc::new(pipeline), threads: self.options.threads };
        Ok(feed)
    }

    /// What labels each term reads.
    pub(super) fn label_kinds(&self) -> Vec<Labels> {
        label_kinds(self.plan)
    }

    /// Once training is over, the best weights take over if they were kept, else the averages.
    pub(super) fn finish_training(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.finished_training, true) {
            return Ok(());
        }
        let averages = std::mem::take(&mut self.averages);
        if self.best.is_empty() {
            return self.weights.restore(&averages);
        }
        // What only a later phase moved is not among the best; the network's own values stand for it.
        self.weights = Weights::default();
        self.weights.restore(&self.best)
    }

    /// The final evaluation of some datasets, side by side.
    fn evaluate(&mut self, nodes: &[NodeIndex]) -> Result<()> {
        self.finish_training()?;
        let plan = self.plan;
        let phase = plan.phases.len() - 1;
        let sets: Vec<(NodeIndex, &String)> = nodes
            .iter()
            .filter_map(|node| match &plan.dag[*node] {
                Step::Evaluate { set } => Some((*node, set)),
                _ => None,
            })
            .collect();
        let session = self.session();
        let mut jobs = Vec::new();
        for (_, set) in &sets {
            let measuring = self.measuring(phase, set)?;
            let what = format!("evaluate {set}");
            let session = session.clone();
            jobs.push(Job {
                what: what.clone(),
                work: measuring.feed.dataset.len() as u64,
                bytes: plan.network.bytes(),
                run: Box::new(move |threads, _, sink: &mut dyn Sink| {
                    sink.event(&Event::Began { what, total: 0 })?;
                    measuring.run(&Options { threads, ..session })
                }),
            });
        }
        // What is told meanwhile is told by the caller's sink, which the jobs must not hold.
        let mut heard = Heard::default();
        let found = together(jobs, self.options.threads, free_memory(), &self.options.stop, &mut heard)?;
        heard.0.iter().try_for_each(|event| self.sink.event(event))?;
        for ((node, set), (scores, raw)) in sets.into_iter().zip(found) {
            let from = self.sink.flush()?;
            self.sink.event(&Event::Evaluated {
                phase: phase + 1,
                epoch: self.progress.epoch,
                dataset: set.clone(),
                scores: scores.clone(),
                last: true,
            })?;
            self.store_evaluation(node, from, &scores, &raw)?;
            self.summary.scores.insert(set.clone(), scores);
            self.raw.insert(set.clone(), raw);
        }
        Ok(())
    }

    pub(super) fn export(&mut self) -> Result<()> {
        self.finish_training()?;
        let plan = self.plan;
        let classes = match plan.sets.get("train").map(|set| set.labels()) {
            Some(crate::parts::sources::Labels::Classes { names, .. }) => names.clone(),
            _ => Vec::new(),
        };
        let metadata = export::metadata(&plan.spec, &classes);
        let supervised: Vec<String> = plan.objective.terms.iter().map(|term| term.branch.clone()).collect();
        let outputs = if plan.spec.export.outputs.is_empty() { &supervised } else { &plan.spec.export.outputs };
        let graph = export::final_graph(&plan.network, &self.weights, outputs, &metadata);
        let bytes = export::write(&self.options.folder.file("model.onnx"), &graph)?;
        self.wrote("model.onnx")?;
        let branch = plan.objective.terms.first().map_or("", |term| term.branch.as_str());
        let set = self.raw.keys().next().cloned();
        if let Some(set) = set
            && let Some(raw) = self.raw.get(&set)
        {
            export::check(&bytes, &plan.network, branch, &self.eval_feed(&set)?, raw, &self.session())?;
        }
        if plan.spec.export.preprocess != Some(false)
            && let Some(pipeline) = plan.eval_pipeline()
        {
            let (pipeline, channels) = pipeline?;
            // Where there is no such form and one is asked for, the plan has refused.
            if let Some(whole) = export::with_preprocessing(&graph, &plan.network, &pipeline, channels)? {
                let bytes = export::write(&self.options.folder.file("model.image.onnx"), &whole)?;
                if let Some((set, raw)) = self.raw.iter().next()
                    && let Some(feed) = self.streams.get(set).filter(|_| raw.units > 0)
                {
                    export::check_images(&bytes, branch, &feed.dataset, raw, &self.session())?;
                }
                self.wrote("model.image.onnx")?;
            }
        }
        Ok(())
    }

    pub(super) fn wrote(&mut self, file: &str) -> Result<()> {
        self.summary.files.push(file.to_owned());
        self.sink.event(&Event::Wrote { file: file.to_owned() })
    }

    fn report(&mut self) -> Result<()> {
        self.summary.steps = self.progress.steps_total;
        self.sink.flush()?;
        let text = serde_json::to_vec_pretty(&self.summary)
            .map_err(|error| Diagnostic::error(Code::Internal, "cannot write the summary").note(error.to_string()))?;
        world::write_atomic(&self.options.folder.file("summary.json"), |out| {
            out.write_all(&text)?;
            out.write_all(b"\n")
        })
    }

    /// The current state.
    pub(super) fn snapshot(&self) -> Checkpoint {
        Checkpoint {
            progress: self.progress.clone(),
            weights: self.weights.snapshot(),
            states: self.states.clone(),
            averages: self.averages.clone(),
            best: self.best.clone(),
        }
    }

    /// Makes the current state durable.
    pub(super) fn checkpoint(&mut self, moment: Moment) -> Result<()> {
        self.progress.metrics_bytes = self.sink.flush()?;
        let keep = self.plan.spec.schedule.keep.last.unwrap_or(1);
        checkpoint::save(&self.options.folder.file("checkpoints"), &self.snapshot(), moment, keep)
    }
}

/// Events that are told later.
#[derive(Default)]
struct Heard(Vec<Event>);

impl Sink for Heard {
    fn event(&mut self, event: &Event) -> Result<()> {
        self.0.push(event.clone());
        Ok(())
    }
}

/// Bytes that the cache may hold; none when it is off.
fn limit(plan: &Plan) -> u64 {
    plan.spec.runtime.cache.limit.unwrap_or(CACHE_LIMIT)
}

/// Bytes that steps which run side by side may take, where the system says so.
pub(super) fn free_memory() -> u64 {
    env::memory().map_or(u64::MAX, |(_, free)| free)
}

/// What labels each term of a plan reads.
pub(super) fn label_kinds(plan: &Plan) -> Vec<Labels> {
    plan.objective.terms.iter().map(|term| term.loss.labels()).collect()
}
