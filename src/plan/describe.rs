//! The plan as text: what `pipe plan` prints and tests compare.

use super::{Memory, Outlook, Phase, Plan, Step};
use crate::diag::{Result, bytes};
use crate::graph::Cut;
use crate::ir::ValueId;
use std::fmt::Write;

impl Plan {
    /// One line a step, in order, with what it will do and save.
    pub fn describe(&self) -> String {
        self.text(None)
    }

    /// The same, with what becomes of each step and why, and the memory that the run takes.
    ///
    /// # Errors
    /// As [`Plan::memory`].
    pub fn describe_with(&self, outlook: &Outlook) -> Result<String> {
        Ok(self.text(Some(&(outlook, self.memory()?, self.device_memory()?))))
    }

    fn text(&self, more: Option<&(&Outlook, Memory, Option<Memory>)>) -> String {
        let mut out = String::new();
        let params: usize = self.network.params.iter().map(|param| param.shape.iter().product::<usize>()).sum();
        let _ = writeln!(
            out,
            "network    {} nodes, {} parameters in {} tensors, input {} [N, {}]",
            self.network.graph.nodes.len(),
            group(params as u64),
            self.network.params.len(),
            self.network.graph.name(self.network.input),
            list(&self.network.sample),
        );
        if let Some((_, memory, on_device)) = more {
            let _ = writeln!(out, "memory     {}", memory.describe());
            if let Some(memory) = on_device {
                let _ = writeln!(out, "gpu        {}", memory.describe());
            }
        }
        for balanced in &self.balanced {
            let _ = writeln!(out, "balanced   {}: {}", balanced.term, weights(&balanced.classes));
        }
        for (number, node) in self.order().into_iter().enumerate() {
            let step = &self.dag[node];
            let about = self.about(step);
            let line = format!("{:>3}. {:<10} {about}", number + 1, step.name());
            let _ = writeln!(out, "{}", line.trim_end());
            if let Some(said) = more.and_then(|(outlook, ..)| outlook.said(node)) {
                let _ = writeln!(out, "     {:<10} {said}", "");
            }
            if let (Step::Train { phase }, Some((outlook, ..))) = (step, more)
                && let Some(said) = outlook.placed_in(*phase)
            {
                let _ = writeln!(out, "     {:<10} {said}", "");
            }
        }
        out
    }

    /// What a step is about, in one line.
    pub(super) fn about(&self, step: &Step) -> String {
        match step {
            Step::Model => self.spec.model.source.clone().unwrap_or_else(|| "from layers alone".to_owned()),
            Step::Index { set } => {
                let count = self.sets.get(set).map_or(0, |set| set.len());
                format!("{set}: {} samples", group(count as u64))
            }
            Step::Split => {
                let count = self.sets.get("validation").map_or(0, |set| set.len());
                format!("validation: {} samples", group(count as u64))
            }
            Step::Features { phase, set } => match &self.phases[*phase].cut {
                Ok(cut) => format!(
                    "{set}: {} of {} nodes run once for each sample, {} to cache",
                    cut.nodes,
                    self.network.graph.nodes.len(),
                    bytes(self.feature_bytes(cut, set)),
                ),
                Err(why) => format!("{set}: none, {why}"),
            },
            Step::Train { phase } => self.about_training(*phase),
            Step::Evaluate { set } => set.clone(),
            Step::Export => "model.onnx".to_owned(),
            Step::Report => String::new(),
        }
    }

    /// Bytes that the features of a dataset take.
    pub(super) fn feature_bytes(&self, cut: &Cut, set: &str) -> u64 {
        cut.bytes_per_sample() * self.sets.get(set).map_or(0, |set| set.len()) as u64
    }

    /// Elements that a phase trains.
    pub(super) fn trained(&self, phase: &Phase) -> u64 {
        let size = |index: &usize| self.network.params[*index].shape.iter().product::<usize>() as u64;
        phase.trainable.params.iter().map(size).sum()
    }

    fn about_training(&self, number: usize) -> String {
        let phase = &self.phases[number];
        let length = match (phase.epochs, phase.steps) {
            (Some(epochs), _) => format!("{epochs} epochs"),
            (None, Some(steps)) => format!("{steps} steps"),
            (None, None) => "no steps".to_owned(),
        };
        let mut text = format!(
            "phase {}: {length}, {} parameters in {} tensors trained",
            number + 1,
            group(self.trained(phase)),
            phase.trainable.params.len(),
        );
        if !phase.trainable.batch_norms.is_empty() {
            let _ = write!(text, ", {} BatchNormalization with batch statistics", phase.trainable.batch_norms.len());
        }
        let again = phase.graphs.full.recomputed;
        if again.nodes > 0 {
            let segments = if again.segments == 1 { "segment" } else { "segments" };
            let _ = write!(text, ", {} nodes in {} {segments} run again for backward", again.nodes, again.segments);
        }
        if let Some(decay) = phase.optimizer.ema {
            let _ = write!(text, ", weights averaged with decay {decay}");
        }
        match &phase.cut {
            Ok(cut) => {
                let shown = |(value, shape): (&ValueId, &Vec<usize>)| {
                    format!("`{}` [N, {}]", self.network.graph.name(*value), list(shape))
                };
                let names: Vec<String> = cut.values.iter().zip(&cut.shapes).map(shown).collect();
                let _ = write!(text, ", starts from cached {}", names.join(", "));
            }
            Err(why) => {
                let _ = write!(text, "; whole network every step: {why}");
            }
        }
        text
    }
}

impl Step {
    /// The kind of step, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Index { .. } => "index",
            Self::Split => "split",
            Self::Features { .. } => "features",
            Self::Train { .. } => "train",
            Self::Evaluate { .. } => "evaluate",
            Self::Export => "export",
            Self::Report => "report",
        }
    }
}

fn list(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Classes with their weights and samples, the first ones written out.
fn weights(classes: &[(String, usize, f64)]) -> String {
    let (shown, more) = classes.split_at(classes.len().min(10));
    let class =
        |(name, count, weight): &(String, usize, f64)| format!("`{name}` {weight:.4} ({})", group(*count as u64));
    let mut text = shown.iter().map(class).collect::<Vec<_>>().join(", ");
    if !more.is_empty() {
        let _ = write!(text, " and {} more", more.len());
    }
    text
}

/// Digits in groups of three.
pub(crate) fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
