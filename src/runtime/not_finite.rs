//! What is said when a step gives NaN or infinity: which step, what was bad, and where it began.

use super::execute::Run;
use super::feed::Fed;
use super::replay::{self, Culprit, Maker, Read, Setting};
use crate::data::Dataset;
use crate::diag::{Code, Diagnostic};
use crate::graph::BATCH;
use crate::ir::Dim;
use std::fmt::Write;

/// A step that gave a value that is not finite.
pub(super) struct BadStep<'a> {
    /// Phase, from 0.
    pub(super) phase: usize,
    /// What was fed.
    pub(super) group: &'a [Fed],
    /// Where the rows come from.
    pub(super) dataset: &'a Dataset,
    /// For each term, one over its weight.
    pub(super) inverse: &'a [f64],
    /// λ of each term.
    pub(super) lambda: &'a [f64],
    /// Value of each term.
    pub(super) sums: &'a [f64],
    /// The parameter whose gradient is bad, none when a term is.
    pub(super) param: Option<usize>,
}

/// Magnitude from which a number is a sign that training diverges; far below the largest f32, far above what networks hold.
const LARGE: f64 = 1e15;

/// Inputs of a node that are told.
const READS: usize = 4;

const LOWER: &str = "lower `lr`, add `clip_norm`";

impl BadStep<'_> {
    /// The diagnostic, after a replay of the step.
    pub(super) fn explain(&self, run: &Run) -> Diagnostic {
        let step = run.progress.steps_total + 1;
        let what = match self.param {
            Some(index) => {
                let param = &run.plan.network.params[run.plan.phases[self.phase].trainable.params[index]];
                format!("the gradient of `{}` is NaN or infinite at step {step}", param.name)
            }
            None => format!("the loss is {} at step {step}", number(self.sums.iter().sum())),
        };
        let problem = Diagnostic::error(Code::NotFinite, what);
        let (problem, help) = match self.search(run) {
            Ok(Some((batch, culprit))) => {
                let said = self.notes(run, batch, &culprit).into_iter().fold(problem, Diagnostic::note);
                (said, self.help(run, &culprit))
            }
            Ok(None) if self.param.is_some() => {
                let text = "in a replay of the step each gradient of the data terms is finite: the regularizer or the sum is not";
                (problem.note(text), format!("{LOWER}, or lower the weight of the regularizer"))
            }
            Ok(None) => {
                (problem.note("in a replay of the step every value is finite"), format!("{LOWER}, or try again"))
            }
            Err(why) => {
                let text = format!("the step could not be replayed: {}", why.message());
                (problem.note(text), format!("{LOWER}, or check the data for NaN"))
            }
        };
        problem.note("the weights are those before the step; the last checkpoint is intact").help(help)
    }

    /// The batch of the step and the first value in it that is not finite.
    fn search(&self, run: &Run) -> crate::diag::Result<Option<(usize, Culprit)>> {
        let plan = run.plan;
        let phase = &plan.phases[self.phase];
        let labels = run.label_kinds();
        let options = run.session();
        for (batch, fed) in self.group.iter().enumerate() {
            let short = phase.graphs.short.as_ref().filter(|graph| graph.batch == fed.rows.len());
            let graph = short.unwrap_or(&phase.graphs.full);
            let terms = graph.terms.iter().zip(self.sums).filter(|(_, sum)| !sum.is_finite());
            let goals: Vec<&str> = match self.param.and_then(|index| graph.params.get(index)) {
                Some((_, gradient)) => vec![gradient],
                None => terms.map(|(term, _)| term.value.as_str()).collect(),
            };
            let setting = Setting {
                weights: &run.weights,
                micro: &fed.micro,
                inverse: self.inverse,
                lambda: self.lambda,
                labels: &labels,
                options: &options,
            };
            if let Some(culprit) = replay::search(graph, &goals, &setting, replay::PART)? {
                return Ok(Some((batch, culprit)));
            }
        }
        Ok(None)
    }

    /// Whether the data are features of the frozen prefix.
    fn cached(&self, run: &Run) -> bool {
        run.plan.phases[self.phase].cut.is_ok()
    }

    fn notes(&self, run: &Run, batch: usize, culprit: &Culprit) -> Vec<String> {
        let (value, len) = (typed(&culprit.name, &culprit.shape), culprit.shape.iter().product::<usize>());
        let mut is = format!("{value} is {} at {:?}", number(culprit.found), culprit.at);
        if len > 1 {
            let _ = write!(is, ", {} of {len} elements not finite", culprit.count);
        }
        let mut place = String::new();
        if self.group.len() > 1 {
            place = format!(" of batch {} of {}", batch + 1, self.group.len());
        }
        let mut notes = vec![match culprit.maker {
            Maker::Data if self.cached(run) => format!("it begins in what frozen layers made of the data{place}: {is}"),
            Maker::Data => format!("it begins in the data{place}: {is}"),
            Maker::Labels => format!("it begins in the labels{place}: {is}"),
            Maker::Parameter => format!("it begins in the weights, in the update before: {is}"),
            Maker::Constant => format!("it begins in a constant of the model: {is}"),
            Maker::Node { .. } => format!("the first bad value in a replay{place}: {is}"),
        }];
        if let Some(sample) = self.sample(run, batch, culprit) {
            notes.push(format!("this row is {sample}"));
        }
        if let Maker::Node { title, name, reads } = &culprit.maker {
            notes.push(format!("made by {}", made(title, name)));
            notes.extend(reads.iter().take(READS).map(|read| format!("from {}", told(read))));
            if reads.len() > READS {
                notes.push(format!("and from {} more", reads.len() - READS));
            }
        }
        notes
    }

    /// How messages call the sample in whose row the bad element lies, where rows are samples.
    fn sample(&self, run: &Run, batch: usize, culprit: &Culprit) -> Option<String> {
        let rows = match culprit.maker {
            Maker::Data | Maker::Labels => true,
            Maker::Parameter | Maker::Constant => false,
            // Where every row is bad none is to blame.
            Maker::Node { .. } if culprit.count == culprit.shape.iter().product::<usize>() => false,
            Maker::Node { .. } => {
                let network = &run.plan.network.graph;
                let ty = network.find(&culprit.name).and_then(|value| network.ty(value));
                ty.is_some_and(|ty| ty.dims.first() == Some(&Dim::Symbol(BATCH.to_owned())))
            }
        };
        let row = culprit.at.first().filter(|_| rows)?;
        Some(match self.group.get(batch)?.rows.get(*row)? {
            Some(position) => format!("`{}` of `{}`", self.dataset.sample_name(*position), self.dataset.name()),
            None => "no sample: it fills the batch up".to_owned(),
        })
    }

    fn help(&self, run: &Run, culprit: &Culprit) -> String {
        match &culprit.maker {
            Maker::Data if self.cached(run) => "check the sample, and what the frozen layers do with it".to_owned(),
            Maker::Data | Maker::Labels => "repair the sample or leave it out".to_owned(),
            Maker::Parameter => format!("{LOWER}, or let `lr` rise from a small value"),
            Maker::Constant => "the model file is damaged".to_owned(),
            Maker::Node { reads, .. } => {
                let large = |read: &Read| read.survey.range.0 < -LARGE || read.survey.range.1 > LARGE;
                if reads.iter().any(large) {
                    return format!("{LOWER}, or check the data for large numbers");
                }
                format!("the operator has no finite value or slope there: keep what it reads away from it; or {LOWER}")
            }
        }
    }
}

fn typed(name: &str, shape: &[usize]) -> String {
    format!("`{name}` {shape:?}")
}

/// Four figures; what a message says should not depend on the last bits.
fn number(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "NaN"
        } else if x > 0.0 {
            "Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    match x.abs() {
        0.0 => "0".to_owned(),
        1e-3..1e4 => format!("{x:.3}"),
        _ => format!("{x:.2e}"),
    }
}

/// The operator; nodes of the backward pass are named after the node that they belong to.
fn made(title: &str, name: &str) -> String {
    let of = name.strip_prefix("grad/").and_then(|rest| rest.rsplit_once('/')).map(|(of, _)| of);
    match of {
        Some(of) => format!("`{title}` in the gradient of `{of}`"),
        None if name.is_empty() => format!("`{title}`"),
        None => format!("`{title}` (node `{name}`)"),
    }
}

fn told(read: &Read) -> String {
    let value = typed(&read.name, &read.shape);
    let (low, high) = read.survey.range;
    if !read.survey.is_finite() {
        return format!("{value}, which a constant of the model makes infinite");
    }
    if low > high {
        return format!("{value}, empty");
    }
    if low == high {
        format!("{value}, finite, {}", number(low))
    } else {
        format!("{value}, finite, {} to {}", number(low), number(high))
    }
}
