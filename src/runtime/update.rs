//! The optimizer pass over all trained parameters (DESIGN D2): one reading pass (finite test, norm of the gradient with ∂R, value of R),
//! one writing pass (decay, clipping, the rule, the moving average). A bad value aborts before anything is written.
//!
//! Work is cut into chunks of a fixed size and sums are added in the order of the chunks, so that no bit depends on the number of threads.

use super::average::toward;
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::Tensor;
use crate::parts::optimizers::{Optimizer, Step};
use crate::parts::regularizers::{Regularizer, Slopes};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Elements of a chunk: 128 KiB of f32, so that a chunk with its gradient and its states stays in a core's cache.
const CHUNK: usize = 32 * 1024;

/// What the pass needs to know of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamInfo {
    /// Its name, under which its optimizer state is kept.
    pub name: String,
    /// Its elements.
    pub len: usize,
    /// Learning rate before the schedule's factor.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Indices of the regularizers that hold for it.
    pub penalties: Vec<usize>,
}

/// What one step found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepReport {
    /// ‖g‖ over all parameters, ∂R included, before clipping.
    pub grad_norm: f64,
    /// λ·R at the weights before the update.
    pub regularizer: f64,
    /// Whether the gradient was scaled down to `clip_norm`.
    pub clipped: bool,
}

/// A gradient that is NaN or infinite; nothing was updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite {
    /// Index of the first such parameter.
    pub param: usize,
}

/// The optimizer with its state for a phase.
pub struct Updater {
    rule: Box<dyn Optimizer>,
    infos: Vec<ParamInfo>,
    penalties: Vec<Box<dyn Regularizer>>,
    clip_norm: Option<f64>,
    states: Vec<Vec<Vec<f32>>>,
    counts: Vec<u64>,
    /// States of parameters that are not trained now and may be again.
    resting: BTreeMap<String, Tensor>,
    resting_counts: BTreeMap<String, u64>,
    /// Decay and moving average of every parameter, which is empty until its first step.
    average: Option<(f64, Vec<Vec<f32>>)>,
}

/// States, counts of updates, and averages of all parameters.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) states: &'a [Vec<Vec<f32>>],
    pub(super) counts: &'a [u64],
    pub(super) average: Option<&'a (f64, Vec<Vec<f32>>)>,
}

/// One chunk of one parameter.
struct Piece<'a> {
    param: usize,
    weights: &'a mut [f32],
    start: &'a [f32],
    grad: &'a [f32],
    states: Vec<&'a mut [f32]>,
    average: &'a mut [f32],
}

impl Updater {
    /// A fresh optimizer: all states zero.
    pub fn new(
        rule: Box<dyn Optimizer>,
        infos: Vec<ParamInfo>,
        penalties: Vec<Box<dyn Regularizer>>,
        clip_norm: Option<f64>,
    ) -> Self {
        let states = infos.iter().map(|info| rule.states().iter().map(|_| vec![0.0; info.len]).collect()).collect();
        let counts = vec![0; infos.len()];
        Self {
            rule,
            infos,
            penalties,
            clip_norm,
            states,
            counts,
            resting: BTreeMap::new(),
            resting_counts: BTreeMap::new(),
            average: None,
        }
    }

    /// Averages the parameters from now on (`optimizer.ema`), going on from averages in the order of the parameters, empty where there is
    /// none yet.
    ///
    /// # Errors
    /// `P0603` when an average has another size than its parameter.
    pub fn set_average(&mut self, decay: f64, averages: Vec<Vec<f32>>) -> Result<()> {
        for (info, average) in self.infos.iter().zip(&averages) {
            if !average.is_empty() && average.len() != info.len {
                let message =
                    format!("the average of `{}` has {} elements, not {}", info.name, average.len(), info.len);
                return Err(Diagnostic::error(Code::CheckpointBad, message));
            }
        }
        self.average = Some((decay, averages));
        Ok(())
    }

    /// The averages so far, in the order of the parameters; empty before the first step and without averaging.
    pub fn averages(&self) -> &[Vec<f32>] {
        self.average.as_ref().map_or(&[], |(_, values)| values)
    }

    /// The rule.
    pub(super) fn rule(&self) -> &dyn Optimizer {
        self.rule.as_ref()
    }

    /// What is known of each parameter.
    pub(super) fn infos(&self) -> &[ParamInfo] {
        &self.infos
    }

    /// Largest norm of the gradient.
    pub(super) fn clip_norm(&self) -> Option<f64> {
        self.clip_norm
    }

    /// The regularizers of a parameter together.
    pub(super) fn slopes(&self, param: usize, start: bool) -> Slopes {
        self.infos[param].penalties.iter().fold(Slopes::default(), |sum, index| {
            let slopes = self.penalties[*index].slopes(start);
            Slopes { l1: sum.l1 + slopes.l1, l2: sum.l2 + slopes.l2, pull: sum.pull + slopes.pull }
        })
    }

    /// What it keeps of each parameter.
    pub(super) fn held(&self) -> Held<'_> {
        Held { states: &self.states, counts: &self.counts, average: self.average.as_ref() }
    }

    /// Takes over what a device made of all that: each state of all parameters, their averages, and for each the updates that it has had and
    /// that went into its average.
    pub(super) fn take_back(
        &mut self,
        states: Vec<Vec<Vec<f32>>>,
        averages: Option<Vec<Vec<f32>>>,
        counts: &[[u64; 2]],
    ) {
        for (number, values) in states.into_iter().enumerate() {
            for (of_param, values) in self.states.iter_mut().zip(values) {
                of_param[number] = values;
            }
        }
        self.counts = counts.iter().map(|[count, _]| *count).collect();
        if let (Some((_, held)), Some(averages)) = (&mut self.average, averages) {
            *held = averages.into_iter().zip(counts).map(|(v, [_, n])| if *n > 0 { v } else { Vec::new() }).collect();
        }
    }

    /// One step. `factor` is the schedule's; `starts` are the pretrained values, empty where no regularizer reads them; `grads` are
    /// those of the data terms. All in the order of the parameters. Runs on the rayon pool that it is called in.
    ///
    /// # Errors
    /// The first parameter whose gradient is not finite; weights and states are then as they were.
    pub fn step(
        &mut self,
        factor: f64,
        params: &mut [&mut [f32]],
        starts: &[&[f32]],
        grads: &[&[f32]],
    ) -> std::result::Result<StepReport, NotFinite> {
        let (rule, infos, penalties) = (self.rule.as_ref(), &self.infos, &self.penalties);
        let decay = self.average.as_ref().map_or(0.0, |(decay, _)| *decay);
        let averages = self.average.as_mut().map_or(&mut [][..], |(_, values)| values);
        let mut pieces = pieces(params, starts, grads, &mut self.states, averages);
        let found: Vec<(f64, f64)> =
            pieces.par_iter().map(|piece| read(piece, &infos[piece.param].penalties, penalties)).collect();
        let mut square = 0.0;
        let mut regularizer = 0.0;
        for (piece, (part, value)) in pieces.iter().zip(&found) {
            if !part.is_finite() || !value.is_finite() {
                return Err(NotFinite { param: piece.param });
            }
            square += part;
            regularizer += value;
        }
        let grad_norm = square.sqrt();
        let scale = match self.clip_norm {
            // torch's clip_grad_norm_ divides by norm + 1e-6.
            Some(limit) if grad_norm > limit => limit / (grad_norm + 1e-6),
            _ => 1.0,
        };
        let counts = &self.counts;
        pieces.par_iter_mut().for_each_init(Vec::new, |scratch, piece| {
            let info = &infos[piece.param];
            let step =
                Step { lr: info.lr * factor, weight_decay: info.weight_decay, count: counts[piece.param], scale };
            if info.penalties.is_empty() {
                rule.update(step, piece.weights, piece.grad, &mut piece.states);
            } else {
                whole_gradient(piece, &info.penalties, penalties, scratch);
                rule.update(step, piece.weights, scratch, &mut piece.states);
            }
            toward(decay, piece.average, piece.weights);
        });
        if let Some((_, averages)) = &mut self.average {
            for (average, weights) in averages.iter_mut().zip(params).filter(|(average, _)| average.is_empty()) {
                average.extend_from_slice(weights);
            }
        }
        for count in &mut self.counts {
            *count += 1;
        }
        Ok(StepReport { grad_norm, regularizer, clipped: scale < 1.0 })
    }

    /// All optimizer states by `<parameter>.<state>`, and how many updates each parameter has had; those of earlier phases included.
    pub fn state(&self) -> (BTreeMap<String, Tensor>, BTreeMap<String, u64>) {
        let mut tensors = self.resting.clone();
        let mut counts = self.resting_counts.clone();
        for ((info, states), count) in self.infos.iter().zip(&self.states).zip(&self.counts) {
            for (name, state) in self.rule.states().iter().zip(states) {
                tensors.insert(format!("{}.{name}", info.name), Tensor::vector(state));
            }
            counts.insert(info.name.clone(), *count);
        }
        (tensors, counts)
    }

    /// Takes up states; parameters that are not in them keep zeros. A state of another rule is left out.
    ///
    /// # Errors
    /// `P0603` when a state has another size than its parameter.
    pub fn set_state(&mut self, tensors: &BTreeMap<String, Tensor>, counts: &BTreeMap<String, u64>) -> Result<()> {
        self.resting.clone_from(tensors);
        self.resting_counts.clone_from(counts);
        for (index, info) in self.infos.iter().enumerate() {
            let mut complete = true;
            for (name, state) in self.rule.states().iter().zip(&mut self.states[index]) {
                let key = format!("{}.{name}", info.name);
                let Some(values) = self.resting.remove(&key).and_then(|tensor| tensor.to_vec::<f32>()) else {
                    complete = false;
                    continue;
                };
                if values.len() != state.len() {
                    return Err(Diagnostic::error(
                        Code::CheckpointBad,
                        format!("optimizer state `{key}` has {} elements, its parameter {}", values.len(), state.len()),
                    ));
                }
                state.copy_from_slice(&values);
            }
            let count = self.resting_counts.remove(&info.name).unwrap_or(0);
            // Moments that start at zero must be bias-corrected from their own first step.
            self.counts[index] = if complete { count } else { 0 };
        }
        Ok(())
    }
}

/// Cuts all parameters into chunks, what belongs to them alike.
fn pieces<'a>(
    params: &'a mut [&mut [f32]],
    starts: &[&'a [f32]],
    grads: &[&'a [f32]],
    states: &'a mut [Vec<Vec<f32>>],
    averages: &'a mut [Vec<f32>],
) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut averages = averages.iter_mut();
    for (param, (weights, states)) in params.iter_mut().zip(states).enumerate() {
        let mut states: Vec<_> = states.iter_mut().map(|state| state.chunks_mut(CHUNK)).collect();
        let mut start = starts[param].chunks(CHUNK);
        let mut average = averages.next().map_or(&mut [][..], Vec::as_mut_slice).chunks_mut(CHUNK);
        for (weights, grad) in weights.chunks_mut(CHUNK).zip(grads[param].chunks(CHUNK)) {
            pieces.push(Piece {
                param,
                weights,
                start: start.next().unwrap_or(&[]),
                grad,
                states: states.iter_mut().filter_map(Iterator::next).collect(),
                average: average.next().unwrap_or_default(),
            });
        }
    }
    pieces
}

/// Data gradient plus ∂R into `out`.
fn whole_gradient(piece: &Piece, chosen: &[usize], penalties: &[Box<dyn Regularizer>], out: &mut Vec<f32>) {
    out.clear();
    out.extend_from_slice(piece.grad);
    for index in chosen {
        penalties[*index].add_gradient(1.0, piece.weights, piece.start, out);
    }
}

/// Σg² of a chunk with ∂R, and its share of R.
fn read(piece: &Piece, chosen: &[usize], penalties: &[Box<dyn Regularizer>]) -> (f64, f64) {
    let square = |grad: &[f32]| grad.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>();
    if chosen.is_empty() {
        return (square(piece.grad), 0.0);
    }
    let mut grad = Vec::new();
    whole_gradient(piece, chosen, penalties, &mut grad);
    let value = chosen.iter().map(|index| penalties[*index].value(piece.weights, piece.start)).sum();
    (square(&grad), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Chosen;
    use crate::parts::optimizers::Optimizers;
    use crate::parts::regularizers::Regularizers;
    use crate::world::rng::Key;
    use serde_json::json;

    fn updater(
        rule: &str,
        config: serde_json::Value,
        len: usize,
        penalty: Option<(&str, f64)>,
        clip: Option<f64>,
    ) -> Updater {
        let rule = Chosen::<Optimizers>::new(rule, config).build().unwrap();
        let penalties: Vec<_> = penalty
            .iter()
            .map(|(kind, lambda)| Chosen::<Regularizers>::new(kind, json!({"lambda": lambda})).build().unwrap())
            .collect();
        let chosen = (0..penalties.len()).collect();
        let info = ParamInfo {
            name: "w".to_owned(),
            len,
            lr: rule.lr(),
            weight_decay: rule.weight_decay(),
            penalties: chosen,
        };
        Updater::new(rule, vec![info], penalties, clip)
    }

    #[test]
    fn regularizer_and_clipping_are_in_the_step() {
        let mut updater = updater("sgd", json!({"lr": 1.0}), 2, Some(("l2", 0.5)), Some(1.0));
        let mut w = [2.0f32, 0.0];
        let report = updater.step(1.0, &mut [&mut w], &[&[]], &[&[2.0, 4.0]]).unwrap();
        // g + λw = (3, 4), norm 5; R = 0.25·4
        assert!((report.grad_norm - 5.0).abs() < 1e-9 && (report.regularizer - 1.0).abs() < 1e-9 && report.clipped);
        assert!((w[0] - 1.4).abs() < 1e-5 && (w[1] + 0.8).abs() < 1e-5, "{w:?}");
    }

    #[test]
    fn a_bad_gradient_changes_nothing() {
        let mut updater = updater("adamw", json!({"lr": 1.0}), 2, None, None);
        let mut w = [2.0f32, 0.0];
        let bad = updater.step(1.0, &mut [&mut w], &[&[]], &[&[1.0, f32::NAN]]).unwrap_err();
        assert_eq!((bad.param, w), (0, [2.0, 0.0]));
        let (states, counts) = updater.state();
        assert!(states.values().all(|state| state.to_vec::<f32>().unwrap() == [0.0, 0.0]) && states.len() == 2);
        assert_eq!(counts["w"], 0);
    }

    #[test]
    fn averages_follow_the_weights() {
        let n = CHUNK + 3;
        let run = |from: Vec<f32>, w: &mut Vec<f32>, steps: usize| {
            let mut updater = updater("sgd", json!({"lr": 1.0}), n, None, None);
            updater.set_average(0.75, vec![from]).unwrap();
            let grad = vec![1.0f32; n];
            for _ in 0..steps {
                updater.step(1.0, &mut [w], &[&[]], &[&grad]).unwrap();
            }
            updater.averages()[0].clone()
        };
        // w: 0, −1, −2, −3; the first is taken as it is: a = −1, then −1 + (−2 + 1)/4, then −1.25 + (−3 + 1.25)/4
        let mut w = vec![0.0; n];
        let whole = run(vec![], &mut w, 3);
        assert!(whole.iter().all(|a| *a == -1.6875) && whole.len() == n);
        // Two steps, and one more from their state.
        let mut w = vec![0.0; n];
        let two = run(vec![], &mut w, 2);
        assert_eq!(run(two.clone(), &mut w, 1), whole);
        let mut other = updater("sgd", json!({"lr": 1.0}), 2, None, None);
        assert_eq!(other.set_average(0.5, vec![two]).unwrap_err().code(), Code::CheckpointBad);
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let n = 3 * CHUNK + 17;
        let mut rng = Key::new(1).rng();
        let (start, grad): (Vec<f32>, Vec<f32>) = (0..n).map(|_| (rng.normal() as f32, rng.normal() as f32)).unzip();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut updater = updater("adamw", json!({"lr": 0.01}), n, Some(("l1", 0.1)), Some(3.0));
            updater.set_average(0.9, vec![vec![]]).unwrap();
            let mut w = start.clone();
            let mut norms = Vec::new();
            for _ in 0..3 {
                let report = pool.install(|| updater.step(0.5, &mut [&mut w], &[&[]], &[&grad])).unwrap();
                norms.push((report.grad_norm, report.regularizer));
            }
            (w, norms, updater.averages()[0].clone())
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }

    #[test]
    fn state_comes_back_and_rests_between_phases() {
        let mut first = updater("adamw", json!({"lr": 0.1}), 2, None, None);
        let mut w = [1.0f32, 2.0];
        first.step(1.0, &mut [&mut w], &[&[]], &[&[0.3, -0.7]]).unwrap();
        let (mut tensors, counts) = first.state();
        tensors.insert("other.mean".to_owned(), Tensor::vector(&[9.0f32]));
        let mut again = updater("adamw", json!({"lr": 0.1}), 2, None, None);
        again.set_state(&tensors, &counts).unwrap();
        let mut v = w;
        first.step(1.0, &mut [&mut w], &[&[]], &[&[1.0, 1.0]]).unwrap();
        again.step(1.0, &mut [&mut v], &[&[]], &[&[1.0, 1.0]]).unwrap();
        assert_eq!(w, v);
        assert!(again.state().0.contains_key("other.mean"));
    }
}
