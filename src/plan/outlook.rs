//! What a run would do with each step, and why: the plan as a table, as JSON and as drawings.

use super::{Fate, Keys, Placement, Plan, Reuse, Step};
use crate::diag::{Result, bytes};
use crate::kernels::Device;
use crate::native;
use crate::world::Store;
use petgraph::Direction;
use petgraph::graph::NodeIndex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What becomes of the steps of a plan with a store as it is now.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    fates: BTreeMap<NodeIndex, Fate>,
    changes: BTreeMap<NodeIndex, Vec<String>>,
    keys: Keys,
    bytes: BTreeMap<NodeIndex, u64>,
    placement: Option<Placement>,
}

impl Outlook {
    /// Looks every step up.
    ///
    /// # Errors
    /// When ONNX Runtime cannot be loaded or the store cannot be listed.
    pub fn of(plan: &Plan, store: &Store) -> Result<Self> {
        // What was made on a GPU that is not here cannot be looked up.
        let here = plan.target.device == Device::Cpu || native::cuda::is_usable();
        let keys = if here { plan.cached_keys()? } else { Keys::default() };
        let mut bytes = BTreeMap::new();
        for node in plan.dag.node_indices() {
            if let Step::Features { phase, set } = &plan.dag[node]
                && let Ok(cut) = &plan.phases[*phase].cut
            {
                bytes.insert(node, plan.feature_bytes(cut, set));
            }
        }
        let (fates, changes) = (plan.fates(store, &keys, Reuse::All, 0), plan.changes(store, &keys)?);
        Ok(Self { fates, changes, keys, bytes, placement: None })
    }

    /// Says as well which nodes of the training steps run where.
    #[must_use]
    pub fn placed(self, placement: Placement) -> Self {
        Self { placement: Some(placement), ..self }
    }

    /// What is said below the training of a phase of where its nodes run.
    pub(super) fn placed_in(&self, phase: usize) -> Option<String> {
        self.placement.as_ref()?.said(phase)
    }

    /// What becomes of a step, in a word.
    fn word(&self, node: NodeIndex) -> &'static str {
        match self.fates.get(&node) {
            Some(Fate::Cached) => "cached",
            Some(Fate::Run) => "run",
            Some(Fate::Idle) => "not needed",
            Some(Fate::Always) | None => "always",
        }
    }

    /// What is said below a step in the table.
    pub(super) fn said(&self, node: NodeIndex) -> Option<String> {
        match self.fates.get(&node)? {
            Fate::Always => None,
            Fate::Cached => Some("cached".to_owned()),
            Fate::Idle => Some("not needed: what it is for is cached".to_owned()),
            Fate::Run => Some(match self.changes.get(&node).map(Vec::as_slice) {
                Some([]) | None if self.keys.get(node).is_none() => "to run".to_owned(),
                Some([]) | None => "to run: the cache has nothing like it".to_owned(),
                Some(changed) => format!("to run: changed since it was last made: {}", changed.join(", ")),
            }),
        }
    }
}

impl Plan {
    /// Keys of the steps, none when the spec turns the cache off.
    ///
    /// # Errors
    /// As [`Plan::keys`].
    pub fn cached_keys(&self) -> Result<Keys> {
        if self.spec.runtime.cache.limit == Some(0) { Ok(Keys::default()) } else { self.keys() }
    }

    /// The plan for programs: every step with what it needs, does and costs.
    ///
    /// # Errors
    /// As [`Plan::memory`].
    pub fn to_json(&self, outlook: &Outlook) -> Result<Value> {
        let order = self.order();
        let place = |node: NodeIndex| order.iter().position(|other| *other == node).map_or(0, |at| at + 1);
        let steps: Vec<Value> = order
            .iter()
            .map(|node| {
                let step = &self.dag[*node];
                let mut needs: Vec<usize> =
                    self.dag.neighbors_directed(*node, Direction::Incoming).map(place).collect();
                needs.sort_unstable();
                let mut value = json!({
                    "id": place(*node),
                    "step": step.name(),
                    "about": self.about(step),
                    "needs": needs,
                    "state": outlook.word(*node),
                });
                if outlook.word(*node) == "run" {
                    value["changed"] = json!(outlook.changes.get(node).cloned().unwrap_or_default());
                }
                if let Some(key) = outlook.keys.get(*node) {
                    value["key"] = json!(key.digest());
                }
                if let Some(bytes) = outlook.bytes.get(node) {
                    value["bytes_cached"] = json!(bytes);
                }
                self.add_numbers(step, &mut value);
                if let (Step::Train { phase }, Some(placement)) = (step, &outlook.placement) {
                    placement.add_to(*phase, &mut value);
                }
                value
            })
            .collect();
        let mut value = json!({ "name": self.spec.name, "memory": self.memory()?.to_json(), "steps": steps });
        if let Some(memory) = self.device_memory()? {
            value["gpu_memory"] = memory.to_json();
        }
        Ok(value)
    }

    fn add_numbers(&self, step: &Step, value: &mut Value) {
        match step {
            Step::Index { set } | Step::Evaluate { set } | Step::Features { set, .. } => {
                value["dataset"] = json!(set);
                value["samples"] = json!(self.sets.get(set).map_or(0, |set| set.len()));
            }
            Step::Train { phase } => {
                let phase = &self.phases[*phase];
                value["epochs"] = json!(phase.epochs);
                value["steps"] = json!(phase.steps);
                value["trained_parameters"] = json!(self.trained(phase));
                value["trained_tensors"] = json!(phase.trainable.params.len());
                match &phase.cut {
                    Ok(cut) => {
                        let names = cut.values.iter().map(|value| self.network.graph.name(*value));
                        let values: BTreeMap<&str, &Vec<usize>> = names.zip(&cut.shapes).collect();
                        value["starts_from"] = json!(values);
                    }
                    Err(why) => value["whole_network_because"] = json!(why),
                }
            }
            _ => {}
        }
    }

    /// The steps as a drawing for Graphviz.
    pub fn to_dot(&self, outlook: &Outlook) -> String {
        let mut out = "digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
        self.draw(
            outlook,
            &mut out,
            |number, lines, word| {
                let text = lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\"")).collect::<Vec<_>>();
                let style = match word {
                    "cached" => ", style=filled, fillcolor=\"#dcefdc\"",
                    "run" => ", style=filled, fillcolor=\"#fbe8c8\"",
                    "not needed" => ", style=dashed",
                    _ => "",
                };
                format!("  s{number} [label=\"{}\"{style}];\n", text.join("\\n"))
            },
            |from, to| format!("  s{from} -> s{to};\n"),
        );
        out + "}\n"
    }

    /// The steps as a drawing for Mermaid, which pages of code hosts show.
    pub fn to_mermaid(&self, outlook: &Outlook) -> String {
        let mut out = "flowchart LR\n".to_owned();
        self.draw(
            outlook,
            &mut out,
            |number, lines, word| {
                let text = lines.iter().map(|line| line.replace('"', "#quot;").replace('`', "'")).collect::<Vec<_>>();
                let class = word.replace(' ', "_");
                format!("  s{number}[\"{}\"]:::{class}\n", text.join("<br>"))
            },
            |from, to| format!("  s{from} --> s{to}\n"),
        );
        out + "  classDef cached fill:#dcefdc\n  classDef run fill:#fbe8c8\n  classDef not_needed stroke-dasharray:4\n"
    }

    fn draw(
        &self,
        outlook: &Outlook,
        out: &mut String,
        node_text: impl Fn(usize, &[String], &str) -> String,
        edge_text: impl Fn(usize, usize) -> String,
    ) {
        let order = self.order();
        let place = |node: NodeIndex| order.iter().position(|other| *other == node).map_or(0, |at| at + 1);
        for node in &order {
            let step = &self.dag[*node];
            let word = outlook.word(*node);
            let mut lines = vec![step.name().to_owned()];
            lines.extend(Some(self.about(step)).filter(|about| !about.is_empty()));
            if let Some(bytes_cached) = outlook.bytes.get(node) {
                lines.push(bytes(*bytes_cached));
            }
            lines.extend((word != "always").then(|| word.to_owned()));
            out.push_str(&node_text(place(*node), &lines, word));
        }
        for edge in self.dag.edge_indices() {
            if let Some((from, to)) = self.dag.edge_endpoints(edge) {
                let _ = write!(out, "{}", edge_text(place(from), place(to)));
            }
        }
    }
}
