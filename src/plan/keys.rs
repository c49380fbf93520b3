//! What each step depends on (DESIGN D11): its key in the store. A step with the same key gives the same bytes.
//!
//! A key names every part by itself, so that `pipe plan` can say which one changed. The graphs go in as they will be run, weights included:
//! whatever in this program makes another graph makes another key. What else a step's code does has a revision, which changes when its
//! output would.

use super::{Phase, Plan, Step};
use crate::data::Dataset;
use crate::diag::Result;
use crate::graph::{Cut, TrainGraph, prefix_graph};
use crate::ir::onnx;
use crate::kernels::Device;
use crate::native;
use crate::parts::sources::Labels;
use crate::spec::{OnError, canonical};
use crate::world::{StoreKey as Key, env};
use petgraph::graph::NodeIndex;
use rayon::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// Changes when the frozen prefix of the same graph and samples would give other bytes.
const FEATURES: u32 = 2;
/// Changes when training the same graph on the same batches would give other bytes; `tests/it/steps.rs` holds a digest of that.
const TRAIN: u32 = 2;
/// Changes when the same scores would be computed or written differently.
const EVALUATE: u32 = 1;
/// Changes when the same network would be written differently.
const EXPORT: u32 = 1;

/// Name of the family of entries that hold features.
pub const FEATURE_ENTRIES: &str = "features";
/// Name of the family of entries that hold what other steps made.
pub const STEP_ENTRIES: &str = "steps";

/// Keys of the steps that can be served from a store.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<NodeIndex, Key>);

impl Keys {
    /// Keys of features only.
    #[must_use]
    pub fn of_features(self, plan: &Plan) -> Self {
        let features = |node: &NodeIndex| matches!(plan.dag[*node], Step::Features { .. });
        Self(self.0.into_iter().filter(|(node, _)| features(node)).collect())
    }

    /// Digest of the network as training finds it and of the samples that it is trained on; `None` without keys.
    pub fn ground(&self) -> Option<String> {
        let first = self.0.values().find(|key| key.what == "train phase 1")?;
        let parts = ["network", "samples of `train`", "labels of `train`"].map(|name| first.parts.get(name).cloned());
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    /// The key of a step; `None` for steps that are never stored.
    pub fn get(&self, node: NodeIndex) -> Option<&Key> {
        self.0.get(&node)
    }
}

impl Step {
    /// The family that entries of this step belong to; `None` for steps that are never stored.
    pub fn entries(&self) -> Option<&'static str> {
        match self {
            Self::Features { .. } => Some(FEATURE_ENTRIES),
            Self::Train { .. } | Self::Evaluate { .. } | Self::Export => Some(STEP_ENTRIES),
            Self::Model | Self::Index { .. } | Self::Split | Self::Report => None,
        }
    }
}

/// Samples of a dataset: their bytes in order, and what a run reads of them besides.
struct Content {
    bytes: [u8; 32],
    labels: [u8; 32],
}

impl Plan {
    /// Keys of all steps. Reads every sample's bytes, or remembers their digest; decodes none.
    ///
    /// # Errors
    /// When ONNX Runtime cannot be loaded.
    pub fn keys(&self) -> Result<Keys> {
        let contents: BTreeMap<&str, Content> =
            self.sets.iter().map(|(name, set)| (name.as_str(), content(set))).collect();
        let mut making = Making {
            plan: self,
            machine: machine(self)?,
            network: onnx::digest(&self.network.graph),
            contents,
            keys: BTreeMap::new(),
            trained: Vec::new(),
            measured: BTreeMap::new(),
        };
        for node in self.order() {
            let key = match &self.dag[node] {
                Step::Features { phase, set } => match &self.phases[*phase].cut {
                    Ok(cut) => making.features(cut, set),
                    Err(_) => continue,
                },
                Step::Train { phase } => making.train(*phase),
                Step::Evaluate { set } => making.evaluate(set),
                Step::Export => making.export(),
                Step::Model | Step::Index { .. } | Step::Split | Step::Report => continue,
            };
            making.keys.insert(node, key);
        }
        Ok(Keys(making.keys))
    }
}

/// What the same graph may give other bits on.
fn machine(plan: &Plan) -> Result<String> {
    let build = native::build_info()?;
    Ok(match plan.target.device {
        Device::Cpu => format!("{build} {}", env::instruction_set()),
        Device::Cuda => {
            let gpu = native::cuda::gpu()?;
            format!("{build} {} {:?} {:?}", gpu.name, plan.target.precision, plan.target.deterministic)
        }
    })
}

struct Making<'p> {
    plan: &'p Plan,
    machine: String,
    network: [u8; 32],
    contents: BTreeMap<&'p str, Content>,
    keys: BTreeMap<NodeIndex, Key>,
    /// Digests of the keys of the phases.
    trained: Vec<String>,
    /// Digests of the keys of the final evaluations.
    measured: BTreeMap<String, String>,
}

impl Making<'_> {
    fn key(&self, what: String, revision: u32) -> Key {
        let code = format!("{} {revision} {}", env!("CARGO_PKG_VERSION"), crate::data::REVISION);
        Key::new(what, &self.plan.spec.name).part("ONNX Runtime or machine", &self.machine).part("pipe", code)
    }

    /// Adds a dataset: samples, labels, transforms.
    fn data(&self, key: Key, set: &str) -> Key {
        let transforms = canonical(&(self.plan.transforms(set), self.plan.eval_transforms(set)));
        let Some(content) = self.contents.get(set) else { return key };
        key.part(&format!("samples of `{set}`"), content.bytes)
            .part(&format!("labels of `{set}`"), content.labels)
            .part(&format!("transforms of `{set}`"), transforms)
    }

    fn features(&self, cut: &Cut, set: &str) -> Key {
        let key = self.key(format!("features {set}"), FEATURES);
        let key = key.part("frozen prefix", onnx::digest(&prefix_graph(&self.plan.network, cut)));
        let key = key.part("transforms", canonical(&self.plan.transforms(set)));
        self.contents.get(set).map_or(key.clone(), |content| key.part("samples", content.bytes))
    }

    fn train(&mut self, number: usize) -> Key {
        let plan = self.plan;
        let (spec, phase) = (&plan.spec, &plan.phases[number]);
        let schedule = &spec.schedule;
        let mut key = self
            .key(format!("train phase {}", number + 1), TRAIN)
            .part("network", self.network)
            .part("training step", step(phase))
            .part("seed", spec.seed.to_le_bytes())
            .part("loss", canonical(&spec.loss))
            .part("regularizer", canonical(&spec.regularizer))
            .part("optimizer", canonical(&phase.optimizer))
            .part("length", canonical(&json!([phase.epochs, phase.steps])))
            .part("learning rate", canonical(&phase.lr))
            .part("batches", canonical(&json!([schedule.batch, schedule.accumulate, schedule.last, schedule.shuffle])))
            .part("stop and best", canonical(&json!([schedule.stop, schedule.keep.best])))
            .part("features", self.cut_names(phase));
        key = self.data(key, "train");
        let watched = plan.watched();
        for set in watched.iter().filter(|set| *set != "train") {
            key = self.data(key, set);
        }
        if !watched.is_empty() {
            key = key.part("metrics", canonical(&spec.evaluate.metrics));
        }
        if let Some(before) = self.trained.last() {
            key = key.part("phase before", before);
        }
        self.trained.push(key.digest());
        key
    }

    fn evaluate(&mut self, set: &str) -> Key {
        let plan = self.plan;
        let mut key = self
            .key(format!("evaluate {set}"), EVALUATE)
            .part("metrics", canonical(&plan.spec.evaluate.metrics))
            .part("batches", plan.spec.schedule.batch.to_le_bytes());
        key = self.data(key, set);
        if let Some(trained) = self.trained.last() {
            key = key.part("trained weights", trained);
        }
        self.measured.insert(set.to_owned(), key.digest());
        key
    }

    fn export(&self) -> Key {
        let plan = self.plan;
        let mut key = self
            .key("export".to_owned(), EXPORT)
            .part("spec", crate::spec::identity(&plan.spec))
            .part("transforms", canonical(&super::sets::exported(&plan.spec, &plan.sets).map(|(chosen, _)| chosen)));
        if let Some(trained) = self.trained.last() {
            key = key.part("trained weights", trained);
        }
        // The exported file is checked against what the first of them found.
        if let Some(measured) = self.measured.values().next() {
            key = key.part("evaluation", measured);
        }
        key
    }

    /// Where a phase starts from: features summed in other batches have other bits.
    fn cut_names(&self, phase: &Phase) -> String {
        let name = |value: &crate::ir::ValueId| self.plan.network.graph.name(*value);
        phase
            .cut
            .as_ref()
            .map_or_else(|_| String::new(), |cut| cut.values.iter().map(name).collect::<Vec<_>>().join("\n"))
    }
}

/// The graphs of a training step without the numbers of its constants, which are the network's.
fn step(phase: &Phase) -> String {
    let text = |graph: &TrainGraph| format!("{}\n{}\n{:?}", graph.batch, graph.graph.dump(), graph.params);
    let graphs = &phase.graphs;
    format!("{:?}\n{}\n{}", graphs.last, text(&graphs.full), graphs.short.as_ref().map_or_else(String::new, text))
}

/// A sample that cannot be read counts as such; whoever needs it says why.
fn content(set: &Dataset) -> Content {
    let rows: Vec<[u8; 32]> = (0..set.len()).into_par_iter().map(|row| set.content(row).unwrap_or_default()).collect();
    let mut bytes = blake3::Hasher::new();
    bytes.update(rows.as_flattened());
    bytes.update(&[u8::from(set.on_error() == OnError::Skip)]);
    let mut labels = blake3::Hasher::new();
    for row in 0..set.len() {
        let sample = set.sample(row);
        // Random numbers of a sample hang on its place in the source.
        labels.update(&(sample as u64).to_le_bytes());
        match set.labels() {
            Labels::Classes { ids, .. } => labels.update(&ids[sample].to_le_bytes()),
            Labels::Values { data, width } => {
                let row = &data[sample * width..][..*width];
                row.iter().fold(&mut labels, |labels, value| labels.update(&value.to_le_bytes()))
            }
            Labels::None => &mut labels,
        };
    }
    for name in set.labels().names() {
        labels.update(name.as_bytes()).update(&[0]);
    }
    Content { bytes: *bytes.finalize().as_bytes(), labels: *labels.finalize().as_bytes() }
}
