//! The plan as text: what `pipe plan` prints and tests compare.

use super::{Plan, Step};
use crate::diag::bytes;
use std::fmt::Write;

impl Plan {
    /// One line a step, in order, with what it will do and save.
    pub fn describe(&self) -> String {
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
        for balanced in &self.balanced {
            let _ = writeln!(out, "balanced   {}: {}", balanced.term, weights(&balanced.classes));
        }
        for (number, node) in self.order().into_iter().enumerate() {
            let _ = writeln!(out, "{:>3}. {}", number + 1, self.step(&self.dag[node]));
        }
        out
    }

    fn step(&self, step: &Step) -> String {
        match step {
            Step::Model => match &self.spec.model.source {
                Some(source) => format!("model      {source}"),
                None => "model      from layers alone".to_owned(),
            },
            Step::Index { set } => {
                let count = self.sets.get(set).map_or(0, |set| set.len());
                format!("index      {set}: {} samples", group(count as u64))
            }
            Step::Split => {
                let count = self.sets.get("validation").map_or(0, |set| set.len());
                format!("split      validation: {} samples", group(count as u64))
            }
            Step::Features { phase, set } => {
                let count = self.sets.get(set).map_or(0, |set| set.len()) as u64;
                match &self.phases[*phase].cut {
                    Ok(cut) => format!(
                        "features   {set}: {} of {} nodes run once for each sample, {} cached",
                        cut.nodes,
                        self.network.graph.nodes.len(),
                        bytes(cut.bytes_per_sample() * count),
                    ),
                    Err(why) => format!("features   {set}: none, {why}"),
                }
            }
            Step::Train { phase } => {
                let number = phase + 1;
                let phase = &self.phases[*phase];
                let count: usize = phase
                    .trainable
                    .params
                    .iter()
                    .map(|index| self.network.params[*index].shape.iter().product::<usize>())
                    .sum();
                let length = match (phase.epochs, phase.steps) {
                    (Some(epochs), _) => format!("{epochs} epochs"),
                    (None, Some(steps)) => format!("{steps} steps"),
                    (None, None) => "no steps".to_owned(),
                };
                let mut text = format!(
                    "train      phase {number}: {length}, {} parameters in {} tensors trained",
                    group(count as u64),
                    phase.trainable.params.len(),
                );
                if !phase.trainable.batch_norms.is_empty() {
                    let _ = write!(
                        text,
                        ", {} BatchNormalization with batch statistics",
                        phase.trainable.batch_norms.len()
                    );
                }
                if let Some(decay) = phase.optimizer.ema {
                    let _ = write!(text, ", weights averaged with decay {decay}");
                }
                match &phase.cut {
                    Ok(cut) => {
                        let names: Vec<&str> = cut.values.iter().map(|value| self.network.graph.name(*value)).collect();
                        let _ = write!(text, ", starts from cached `{}`", names.join("`, `"));
                    }
                    Err(why) => {
                        let _ = write!(text, "; whole network every step: {why}");
                    }
                }
                text
            }
            Step::Evaluate { set } => format!("evaluate   {set}"),
            Step::Export => "export     model.onnx".to_owned(),
            Step::Report => "report".to_owned(),
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
