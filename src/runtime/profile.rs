//! Where the time of a training step goes, by operator, forward and backward apart.

use crate::diag::Result;
use crate::graph::TrainGraph;
use crate::native::{NodeTime, Profile};
use crate::world;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Batches of a phase that are profiled.
pub(super) const PROFILED: usize = 20;

/// One kind of operator in one direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProfileRow {
    /// The operator as ONNX Runtime runs it, fusions included.
    pub op: String,
    /// `forward`, or `backward` for what differentiation emitted.
    pub direction: &'static str,
    /// Runs in one step.
    pub count: f64,
    /// Milliseconds in one step.
    pub milliseconds: f64,
    /// Part of the step, from 0 to 1.
    pub share: f64,
}

/// The time of a step by operator. A step is a run over one batch, without the optimizer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ProfileTable {
    /// Steps that were averaged; the first one of a session is left out where there are more.
    pub steps: usize,
    /// Milliseconds of one step.
    pub milliseconds: f64,
    /// Milliseconds of one step outside all operators.
    pub between: f64,
    /// Milliseconds of the optimizer beside one step, on a GPU. There every kernel was waited for, so that each operator has its own time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<f64>,
    /// Longest first.
    pub rows: Vec<ProfileRow>,
}

impl ProfileTable {
    /// With the mean of the seconds that the optimizer took in each step; the first is left out where there are more.
    #[must_use]
    pub(super) fn with_optimizer(self, seconds: &[f64]) -> Self {
        let counted = &seconds[usize::from(seconds.len() > 1)..];
        let mean = 1e3 * counted.iter().sum::<f64>() / counted.len().max(1) as f64;
        Self { optimizer: Some(mean), ..self }
    }
}

/// A session that is being profiled.
pub(super) struct Profiling {
    folder: tempfile::TempDir,
    /// Whether a node was emitted by differentiation, by the names of the node and of its outputs.
    backward: BTreeMap<String, bool>,
}

impl Profiling {
    pub(super) fn new(train: &TrainGraph) -> Result<Self> {
        let mut backward = BTreeMap::new();
        for (index, node) in train.graph.nodes.iter().enumerate() {
            let names =
                node.outputs.iter().flatten().map(|output| train.graph.name(*output)).chain([node.name.as_str()]);
            backward
                .extend(names.filter(|name| !name.is_empty()).map(|name| (name.to_owned(), index >= train.forward)));
        }
        Ok(Self { folder: world::scratch_folder()?, backward })
    }

    /// What the path of ONNX Runtime's own file starts with.
    pub(super) fn prefix(&self) -> PathBuf {
        self.folder.path().join("profile")
    }

    /// Writes the trace and sums the operators up.
    pub(super) fn finish(&self, profile: &Profile, trace: &Path, title: &str) -> Result<ProfileTable> {
        let nodes = profile.nodes();
        let directions = self.directions(&nodes);
        profile.write_trace(trace, title, &directions)?;
        Ok(table(&profile.runs(), &nodes, &directions))
    }

    /// Whether a node was emitted by differentiation, where its name tells. A node in the blocked layout is called after its output, one that
    /// several were fused into after one of them, with `fused ` in front of it or the fusion behind.
    fn is_backward(&self, node: &str) -> Option<bool> {
        let node = node.strip_prefix("fused ").unwrap_or(node);
        let fused = node.match_indices('/').rev().map(|(at, _)| &node[..at]);
        let mut names = [node, node.strip_suffix("_nchwc").unwrap_or(node)].into_iter().chain(fused);
        names.find_map(|name| self.backward.get(name)).copied()
    }

    /// Direction of each run of a node. ONNX Runtime adds nodes under names of its own, such as changes of layout: of those, what runs after
    /// the first backward node of its step is backward.
    fn directions(&self, nodes: &[NodeTime]) -> Vec<&'static str> {
        let mut begun = (0, false);
        nodes
            .iter()
            .map(|time| {
                if begun.0 != time.run {
                    begun = (time.run, false);
                }
                let known = self.is_backward(time.node);
                begun.1 |= known == Some(true);
                if known.unwrap_or(begun.1) { "backward" } else { "forward" }
            })
            .collect()
    }
}

fn table(runs: &[u64], nodes: &[NodeTime], directions: &[&'static str]) -> ProfileTable {
    let first = usize::from(runs.len() > 1);
    let steps = runs.len() - first;
    let per_step = |total: u64| total as f64 / steps.max(1) as f64;
    let mut sums: BTreeMap<(&str, &'static str), (u64, u64)> = BTreeMap::new();
    for (time, direction) in nodes.iter().zip(directions).filter(|(time, _)| (first..runs.len()).contains(&time.run)) {
        let sum = sums.entry((time.op, direction)).or_default();
        sum.0 += 1;
        sum.1 += time.micros;
    }
    let whole: u64 = runs.iter().skip(first).sum();
    let inside: u64 = sums.values().map(|(_, micros)| micros).sum();
    let mut rows: Vec<ProfileRow> = sums
        .iter()
        .map(|((op, direction), (count, micros))| ProfileRow {
            op: (*op).to_owned(),
            direction,
            count: per_step(*count),
            milliseconds: per_step(*micros) / 1e3,
            share: *micros as f64 / (whole as f64).max(1.0),
        })
        .collect();
    rows.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    ProfileTable {
        steps,
        milliseconds: per_step(whole) / 1e3,
        between: per_step(whole.saturating_sub(inside)) / 1e3,
        optimizer: None,
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(run: usize, node: &'static str, op: &'static str, micros: u64) -> NodeTime<'static> {
        NodeTime { run, node, op, micros }
    }

    #[test]
    fn nodes_that_onnx_runtime_adds_go_where_they_run() {
        let names = [("conv", false), ("grad/conv/Conv", true)];
        let backward = names.map(|(name, backward)| (name.to_owned(), backward)).into();
        let profiling = Profiling { folder: world::scratch_folder().unwrap(), backward };
        let step = ["ReorderInput", "conv_nchwc", "ReorderOutput", "grad/conv/Conv", "ReorderOutput_token_1", "conv"];
        let nodes: Vec<_> = (0..12).map(|i| time(i / 6, step[i % 6], "Op", 1)).collect();
        let expect = ["forward", "forward", "forward", "backward", "backward", "forward"];
        assert_eq!(profiling.directions(&nodes), [expect, expect].concat());
    }

    #[test]
    fn fused_nodes_go_where_one_of_them_stood() {
        let names = [("/net/MatMul", false), ("grad//net/MatMul/Gemm", true), ("grad/early", true)];
        let backward = names.map(|(name, backward)| (name.to_owned(), backward)).into();
        let profiling = Profiling { folder: world::scratch_folder().unwrap(), backward };
        let step = [
            "grad/early",
            "/net/MatMul/MatMulAddFusion/GemmTransposeFusion/",
            "fused /net/MatMul",
            "grad//net/MatMul/Gemm/GemmTransposeFusion/",
        ];
        let nodes = step.map(|node| time(0, node, "Op", 1));
        assert_eq!(profiling.directions(&nodes), ["backward", "forward", "forward", "backward"]);
    }

    #[test]
    fn the_first_step_is_left_out_and_shares_are_of_the_whole_step() {
        let nodes = [
            time(0, "a", "Conv", 9000),
            time(1, "a", "Conv", 500),
            time(1, "b", "Conv", 300),
            time(2, "a", "Conv", 500),
            time(2, "c", "Relu", 200),
        ];
        let table = table(&[10_000, 1000, 1000], &nodes, &["forward", "forward", "backward", "forward", "backward"]);
        assert_eq!((table.steps, table.milliseconds, table.between), (2, 1.0, 0.25));
        let rows: Vec<_> = table
            .rows
            .iter()
            .map(|row| (row.op.as_str(), row.direction, row.count, row.milliseconds, row.share))
            .collect();
        assert_eq!(
            rows,
            [
                ("Conv", "forward", 1.0, 0.5, 0.5),
                ("Conv", "backward", 0.5, 0.15, 0.15),
                ("Relu", "backward", 0.5, 0.1, 0.1)
            ]
        );
        assert_eq!(super::table(&[800], &nodes[..1], &["forward"]).steps, 1);
        assert_eq!(table.optimizer, None);
        assert_eq!(table.with_optimizer(&[9.0, 0.5, 0.25]).optimizer, Some(375.0));
        assert_eq!(ProfileTable::default().with_optimizer(&[0.5]).optimizer, Some(500.0));
    }
}
