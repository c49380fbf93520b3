//! The plan of a bare model: everything is trained, with a loss on its first float output. There are no data and no steps to walk.

use super::phases::StepGraphs;
use super::{LastBatch, Phase, Plan};
use crate::diag::Diagnostic;
use crate::graph::{
    Chosen as Size, Network, Objective, StepForm, Target, TermPlan, resolve_freeze, train_graph, unmatched_nodes,
};
use crate::ir::onnx;
use crate::parts::Chosen;
use crate::spec::{Data, Model, Optimizer, Schedule, Spec, Term, Weight};
use petgraph::graph::DiGraph;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Plan {
    /// Plans the training step of an ONNX model without a spec: all parameters move, BatchNorm takes batch statistics. The loss is the
    /// cross entropy of an output [N, classes], else the mean square of the output against zeros. Also says which sizes free
    /// dimensions were given; `dims` sets them by name.
    ///
    /// # Errors
    /// What reading the model and [`Network::of_model`] say.
    pub fn of_model(
        path: &Path,
        dims: &BTreeMap<String, usize>,
        optimizer: Optimizer,
        batch: usize,
        runtime: crate::spec::Runtime,
    ) -> std::result::Result<(Self, Vec<Size>), Vec<Diagnostic>> {
        let one = |error: Diagnostic| vec![error];
        let target = Target::of(&runtime);
        if let Some(problem) = target.problem(&runtime, true) {
            return Err(one(problem));
        }
        target.prepare();
        let loaded = onnx::load(path).map_err(one)?;
        let (network, sizes) = Network::of_model(loaded.graph, dims)?;
        let (branch, value) = network.branch(None).map_err(one)?;
        let units = network.graph.ty(value).and_then(|ty| ty.sample()).unwrap_or_default();
        let classes = matches!(units.as_slice(), [classes] if *classes > 1);
        // A flattened output is no longer the one that the branch is called after.
        let whole = network.graph.name(value) == branch;
        let kind = if classes && whole { "cross_entropy" } else { "mse" };
        let loss = Chosen::new(kind, json!({}));
        let term = TermPlan {
            name: kind.to_owned(),
            loss: loss.build().map_err(one)?,
            branch,
            value,
            units,
            weight: Weight::default(),
        };
        let problems = unmatched_nodes(&network, &runtime.recompute, "");
        if !problems.is_empty() {
            return Err(problems);
        }
        let trainable = resolve_freeze(&network, None, "")?;
        let spec = Spec {
            version: 1,
            name: path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            description: None,
            seed: 0,
            model: Model { source: Some(path.display().to_string()), ..Model::default() },
            freeze: None,
            layers: BTreeMap::new(),
            data: Data::default(),
            loss: BTreeMap::from([(
                kind.to_owned(),
                Term { loss, of: None, labels: None, stream: None, weight: Weight::default() },
            )]),
            regularizer: Vec::new(),
            optimizer: optimizer.clone(),
            schedule: Schedule { batch, accumulate: 1, ..Schedule::default() },
            evaluate: crate::spec::Evaluate::default(),
            export: crate::spec::Export::default(),
            sweep: None,
            runtime,
        };
        let cut = Err("the whole step is wanted".to_owned());
        let objective = Objective { terms: vec![term] };
        let full = train_graph(&network, &trainable, None, &objective, StepForm::of(&spec, target), batch)?;
        let graphs = Arc::new(StepGraphs { last: LastBatch::Fill, full, short: None });
        let phase = Phase { trainable, cut, graphs, optimizer, lr: None, epochs: None, steps: None };
        let plan = Self {
            spec,
            base: PathBuf::new(),
            network,
            objective,
            sets: BTreeMap::new(),
            balanced: Vec::new(),
            phases: vec![phase],
            target,
            dag: DiGraph::new(),
            warnings: loaded.warnings,
        };
        Ok((plan, sizes))
    }
}
