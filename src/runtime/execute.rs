//! Walks the steps of a plan in order.

use super::checkpoint::{self, Checkpoint, Progress};
use super::evaluate::{Evaluator, Raw};
use super::event::{Event, Scores, Sink};
use super::export;
use super::features::Store;
use super::feed::{Feed, Source};
use super::folder::RunFolder;
use super::prefix;
use super::weights::Weights;
use crate::data::Pipeline;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::{Cut, eval_graph};
use crate::ir::Tensor;
use crate::native::{Level, Options};
use crate::parts::losses::{Labels, Loss};
use crate::parts::metrics::Metric;
use crate::plan::{Plan, Step};
use crate::spec::Weight;
use crate::world;
use crate::world::rng::Key;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a plan is executed; nothing here changes what is computed.
pub struct RunOptions {
    /// The run's folder.
    pub folder: RunFolder,
    /// Where the cache lies.
    pub cache: PathBuf,
    /// Threads of ONNX Runtime, of the loader and of the optimizer.
    pub threads: usize,
    /// Goes on from the last checkpoint.
    pub resume: bool,
    /// Times every operator over the first steps of each phase.
    pub profile: bool,
    /// Set from outside to stop at the next step boundary.
    pub stop: Arc<AtomicBool>,
}

/// What a finished run found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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
    streams: BTreeMap<String, Feed>,
    stores: Vec<(Cut, String, Arc<Store>)>,
    summary: Summary,
    raw: BTreeMap<String, Raw>,
    finished_training: bool,
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
    // Sinks and plans stay on this thread; the pool is entered only by the parts that are parallel.
    let mut run = Run::new(plan, options, sink).map_err(|error| vec![error])?;
    run.walk(&pool)
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
            stores: Vec::new(),
            summary: Summary { name: plan.spec.name.clone(), ..Summary::default() },
            raw: BTreeMap::new(),
            finished_training: false,
        };
        if options.resume {
            run.resume()?;
        }
        Ok(run)
    }

    fn walk(&mut self, pool: &rayon::ThreadPool) -> std::result::Result<Summary, Vec<Diagnostic>> {
        for node in self.plan.order() {
            match &self.plan.dag[node] {
                // The plan holds what these make.
                Step::Model | Step::Index { .. } | Step::Split => {}
                Step::Features { phase, set } => self.features(*phase, set).map_err(|error| vec![error])?,
                Step::Train { phase } => self.train(*phase, pool)?,
                Step::Evaluate { set } => self.evaluate_last(set).map_err(|error| vec![error])?,
                Step::Export => self.export().map_err(|error| vec![error])?,
                Step::Report => self.report().map_err(|error| vec![error])?,
            }
        }
        Ok(self.summary.clone())
    }

    /// Options of a session.
    pub(super) fn session(&self) -> Options {
        Options { threads: self.options.threads, level: Level::All, ..Options::default() }
    }

    fn features(&mut self, phase: usize, set: &str) -> Result<()> {
        let Ok(cut) = &self.plan.phases[phase].cut else { return Ok(()) };
        let Some(feed) = self.streams.get(set) else { return Ok(()) };
        let transforms = serde_json::to_string(self.plan.transforms(set)).unwrap_or_default();
        let options = self.session();
        let store =
            prefix::features(&self.plan.network, cut, feed, &transforms, &self.options.cache, &options, self.sink)?;
        self.stores.push((cut.clone(), set.to_owned(), store));
        Ok(())
    }

    /// A dataset as a phase sees it: from features where there are some.
    pub(super) fn feed(&self, phase: usize, set: &str) -> Result<Feed> {
        let stream = self
            .streams
            .get(set)
            .ok_or_else(|| Diagnostic::error(Code::UnknownName, format!("there is no dataset `{set}`")))?;
        let store = self.plan.phases[phase].cut.as_ref().ok().and_then(|cut| {
            self.stores
                .iter()
                .find(|(other, name, _)| other == cut && name == set)
                .map(|(_, _, store)| Arc::clone(store))
        });
        Ok(match store {
            Some(store) => stream.reading(store),
            None => stream.share(),
        })
    }

    /// Measures a dataset with the current weights, or their averages.
    pub(super) fn measure(&self, phase: usize, set: &str) -> Result<(Scores, Raw)> {
        let cut = self.plan.phases[phase].cut.as_ref().ok();
        let batch = self.plan.spec.schedule.batch;
        let graph = eval_graph(&self.plan.network, cut, &self.plan.objective, batch)?;
        let averaged = (!self.averages.is_empty()).then(|| self.weights.with(&self.averages)).transpose()?;
        let weights = averaged.as_ref().unwrap_or(&self.weights);
        let mut evaluator = Evaluator::new(graph, weights, &self.label_kinds(), &self.session())?;
        let feed = self.feed(phase, set)?;
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
        evaluator.measure(&feed, &terms, &self.metrics)
    }

    /// What labels each term reads.
    pub(super) fn label_kinds(&self) -> Vec<Labels> {
        label_kinds(self.plan)
    }

    /// Once training is over, the best weights take over if they were kept, else the averages.
    fn finish_training(&mut self) -> Result<()> {
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

    fn evaluate_last(&mut self, set: &str) -> Result<()> {
        self.finish_training()?;
        let phase = self.plan.phases.len() - 1;
        self.sink.event(&Event::Began { what: format!("evaluate {set}"), total: 0 })?;
        let (scores, raw) = self.measure(phase, set)?;
        self.sink.event(&Event::Evaluated {
            phase: phase + 1,
            epoch: self.progress.epoch,
            dataset: set.to_owned(),
            scores: scores.clone(),
            last: true,
        })?;
        self.summary.scores.insert(set.to_owned(), scores);
        self.raw.insert(set.to_owned(), raw);
        Ok(())
    }

    fn export(&mut self) -> Result<()> {
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
        let set = self.raw.keys().next().cloned();
        if let Some(set) = set
            && let (Some(feed), Some(raw)) = (self.streams.get(&set), self.raw.get(&set))
        {
            let branch = plan.objective.terms.first().map_or("", |term| term.branch.as_str());
            export::check(&bytes, &plan.network, branch, feed, raw, &self.session())?;
        }
        if plan.spec.export.preprocess != Some(false) {
            let made = match plan.eval_pipeline() {
                Some(pipeline) => export::with_preprocessing(&graph, &plan.network, &pipeline?)?,
                None => None,
            };
            // Where there is none and one is asked for, the plan has refused.
            if let Some(whole) = made {
                export::write(&self.options.folder.file("model.image.onnx"), &whole)?;
                self.wrote("model.image.onnx")?;
            }
        }
        Ok(())
    }

    fn wrote(&mut self, file: &str) -> Result<()> {
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

    /// Makes the current state durable.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        self.progress.metrics_bytes = self.sink.flush()?;
        let checkpoint = Checkpoint {
            progress: self.progress.clone(),
            weights: self.weights.snapshot(),
            states: self.states.clone(),
            averages: self.averages.clone(),
            best: self.best.clone(),
        };
        let keep = self.plan.spec.schedule.keep.last.unwrap_or(1);
        checkpoint::save(&self.options.folder.file("checkpoints"), &checkpoint, keep)
    }
}

/// What labels each term of a plan reads.
pub(super) fn label_kinds(plan: &Plan) -> Vec<Labels> {
    plan.objective.terms.iter().map(|term| term.loss.labels()).collect()
}
