//! Runs a training step again to find the first value that is NaN or infinite (DESIGN D2): the same batch, weights and dropout keys,
//! with every value on the way to what was found bad declared as an output.
//!
//! Values are looked at in the order of the graph and in parts, each a session of its own, so that a large network does not have to
//! keep all of them at once.

use super::step::{Micro, Step, StepOutputs, Targets};
use super::weights::Weights;
use crate::diag::Result;
use crate::graph::TrainGraph;
use crate::ir::{DType, Graph, Node, ValueId};
use crate::native::{self, Options};
use crate::parts::losses::Labels;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of values that one part keeps.
pub(super) const PART: usize = 512 << 20;

/// What a step is run with.
pub(super) struct Setting<'a> {
    pub(super) weights: &'a Weights,
    pub(super) micro: &'a Micro,
    pub(super) inverse: &'a [f64],
    pub(super) lambda: &'a [f64],
    pub(super) labels: &'a [Labels],
    pub(super) options: &'a Options,
}

/// The first value that is not finite.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Culprit {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// The first element that is not finite, and where it is.
    pub(super) found: f64,
    pub(super) at: Vec<usize>,
    /// Elements that are not finite.
    pub(super) count: usize,
    pub(super) maker: Maker,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Maker {
    /// The data fed it.
    Data,
    /// The labels fed it.
    Labels,
    /// It is a trained parameter.
    Parameter,
    /// It is a constant of the model.
    Constant,
    /// A node made it.
    Node { title: String, name: String, reads: Vec<Read> },
}

/// A float value that a node read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) survey: Survey,
}

/// What the elements of a value are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Survey {
    /// Smallest and largest finite element; the wrong way round when there is none.
    pub(super) range: (f64, f64),
    /// The first element that is not finite with its position.
    first: Option<(usize, f64)>,
    count: usize,
    nan: bool,
}

impl Survey {
    fn of(elements: impl Iterator<Item = f64>) -> Self {
        let mut survey = Self { range: (f64::INFINITY, f64::NEG_INFINITY), first: None, count: 0, nan: false };
        for (position, x) in elements.enumerate() {
            if x.is_finite() {
                survey.range = (survey.range.0.min(x), survey.range.1.max(x));
            } else {
                survey.first = survey.first.or(Some((position, x)));
                survey.count += 1;
                survey.nan |= x.is_nan();
            }
        }
        survey
    }

    fn of_f32(elements: &[f32]) -> Self {
        Self::of(elements.iter().map(|x| f64::from(*x)))
    }

    pub(super) fn is_finite(&self) -> bool {
        self.count == 0
    }
}

/// What is known of the values that were looked at.
struct Search<'a> {
    graph: &'a Graph,
    surveys: BTreeMap<ValueId, Survey>,
    /// Infinite because a constant of the model is, such as the −∞ of a mask: meant to be so.
    meant: BTreeSet<ValueId>,
}

/// Runs a step again, and finds the first value that is not finite among those that `goals` depend on; `None` when there is none.
///
/// # Errors
/// What ONNX Runtime says.
pub(super) fn search(step: &TrainGraph, goals: &[&str], setting: &Setting, part: usize) -> Result<Option<Culprit>> {
    let mut step = step.clone();
    step.graph.outputs = goals.iter().filter_map(|goal| step.graph.find(goal)).collect();
    step.graph.prune(true);
    // The gradients' types are not all known; all of them are needed to know what fits into a part.
    native::probe(&mut step.graph, &[])?;
    let graph = step.graph.clone();
    let mut search = Search { graph: &graph, surveys: BTreeMap::new(), meant: BTreeSet::new() };
    if let Some(culprit) = search.fed(&step, setting)? {
        return Ok(Some(culprit));
    }
    if let Some(culprit) = search.constants() {
        return Ok(Some(culprit));
    }
    for nodes in parts(&graph, part) {
        let mut step = step.clone();
        step.graph.outputs = nodes.iter().flat_map(|index| floats(&graph, &graph.nodes[*index])).collect();
        step.graph.prune(true);
        let mut session = Step::new(step, setting.labels, setting.options)?;
        let made = session.run(setting.weights, setting.micro, (setting.inverse, setting.lambda), &mut [])?;
        for index in nodes {
            if let Some(culprit) = search.made(&graph.nodes[index], &made)? {
                return Ok(Some(culprit));
            }
        }
    }
    Ok(None)
}

/// Values that a node makes and that can be NaN.
fn floats(graph: &Graph, node: &Node) -> Vec<ValueId> {
    let float = |value: &ValueId| matches!(graph.dtype(*value), Some(DType::F32 | DType::F64));
    node.outputs.iter().flatten().copied().filter(float).collect()
}

/// Nodes that make floats, in order, cut so that what each part makes fits into `limit` bytes; a larger node is a part by itself.
fn parts(graph: &Graph, limit: usize) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut bytes = usize::MAX;
    for (index, node) in graph.nodes.iter().enumerate() {
        let made = floats(graph, node);
        if made.is_empty() {
            continue;
        }
        let size = |value: &ValueId| graph.shape(*value).map_or(0, |shape| 4 * shape.iter().product::<usize>());
        let own: usize = made.iter().map(size).sum();
        bytes = bytes.saturating_add(own);
        match parts.last_mut() {
            Some(part) if bytes <= limit => part.push(index),
            _ => {
                parts.push(vec![index]);
                bytes = own;
            }
        }
    }
    parts
}

impl Search<'_> {
    /// Files a survey, and makes it a culprit if it is not finite.
    fn file(&mut self, value: ValueId, survey: Survey, maker: impl FnOnce(&Self) -> Maker) -> Option<Culprit> {
        self.surveys.insert(value, survey);
        let (position, found) = survey.first?;
        let shape = self.graph.shape(value).unwrap_or_default();
        let at = unravel(position, &shape);
        let name = self.graph.name(value).to_owned();
        Some(Culprit { name, shape, found, at, count: survey.count, maker: maker(self) })
    }

    /// Data, labels and parameters, as far as they are read.
    fn fed(&mut self, step: &TrainGraph, setting: &Setting) -> Result<Option<Culprit>> {
        let graph = self.graph;
        let read: BTreeSet<ValueId> = graph.nodes.iter().flat_map(|node| graph.reads(node)).collect();
        let used = |name: &str| graph.find(name).filter(|value| read.contains(value));
        for (name, data) in step.data.iter().zip(&setting.micro.data) {
            if let Some(value) = used(name)
                && let Some(culprit) = self.file(value, Survey::of_f32(data.f32()), |_| Maker::Data)
            {
                return Ok(Some(culprit));
            }
        }
        for term in &step.terms {
            if let Targets::Values(values) = &setting.micro.targets
                && let Some(value) = used(&term.labels)
                && let Some(culprit) = self.file(value, Survey::of_f32(values), |_| Maker::Labels)
            {
                return Ok(Some(culprit));
            }
        }
        for (name, _) in &step.params {
            let Some(value) = used(name) else { continue };
            let survey = Survey::of_f32(setting.weights.get(name)?.f32());
            if let Some(culprit) = self.file(value, survey, |_| Maker::Parameter) {
                return Ok(Some(culprit));
            }
        }
        Ok(None)
    }

    /// Constants; infinite ones are meant, NaN never is.
    fn constants(&mut self) -> Option<Culprit> {
        let graph = self.graph;
        for (value, tensor) in &graph.initializers {
            let survey = match tensor.dtype() {
                DType::F32 => Survey::of(tensor.to_vec::<f32>()?.into_iter().map(f64::from)),
                DType::F64 => Survey::of(tensor.to_vec::<f64>()?.into_iter()),
                _ => continue,
            };
            let culprit = self.file(*value, survey, |_| Maker::Constant);
            if survey.nan {
                return culprit;
            }
            if !survey.is_finite() {
                self.meant.insert(*value);
            }
        }
        None
    }

    /// What a node made.
    fn made(&mut self, node: &Node, outputs: &StepOutputs) -> Result<Option<Culprit>> {
        for value in floats(self.graph, node) {
            let name = self.graph.name(value);
            let survey = match self.graph.dtype(value) {
                Some(DType::F32) => Survey::of_f32(outputs.f32(name)?),
                _ => Survey::of(outputs.tensor(name)?.to_vec::<f64>().unwrap_or_default().into_iter()),
            };
            let meant = !survey.nan && self.graph.reads(node).iter().any(|read| self.meant.contains(read));
            let culprit = self.file(value, survey, |search| search.maker(node));
            if meant && culprit.is_some() {
                self.meant.insert(value);
            } else if culprit.is_some() {
                return Ok(culprit);
            }
        }
        Ok(None)
    }

    fn maker(&self, node: &Node) -> Maker {
        let mut reads: Vec<Read> = Vec::new();
        for value in self.graph.reads(node) {
            let name = self.graph.name(value);
            if let Some(survey) = self.surveys.get(&value)
                && !reads.iter().any(|read| read.name == name)
            {
                let shape = self.graph.shape(value).unwrap_or_default();
                reads.push(Read { name: name.to_owned(), shape, survey: *survey });
            }
        }
        Maker::Node { title: node.title(), name: node.name.clone(), reads }
    }
}

/// The index of an element of a row-major tensor.
fn unravel(position: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = position;
    let mut at = vec![0; shape.len()];
    for (index, size) in at.iter_mut().zip(shape).rev() {
        *index = rest % size.max(&1);
        rest /= size.max(&1);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Recomputed;
    use crate::ir::{Builder, OPSET, Tensor, TensorType};
    use crate::native::Level;
    use crate::runtime::step::Column;

    /// x [2, 3] · w → exp → … and a mask of −∞ beside it; the goal is `y`.
    fn step() -> (TrainGraph, Graph) {
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let x = graph.add_input("x", TensorType::fixed(DType::F32, &[2, 3]));
        let w = graph.add_initializer("w", Tensor::vector(&[1.0f32, 2.0, 100.0]));
        let network = graph.clone();
        let ty = graph.ty(w);
        graph.initializers.remove(&w);
        graph.set_type(w, ty);
        graph.inputs.push(w);
        let mask = graph.add_initializer("mask", Tensor::vector(&[0.0f32, f32::NEG_INFINITY, 0.0]));
        let mut b = Builder::new(&mut graph, "t");
        let masked = b.add(x, mask);
        let hidden = b.softmax(masked, 1);
        let scaled = b.mul(hidden, w);
        let large = b.op("Exp", &[scaled]);
        let apart = b.op("Log", &[x]);
        let y = b.add(large, large);
        graph.rename(y, "y");
        graph.outputs = vec![y, apart];
        let data = vec!["x".to_owned()];
        let params = vec![("w".to_owned(), "y".to_owned())];
        (
            TrainGraph {
                graph,
                batch: 2,
                data,
                keys: None,
                params,
                states: Vec::new(),
                sums: Vec::new(),
                terms: Vec::new(),
                forward: 0,
                recomputed: Recomputed::default(),
            },
            network,
        )
    }

    fn searched(x: &[f32; 6], w: Option<f32>, part: usize) -> Option<Culprit> {
        let (step, network) = step();
        let mut weights = Weights::default();
        weights.adopt(&network, "w").unwrap();
        if let Some(w) = w {
            weights.set("w", &[w; 3]).unwrap();
        }
        let micro = Micro {
            data: vec![Column::F32(x.to_vec())],
            targets: Targets::Classes(Vec::new()),
            weights: vec![1.0; 2],
            keys: Vec::new(),
        };
        let options = Options { threads: 1, level: Level::All, ..Options::default() };
        let setting =
            Setting { weights: &weights, micro: &micro, inverse: &[], lambda: &[], labels: &[], options: &options };
        search(&step, &["y"], &setting, part).unwrap()
    }

    #[test]
    fn the_first_bad_value_is_the_same_in_parts_of_any_size() {
        let x = [0.0, 0.0, 0.0, 0.0, 0.0, 30.0];
        let whole = searched(&x, None, PART).unwrap();
        assert_eq!(
            (whole.shape.as_slice(), whole.found, whole.at.as_slice()),
            (&[2, 3][..], f64::INFINITY, &[1, 2][..])
        );
        assert_eq!(whole.count, 1);
        let Maker::Node { title, reads, .. } = &whole.maker else { panic!("{whole:?}") };
        assert_eq!((title.as_str(), reads.len()), ("Exp", 1));
        assert!((reads[0].survey.range.1 - 100.0).abs() < 1e-3, "{reads:?}");
        for part in [1, 24, 50] {
            assert_eq!(searched(&x, None, part).unwrap(), whole, "parts of {part} bytes");
        }
    }

    #[test]
    fn what_the_goal_does_not_need_and_what_is_meant_is_passed_over() {
        // log 0 stands apart from the goal; the mask is −∞ in both rows.
        assert_eq!(searched(&[0.0, 1.0, 0.0, 0.0, 1.0, 0.0], Some(1.0), PART), None);
    }

    #[test]
    fn inputs_come_first() {
        let data = searched(&[0.0, 0.0, 0.0, 0.0, f32::NAN, f32::INFINITY], None, PART).unwrap();
        assert_eq!((data.name.as_str(), data.at.as_slice(), data.count), ("x", &[1, 1][..], 2));
        assert_eq!(data.maker, Maker::Data);
        assert!(data.found.is_nan());
        let weight = searched(&[0.0; 6], Some(f32::NEG_INFINITY), PART).unwrap();
        assert_eq!((weight.name.as_str(), weight.maker, weight.found), ("w", Maker::Parameter, f64::NEG_INFINITY));
    }

    #[test]
    fn parts_hold_as_much_as_fits() {
        let (mut step, _) = step();
        native::probe(&mut step.graph, &[]).unwrap();
        let sizes = |limit| parts(&step.graph, limit).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(1), [1; 6]);
        assert_eq!(sizes(48), [2; 3]);
        assert_eq!(sizes(PART), [6]);
    }
}
