//! The plan of a run: a DAG of typed steps with everything resolved that can be known before anything heavy runs.
//!
//! [`Plan::build`] loads the model, indexes the data, puts the network together, resolves what each phase trains and where it is cut, and
//! differentiates it. Absence: nothing here decodes a sample, runs a step or writes a file.

mod balance;
mod describe;
mod device_memory;
mod export;
mod fate;
mod fit;
mod idle;
mod init;
mod keys;
mod labels;
mod load;
mod lock;
mod memory;
mod model;
mod outlook;
mod patterns;
mod phases;
mod placement;
pub(crate) mod runs;
mod scan;
mod sets;

pub use balance::Balanced;
pub use fate::{Fate, Reuse};
pub use init::{Given, draft, named};
pub use keys::{FEATURE_ENTRIES, Keys, STEP_ENTRIES};
pub use load::{SPEC_BYTES, folder, load};
pub use lock::{Absent, Declared, Difference, Found, Lock, Verdict, declared, facts, lock_path, locked};
pub use memory::{FEATURE_BATCH, Memory};
pub use outlook::Outlook;
pub use phases::{CACHE_LIMIT, LastBatch, Phase, StepGraphs};
pub use placement::{Placement, on_processor};

use crate::data::Dataset;
use crate::diag::{Code, Diagnostic, Label, Result};
use crate::graph::{Cut, Network, Objective, Target};
use crate::ir::{Graph, onnx};
use crate::kernels::Device;
use crate::spec::Spec;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Reads and checks the source model.
    Model,
    /// Lists the samples and labels of a dataset.
    Index {
        /// The dataset.
        set: String,
    },
    /// Takes the validation set from the training set.
    Split,
    /// Computes the frozen prefix once for each sample of a dataset.
    Features {
        /// The first phase that needs them.
        phase: usize,
        /// The dataset.
        set: String,
    },
    /// Trains.
    Train {
        /// The phase.
        phase: usize,
    },
    /// Measures on a dataset.
    Evaluate {
        /// The dataset.
        set: String,
    },
    /// Writes the fine-tuned model and checks it.
    Export,
    /// Writes the report.
    Report,
}

/// A planned run.
pub struct Plan {
    /// The spec, `balanced` class weights as numbers.
    pub spec: Spec,
    /// Folder that relative paths start from.
    pub base: PathBuf,
    /// The network in evaluation form.
    pub network: Network,
    /// The terms of the objective.
    pub objective: Objective,
    /// Class weights that the training set decided.
    pub balanced: Vec<Balanced>,
    /// Datasets by name, `validation` included.
    pub sets: BTreeMap<String, Arc<Dataset>>,
    /// Phases in order.
    pub phases: Vec<Phase>,
    /// What the steps run on.
    pub target: Target,
    /// The steps; an edge leads from what is needed to what needs it.
    pub dag: DiGraph<Step, ()>,
    /// What is odd but not wrong.
    pub warnings: Vec<Diagnostic>,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be run here.
    Run,
    /// To be looked at: the GPU that it asks for may be missing.
    Show,
    /// To find what is wrong with the spec: the data may be missing too, with less to be said.
    Check,
}

impl Plan {
    /// Resolves a spec. `base` is the folder that relative paths start from.
    ///
    /// # Errors
    /// All problems that can be found without decoding data, at once as far as they do not depend on each other: those of names, shapes
    /// and labels, operators without a gradient, parameters that no loss reaches, preprocessing that cannot be exported.
    pub fn build(spec: &Spec, base: &Path) -> std::result::Result<Self, Vec<Diagnostic>> {
        Self::resolve(spec, base, Purpose::Run)
    }

    /// As [`Plan::build`], for a machine that may lack the GPU that is asked for. Such a plan is to be looked at, not run.
    ///
    /// # Errors
    /// As [`Plan::build`].
    pub fn show(spec: &Spec, base: &Path) -> std::result::Result<Self, Vec<Diagnostic>> {
        Self::resolve(spec, base, Purpose::Show)
    }

    /// As [`Plan::build`], for a machine that has the model and may lack the data: then nothing is said of data, and what is absent is a
    /// warning. Such a plan is to be looked at, not run.
    ///
    /// # Errors
    /// As [`Plan::build`].
    pub fn check(spec: &Spec, base: &Path) -> std::result::Result<Self, Vec<Diagnostic>> {
        Self::resolve(spec, base, Purpose::Check)
    }

    fn resolve(spec: &Spec, base: &Path, purpose: Purpose) -> std::result::Result<Self, Vec<Diagnostic>> {
        let mut warnings = Vec::new();
        let made = Self::resolve_with(spec, base, purpose, &mut warnings);
        made.map_err(|problems| problems.into_iter().chain(warnings).collect())
    }

    fn resolve_with(
        spec: &Spec,
        base: &Path,
        purpose: Purpose,
        warnings: &mut Vec<Diagnostic>,
    ) -> std::result::Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let source = match load_source(spec, base, warnings) {
            Ok(source) => source,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let target = Target::of(&spec.runtime);
        let may_lack = purpose == Purpose::Show && target.device == Device::Cuda;
        problems.extend(target.problem(&spec.runtime, purpose != Purpose::Check).filter(|_| !may_lack));
        target.prepare();
        let (sets, found) = sets::open(spec, base);
        let absent = |problem: &Diagnostic| matches!(problem.code(), Code::DataMissing | Code::LfsPointer);
        let (absent, wrong): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|problem| purpose == Purpose::Check && absent(problem));
        warnings.extend(absent.iter().map(sets::not_looked_at));
        problems.extend(wrong);
        if !problems.is_empty() {
            return Err(problems);
        }
        let sample = sets::sample_shape(spec, &sets).unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        problems.extend(export::preprocess(spec, &sets));
        let network = Network::assemble(spec, source, sample.as_deref());
        let of_machine = |code| matches!(code, Code::RuntimeMissing | Code::RuntimeWrong | Code::OutOfMemory);
        // What is said of no other place is said of the model.
        let of_model = |problem: Diagnostic| match spec.model.source {
            Some(_) if problem.labels().is_empty() && !of_machine(problem.code()) => problem.at("/model/source", ""),
            _ => problem,
        };
        // Sizes that the model leaves to the data are not missing beside what is wrong with the transforms.
        let of_source = |problem: &Diagnostic| match problem.labels() {
            [Label::Pointer { pointer, .. }] => pointer == "/model/source",
            _ => false,
        };
        let without_size = sample.is_none() && !problems.is_empty();
        let follows =
            |problem: &Diagnostic| without_size && problem.code() == Code::ShapeMismatch && of_source(problem);
        let network = network
            .map_err(|found| found.into_iter().filter(|problem| !follows(problem)).map(of_model).collect::<Vec<_>>());
        let network = join(&mut problems, network)?;
        problems.extend(fit::check(spec, &network, sample.as_deref()));
        warnings.extend(network.warnings.iter().cloned());
        let mut objective = join(&mut problems, Objective::build(spec, &network))?;
        problems.extend(export::outputs(spec, &network));
        problems.extend(labels::check(spec, &sets, &objective));
        let mut spec = spec.clone();
        let balanced = sets.get("train").map(|train| balance::resolve(&mut spec, &mut objective, train));
        let balanced = balanced.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|mut found| {
            problems.append(&mut found);
            Vec::new()
        });
        let phases = join(&mut problems, phases::build(&spec, &network, &objective, &sets, target))?;
        warnings.extend(patterns::without_effect(&spec, &network, &phases));
        warnings.extend(idle::terms(&spec, &network, &objective, &phases));
        if !problems.is_empty() {
            return Err(problems);
        }
        let dag = dag(&spec, &sets, &phases);
        let base = base.to_path_buf();
        let warnings = std::mem::take(warnings);
        Ok(Self { spec, base, network, objective, balanced, sets, phases, target, dag, warnings })
    }

    /// The steps in an order in which each comes after what it needs; ties in the order in which they were added.
    pub fn order(&self) -> Vec<NodeIndex> {
        let mut order: Vec<NodeIndex> = Vec::new();
        let mut left: BTreeSet<NodeIndex> = self.dag.node_indices().collect();
        let free = |left: &BTreeSet<NodeIndex>, node: &NodeIndex| {
            !self.dag.neighbors_directed(*node, Direction::Incoming).any(|need| left.contains(&need))
        };
        while let Some(node) = left.iter().find(|node| free(&left, node)).copied() {
            left.remove(&node);
            order.push(node);
        }
        order
    }

    /// Names of the datasets that are measured at the end.
    pub fn evaluated(&self) -> Vec<String> {
        evaluated(&self.spec, &self.sets)
    }

    /// Names of the datasets that are measured after every epoch: the validation set and what is watched or kept.
    pub fn watched(&self) -> Vec<String> {
        watched(&self.spec, &self.sets)
    }
}

fn watched(spec: &Spec, sets: &BTreeMap<String, Arc<Dataset>>) -> Vec<String> {
    let named = spec.schedule.stop.iter().map(|stop| &stop.watch).chain(&spec.schedule.keep.best);
    let mut watched: Vec<String> =
        named.filter_map(|watch| watch.split_once('.').map(|(set, _)| set.to_owned())).collect();
    if sets.contains_key("validation") {
        watched.push("validation".to_owned());
    }
    watched.sort();
    watched.dedup();
    watched
}

/// What was made; if it could not be, everything that is wrong up to here.
fn join<T>(
    problems: &mut Vec<Diagnostic>,
    made: std::result::Result<T, Vec<Diagnostic>>,
) -> std::result::Result<T, Vec<Diagnostic>> {
    made.map_err(|found| std::mem::take(problems).into_iter().chain(found).collect())
}

fn evaluated(spec: &Spec, sets: &BTreeMap<String, Arc<Dataset>>) -> Vec<String> {
    match &spec.evaluate.datasets {
        Some(names) => names.clone(),
        None => sets.keys().filter(|name| *name != "train").cloned().collect(),
    }
}

/// Reads the source model, if there is one.
fn load_source(spec: &Spec, base: &Path, warnings: &mut Vec<Diagnostic>) -> Result<Option<Graph>> {
    let Some(source) = &spec.model.source else { return Ok(None) };
    let at = |error: Diagnostic| if error.labels().is_empty() { error.at("/model/source", "") } else { error };
    let path = runs::model(base, source).ok_or_else(|| {
        let name = source.trim_start_matches("run://");
        Diagnostic::error(Code::DataMissing, format!("no finished run `{name}`"))
            .at("/model/source", "")
            .help(format!("run the spec named `{name}` first"))
    })?;
    if let Some(expected) = &spec.model.sha256 {
        let bytes = crate::world::map(&path).map_err(at)?;
        let found: String = Sha256::digest(bytes.bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        if !found.eq_ignore_ascii_case(expected) {
            return Err(Diagnostic::error(
                Code::ModelRead,
                format!("`{source}` is not the file that the spec was written for"),
            )
            .at("/model/sha256", "")
            .note(format!("its sha256 is {found}")));
        }
    }
    let loaded = onnx::load(&path).map_err(at)?;
    warnings.extend(loaded.warnings.into_iter().map(at));
    Ok(Some(loaded.graph))
}

/// Lays the steps out.
fn dag(spec: &Spec, sets: &BTreeMap<String, Arc<Dataset>>, phases: &[Phase]) -> DiGraph<Step, ()> {
    let mut dag = DiGraph::new();
    let model = dag.add_node(Step::Model);
    let mut indexed = BTreeMap::new();
    for set in spec.data.sets.keys() {
        indexed.insert(set.clone(), dag.add_node(Step::Index { set: set.clone() }));
    }
    if let Some(validation) = &spec.data.validation {
        let split = dag.add_node(Step::Split);
        if let Some(from) = indexed.get(&validation.from) {
            dag.add_edge(*from, split, ());
        }
        indexed.insert(validation.from.clone(), split);
        indexed.insert("validation".to_owned(), split);
    }
    let mut last = None;
    let mut features: Vec<(&Cut, String, NodeIndex)> = Vec::new();
    let mut seen = |dag: &mut DiGraph<Step, ()>, number: usize, set: &str| {
        // What the frozen prefix gives for a set, or the set itself.
        let index = indexed.get(set).copied();
        let Ok(cut) = &phases[number].cut else { return index };
        if let Some((_, _, node)) = features.iter().find(|(other, name, _)| *other == cut && name == set) {
            return Some(*node);
        }
        let node = dag.add_node(Step::Features { phase: number, set: set.to_owned() });
        dag.add_edge(model, node, ());
        if let Some(index) = index {
            dag.add_edge(index, node, ());
        }
        features.push((cut, set.to_owned(), node));
        Some(node)
    };
    let watched = watched(spec, sets);
    for number in 0..phases.len() {
        let reads = std::iter::once("train").chain(watched.iter().map(String::as_str).filter(|set| *set != "train"));
        let needs: Vec<NodeIndex> = reads.filter_map(|set| seen(&mut dag, number, set)).collect();
        let train = dag.add_node(Step::Train { phase: number });
        for need in [model].into_iter().chain(last).chain(needs) {
            dag.update_edge(need, train, ());
        }
        last = Some(train);
    }
    let Some(last) = last else { return dag };
    let mut measured = vec![last];
    for set in evaluated(spec, sets) {
        let need = seen(&mut dag, phases.len() - 1, &set);
        let evaluate = dag.add_node(Step::Evaluate { set });
        for need in [last].into_iter().chain(need) {
            dag.update_edge(need, evaluate, ());
        }
        measured.push(evaluate);
    }
    let export = dag.add_node(Step::Export);
    for need in measured {
        dag.add_edge(need, export, ());
    }
    let report = dag.add_node(Step::Report);
    dag.add_edge(export, report, ());
    dag
}
