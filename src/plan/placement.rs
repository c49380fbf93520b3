//! Which nodes of the training steps a GPU does not run.

use super::{Plan, StepGraphs};
use crate::diag::{Code, Diagnostic, Result};
use crate::kernels::Device;
use crate::native::cuda::{Fallback, fallbacks, ready};
use crate::native::{Options, Session};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nodes that are named in the text of a plan.
const SHOWN: usize = 8;

/// Where the nodes of the training steps run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// On the processor, all of them.
    Processor,
    /// On a GPU, which this machine does not have, so that nobody knows which of them do.
    Unknown(String),
    /// On a GPU, except for these of each phase.
    Gpu(Vec<Vec<Fallback>>),
}

impl Plan {
    /// Loads the step of every phase on the GPU, if there is one, and asks what was placed where.
    ///
    /// # Errors
    /// What stands against loading a step: a run would meet it too.
    pub fn placement(&self) -> Result<Placement> {
        if self.target.device == Device::Cpu {
            return Ok(Placement::Processor);
        }
        if let Err(problem) = ready() {
            return Ok(Placement::Unknown(problem.message().to_owned()));
        }
        let options = Options { cuda: self.target.cuda(), ..Options::default() };
        let mut known: Vec<(&Arc<StepGraphs>, Vec<Fallback>)> = Vec::new();
        for phase in &self.phases {
            let same = known.iter().find(|(graphs, _)| Arc::ptr_eq(graphs, &phase.graphs));
            let found = match same {
                Some((_, found)) => found.clone(),
                None => fallbacks(&Session::build(&phase.graphs.full.graph, &options)?)?,
            };
            known.push((&phase.graphs, found));
        }
        Ok(Placement::Gpu(known.into_iter().map(|(_, found)| found).collect()))
    }
}

impl Placement {
    /// What a run would say of all that, or with `strict` refuse.
    pub fn problem(&self, strict: bool) -> Option<Diagnostic> {
        let Self::Gpu(phases) = self else { return None };
        phases.iter().find_map(|nodes| on_processor(nodes, strict))
    }

    /// What is said below the training of a phase.
    pub(super) fn said(&self, phase: usize) -> Option<String> {
        let nodes = match self {
            Self::Processor => return None,
            Self::Unknown(why) => {
                return Some(format!("what runs on the processor is known only on a machine with a GPU: {why}"));
            }
            Self::Gpu(phases) => phases.get(phase)?,
        };
        if nodes.is_empty() {
            return Some("every node runs on the GPU".to_owned());
        }
        let mut names: Vec<String> =
            nodes.iter().take(SHOWN).map(|Fallback { op, node }| format!("{op} `{node}`")).collect();
        if nodes.len() > SHOWN {
            names.push(format!("and {} more", nodes.len() - SHOWN));
        }
        Some(format!("on the processor: {}", names.join(", ")))
    }

    /// The same for programs.
    pub(super) fn add_to(&self, phase: usize, value: &mut Value) {
        match self {
            Self::Processor => {}
            Self::Unknown(why) => value["placement_unknown_because"] = json!(why),
            Self::Gpu(phases) => {
                let nodes = phases.get(phase).into_iter().flatten();
                let nodes = nodes.map(|Fallback { op, node }| json!({ "op": op, "node": node }));
                value["on_processor"] = nodes.collect();
            }
        }
    }
}

/// What is said of nodes that the device does not run.
pub fn on_processor(nodes: &[Fallback], strict: bool) -> Option<Diagnostic> {
    let mut ops: BTreeMap<&str, usize> = BTreeMap::new();
    for node in nodes {
        *ops.entry(&node.op).or_default() += 1;
    }
    if ops.is_empty() {
        return None;
    }
    let list: Vec<String> = ops.iter().map(|(op, count)| format!("{op} ({count})")).collect();
    let message = format!("{} of the training step run on the processor, not on the GPU", list.join(", "));
    let problem = if strict {
        Diagnostic::error(Code::OnProcessor, message)
    } else {
        Diagnostic::warning(Code::OnProcessor, message)
    };
    Some(
        problem.note("what they read and give is copied there and back in every step").help(
            "freeze the network up to these nodes, export it with other operators, or set `runtime: {device: cpu}`",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<Fallback> {
        (0..count).map(|i| Fallback { op: "pipe::LstmGrad".to_owned(), node: format!("lstm{i}") }).collect()
    }

    #[test]
    fn nodes_on_the_processor_are_listed_and_what_is_not_known_is_said() {
        let placed = Placement::Gpu(vec![Vec::new(), nodes(2), nodes(10)]);
        assert_eq!(placed.said(0).unwrap(), "every node runs on the GPU");
        assert_eq!(placed.said(1).unwrap(), "on the processor: pipe::LstmGrad `lstm0`, pipe::LstmGrad `lstm1`");
        assert!(placed.said(2).unwrap().ends_with("`lstm7`, and 2 more"));
        let json = |placement: &Placement, phase| {
            let mut value = json!({});
            placement.add_to(phase, &mut value);
            value
        };
        assert_eq!(json(&placed, 0), json!({ "on_processor": [] }));
        assert_eq!(json(&placed, 1)["on_processor"][1], json!({ "op": "pipe::LstmGrad", "node": "lstm1" }));
        let unknown = Placement::Unknown("no driver".to_owned());
        assert!(unknown.said(0).unwrap().contains("a machine with a GPU: no driver"));
        assert_eq!(json(&unknown, 0), json!({ "placement_unknown_because": "no driver" }));
        assert_eq!((Placement::Processor.said(0), json(&Placement::Processor, 0)), (None, json!({})));
    }

    #[test]
    fn a_strict_plan_is_refused_as_its_run_is() {
        let placed = Placement::Gpu(vec![Vec::new(), nodes(2)]);
        let said = |strict| placed.problem(strict).map(|problem| (problem.code(), problem.severity()));
        assert_eq!(said(true), Some((Code::OnProcessor, crate::diag::Severity::Error)));
        assert_eq!(said(false), Some((Code::OnProcessor, crate::diag::Severity::Warning)));
        assert!(Placement::Gpu(vec![Vec::new()]).problem(true).is_none());
    }
}
