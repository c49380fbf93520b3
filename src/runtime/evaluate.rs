//! Measures the network on a dataset with a session that holds all weights as initializers.

use super::event::Scores;
use super::feed::{Feed, LastBatch, cut};
use super::step::Targets;
use crate::diag::{Code, Diagnostic, Result};
use crate::graph::EvalGraph;
use crate::ir::DType;
use crate::native::{Buffer, Options, Session};
use crate::parts::losses::{Labels, Loss};
use crate::parts::metrics::{Metric, Predictions, Score};
use std::collections::BTreeMap;

/// A loaded evaluation session.
struct Evaluator {
    graph: EvalGraph,
    session: Session,
    data: Vec<Buffer>,
    labels: Vec<Buffer>,
}

/// Raw outputs of the first branch over a dataset.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Raw {
    pub(super) scores: Vec<f32>,
    pub(super) units: usize,
}

/// Everything that a measurement needs, the weights included, so that it can be done on another thread.
pub(super) struct Measuring<'r> {
    pub(super) graph: EvalGraph,
    pub(super) kinds: Vec<Labels>,
    pub(super) feed: Feed,
    /// Name, loss and weight of each term.
    pub(super) terms: Vec<(&'r str, &'r dyn Loss, f64)>,
    pub(super) metrics: &'r [Box<dyn Metric>],
}

impl Measuring<'_> {
    /// Measures with as many threads as `options` say.
    pub(super) fn run(self, options: &Options) -> Result<(Scores, Raw)> {
        let mut feed = self.feed;
        feed.source.set_threads(options.threads);
        Evaluator::new(self.graph, &self.kinds, options)?.measure(&feed, &self.terms, self.metrics)
    }
}

impl Evaluator {
    /// Loads the graph.
    fn new(mut graph: EvalGraph, kinds: &[Labels], options: &Options) -> Result<Self> {
        let session = Session::build(&graph.graph, options)?;
        let shape = |name: &str| {
            graph
                .graph
                .find(name)
                .and_then(|value| graph.graph.shape(value))
                .ok_or_else(|| Diagnostic::error(Code::Internal, format!("input `{name}` has no static shape")))
        };
        let data = graph.data.iter().map(|name| Buffer::new(DType::F32, &shape(name)?)).collect::<Result<Vec<_>>>()?;
        let mut labels = Vec::new();
        for ((_, name, _), kind) in graph.terms.iter().zip(kinds) {
            let dtype = match kind {
                Labels::Classes => DType::I64,
                Labels::Values => DType::F32,
            };
            labels.push(Buffer::new(dtype, &shape(name)?)?);
        }
        graph.graph.initializers.clear();
        Ok(Self { graph, session, data, labels })
    }

    /// Runs over the whole dataset.
    fn measure(
        &mut self,
        feed: &Feed,
        terms: &[(&str, &dyn Loss, f64)],
        metrics: &[Box<dyn Metric>],
    ) -> Result<(Scores, Raw)> {
        let order: Vec<usize> = (0..feed.dataset.len()).collect();
        let units = self.graph.branches.first().map_or(0, |(_, _, units)| *units);
        let mut raw = Raw { scores: Vec::with_capacity(order.len() * units), units };
        let mut weights = Vec::with_capacity(order.len());
        let mut classes = Vec::new();
        let mut targets = Vec::new();
        let mut sums = vec![(0.0f64, 0.0f64); terms.len()];
        for fed in feed.batches(cut(&order, self.graph.batch, LastBatch::Fill), 0) {
            let fed = fed?;
            let real = fed.rows.iter().flatten().count();
            for (buffer, data) in self.data.iter_mut().zip(&fed.micro.data) {
                data.fill(buffer)?;
            }
            for buffer in &mut self.labels {
                match &fed.micro.targets {
                    Targets::Classes(classes) => buffer.i64_mut().copy_from_slice(classes),
                    Targets::Values(values) => buffer.f32_mut().copy_from_slice(values),
                }
            }
            let mut feeds: Vec<(&str, &Buffer)> = self.graph.data.iter().map(String::as_str).zip(&self.data).collect();
            feeds.extend(self.graph.terms.iter().map(|(_, name, _)| name.as_str()).zip(&self.labels));
            let outputs = self.session.run(&feeds)?;
            if let Some((_, name, units)) = self.graph.branches.first() {
                raw.scores.extend_from_slice(&outputs.f32(name)?[..real * units]);
            }
            weights.extend_from_slice(&fed.micro.weights[..real]);
            for (index, (_, _, name)) in self.graph.terms.iter().enumerate() {
                let losses = outputs.f32(name)?;
                for (row, loss) in losses.iter().take(real).enumerate() {
                    let weight = f64::from(fed.micro.weights[row]);
                    // A row without weight may hold anything.
                    if weight > 0.0 {
                        sums[index].0 += weight * f64::from(*loss);
                        sums[index].1 += weight * class_weight(terms[index].1, &fed.micro.targets, row);
                    }
                }
            }
            match fed.micro.targets {
                Targets::Classes(batch) => classes.extend_from_slice(&batch[..real]),
                Targets::Values(batch) => {
                    let width = batch.len() / fed.rows.len().max(1);
                    targets.extend_from_slice(&batch[..real * width]);
                }
            }
        }
        // Metrics of classes also work where one unit and two classes made the targets values.
        if classes.is_empty()
            && let crate::parts::sources::Labels::Classes { ids, .. } = feed.dataset.labels()
        {
            classes = order.iter().map(|row| ids[feed.dataset.sample(*row)]).collect();
        }
        let mut scores = Scores::default();
        let mut total = 0.0;
        for ((name, _, lambda), (sum, weight)) in terms.iter().zip(&sums) {
            let value = if *weight > 0.0 { sum / weight } else { f64::NAN };
            scores.numbers.insert((*name).to_owned(), value);
            total += lambda * value;
        }
        scores.numbers.insert("loss".to_owned(), total);
        let names: &[String] = match feed.dataset.labels() {
            crate::parts::sources::Labels::Classes { names, .. } => names,
            _ => &[],
        };
        let predictions =
            Predictions { scores: &raw.scores, units, classes: &classes, targets: &targets, weights: &weights, names };
        for metric in metrics {
            match metric.score(&predictions) {
                Score::Number(value) => {
                    scores.numbers.insert(metric.name(), value);
                }
                Score::Matrix(matrix) => {
                    scores.matrices.insert(metric.name(), matrix);
                }
            }
        }
        Ok((scores, raw))
    }
}

/// Weight that a row's class adds to a term's total.
pub(super) fn class_weight(loss: &dyn Loss, targets: &Targets, row: usize) -> f64 {
    match targets {
        Targets::Classes(classes) => loss.class_weight(classes[row]),
        Targets::Values(_) => 1.0,
    }
}

/// Whether larger is better, by metric name; losses are better when smaller.
pub(super) fn directions(metrics: &[Box<dyn Metric>]) -> BTreeMap<String, bool> {
    metrics.iter().map(|metric| (metric.name(), metric.larger_is_better())).collect()
}
