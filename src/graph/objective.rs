//! The data terms of the objective, attached to a network.

use super::network::Network;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{Builder, DType, Graph, TensorType, ValueId};
use crate::parts::losses::{Labels, Loss};
use crate::spec::{Spec, Weight};

/// One term.
pub struct TermPlan {
    /// Its name in metrics.
    pub name: String,
    /// The loss.
    pub loss: Box<dyn Loss>,
    /// Branch that it looks at.
    pub branch: String,
    /// Output of that branch.
    pub value: ValueId,
    /// Shape of that output without the batch dimension.
    pub units: Vec<usize>,
    /// Its weight over training.
    pub weight: Weight,
}

/// All terms.
pub struct Objective {
    /// In the order of the spec.
    pub terms: Vec<TermPlan>,
}

/// Names of what a term reads and makes in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct TermGraph {
    /// Its name in metrics.
    pub name: String,
    /// Input: `i64[N]` or `f32[N, units]`.
    pub labels: String,
    /// Input: `f32[N]`, 0 for rows that fill a batch up.
    pub weights: String,
    /// Input: f32 scalar, 1 / total weight of the whole accumulated batch.
    pub inverse: String,
    /// Input: f32 scalar, λ of the term at this step.
    pub lambda: String,
    /// Output: f32 scalar, this batch's share of the term, without λ.
    pub value: String,
}

impl Objective {
    /// Builds the losses and checks that they fit their branches.
    ///
    /// # Errors
    /// All that do not, at once.
    pub fn build(spec: &Spec, network: &Network) -> std::result::Result<Self, Vec<Diagnostic>> {
        let mut terms = Vec::new();
        let mut problems = Vec::new();
        for (name, term) in &spec.loss {
            let made = network.branch(term.of.as_deref()).and_then(|(branch, value)| {
                let loss = term.loss.build()?;
                let units = units(&network.graph, value)?;
                let mut shape = vec![2];
                shape.extend(&units);
                loss.check(&shape)?;
                Ok(TermPlan { name: name.clone(), loss, branch, value, units, weight: term.weight.clone() })
            });
            match made {
                Ok(term) => terms.push(term),
                Err(problem) => {
                    let problem = problem.within(&term.loss.at);
                    problems.push(match network.branch(term.of.as_deref()) {
                        Ok((branch, value)) => with_output(problem, spec, &network.graph, &branch, value),
                        Err(_) => problem,
                    });
                }
            }
        }
        if problems.is_empty() { Ok(Self { terms }) } else { Err(problems) }
    }

    /// Emits every term and their weighted sum for a batch; returns that sum and the names.
    pub(super) fn attach(&self, graph: &mut Graph, batch: usize) -> Result<(ValueId, Vec<TermGraph>)> {
        let mut sum: Option<ValueId> = None;
        let mut names = Vec::new();
        for term in &self.terms {
            let per_sample = term.per_sample(graph, batch)?;
            let scalar = |graph: &mut Graph, what: &str| {
                graph.add_input(&format!("pipe.{what}.{}", term.name), TensorType::fixed(DType::F32, &[]))
            };
            let weights =
                graph.add_input(&format!("pipe.weights.{}", term.name), TensorType::fixed(DType::F32, &[batch]));
            let inverse = scalar(graph, "inverse");
            let lambda = scalar(graph, "lambda");
            let mut b = Builder::new(graph, format!("loss/{}", term.name));
            let weighted = b.mul(per_sample.losses, weights);
            let total = b.reduce_sum(weighted, &[0], false);
            let value = b.mul(total, inverse);
            let scaled = b.mul(value, lambda);
            sum = Some(match sum {
                None => scaled,
                Some(sum) => b.add(sum, scaled),
            });
            names.push(TermGraph {
                name: term.name.clone(),
                labels: graph.name(per_sample.labels).to_owned(),
                weights: graph.name(weights).to_owned(),
                inverse: graph.name(inverse).to_owned(),
                lambda: graph.name(lambda).to_owned(),
                value: graph.name(value).to_owned(),
            });
        }
        let sum =
            sum.ok_or_else(|| Diagnostic::error(Code::MissingKey, "the objective has no terms").at("/loss", ""))?;
        Ok((sum, names))
    }
}

/// Inputs and output of a term before weighting.
pub(super) struct PerSample {
    pub(super) labels: ValueId,
    pub(super) losses: ValueId,
}

impl TermPlan {
    /// Emits the losses of each sample, `f32[N]`.
    pub(super) fn per_sample(&self, graph: &mut Graph, batch: usize) -> Result<PerSample> {
        let mut shape = vec![batch];
        shape.extend(&self.units);
        let ty = match self.loss.labels() {
            Labels::Classes => TensorType::fixed(DType::I64, &[batch]),
            Labels::Values => TensorType::fixed(DType::F32, &shape),
        };
        let labels = graph.add_input(&format!("pipe.labels.{}", self.name), ty);
        let mut b = Builder::new(graph, format!("loss/{}", self.name));
        let losses = self.loss.build(&mut b, self.value, labels, &shape)?;
        Ok(PerSample { labels, losses })
    }
}

/// Shows where the output that a loss looks at comes from.
fn with_output(problem: Diagnostic, spec: &Spec, graph: &Graph, branch: &str, value: ValueId) -> Diagnostic {
    let Ok(units) = units(graph, value) else { return problem };
    let units: String = units.iter().map(|size| format!(", {size}")).collect();
    match spec.layers.get(branch).and_then(|branch| branch.stack.last()) {
        Some(last) => problem.at_key(&last.layer.at, format!("makes [N{units}]")),
        None => problem.at("/model/source", format!("`{branch}` is [N{units}]")),
    }
}

/// Shape of a branch's output without the batch dimension.
fn units(graph: &Graph, value: ValueId) -> Result<Vec<usize>> {
    let known = graph.ty(value).and_then(|ty| ty.sample());
    known.ok_or_else(|| {
        Diagnostic::error(Code::ShapeMismatch, format!("the shape of output `{}` is not known", graph.name(value)))
    })
}
