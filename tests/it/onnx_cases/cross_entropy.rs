//! `cross_entropy` against SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss.
//!
//! ONNX has a class for each place of [N, d…]; here such places are rows. Its reductions are what the training form divides by: nothing
//! for each row, 1 for the sum, and for the mean the total class weight of the rows that count. There is no `ignore_index`: a row that is
//! left out has the weight 0, as padding and unreadable samples have.
//!
//! The gradient of a row's scores is w·(softmax − onehot)/total; the cases give the logarithm of the softmax.

use super::{Array, Case, cases, close, plan, session};
use crate::scene::Net;
use pipe::graph::{StepForm, eval_graph, train_graph};
use pipe::ir::Tensor;
use std::collections::BTreeSet;

/// f32 sums of up to a hundred terms.
const TOLERANCE: f32 = 2e-6;

/// [N, C, d…] as a row of classes for each place.
fn rows(array: &Array) -> (Vec<f32>, usize) {
    let classes = array.shape[1];
    let places: usize = array.shape[2..].iter().product();
    let data = array.f32();
    let rows = array.shape[0] * places;
    let at = |row: usize, class: usize| data[(row / places * classes + class) * places + row % places];
    ((0..rows * classes).map(|i| at(i / classes, i % classes)).collect(), classes)
}

/// A case as `pipe` trains on it.
struct Rows {
    scores: Vec<f32>,
    classes: usize,
    labels: Vec<i64>,
    /// 0 where ONNX ignores the label.
    weights: Vec<f32>,
    /// Weight of each row's class, with that.
    totals: Vec<f64>,
    class_weights: Option<Vec<f32>>,
}

impl Rows {
    fn of(case: &Case, [scores, labels, weights]: [&str; 3]) -> Self {
        let (scores, classes) = rows(&case.inputs[scores]);
        let ignored = case.attribute("ignore_index");
        let given = &case.inputs[labels].data;
        let weights_of_rows = given.iter().map(|label| if Some(*label) == ignored { 0.0 } else { 1.0 }).collect();
        let labels = given.iter().map(|label| if Some(*label) == ignored { 0 } else { *label as i64 }).collect();
        let class_weights = case.inputs.get(weights).map(Array::f32);
        let mut this = Self { scores, classes, labels, weights: weights_of_rows, totals: Vec::new(), class_weights };
        let weight =
            |label: &i64| this.class_weights.as_ref().map_or(1.0, |weights| f64::from(weights[*label as usize]));
        this.totals = this.labels.iter().zip(&this.weights).map(|(label, on)| weight(label) * f64::from(*on)).collect();
        this
    }

    /// Losses of the rows, the term divided by what the reduction says, and the gradient of the scores, as the training and the
    /// evaluation form compute them. The scores are the parameter of a matrix product with the unit matrix.
    fn run(&self, reduction: &str) -> (Vec<f32>, f32, Vec<f32>) {
        let count = self.labels.len();
        let mut net = Net::new(&[count]);
        let scores = net.graph.add_initializer("scores", Tensor::new([count, self.classes], &self.scores));
        let model = net.node("product", "MatMul", &[scores], &[]).done();
        let loss = match &self.class_weights {
            Some(weights) => format!("loss: {{cross_entropy: {{class_weights: {weights:?}}}}}"),
            None => "loss: cross_entropy".to_owned(),
        };
        let plan = plan(&model, &[count], count, &loss);
        let term = &plan.objective.terms[0];
        let of_classes = self.labels.iter().zip(&self.weights);
        let total: f64 = of_classes.map(|(label, on)| f64::from(*on) * term.loss.class_weight(*label)).sum();
        let divisor = if reduction == "mean" { total } else { 1.0 };
        let unit: Vec<f32> = (0..count * count).map(|i| if i / count == i % count { 1.0 } else { 0.0 }).collect();
        let (unit, labels) = (Tensor::new([count, count], &unit), Tensor::vector(&self.labels));

        let made = train_graph(
            &plan.network,
            &plan.phases[0].trainable,
            None,
            &plan.objective,
            StepForm::of(&plan.spec, plan.target),
            count,
        );
        let made = made.unwrap();
        let names = &made.terms[0];
        let outputs = session(&made.graph).call(&[
            (&made.data[0], unit.clone()),
            (&names.labels, labels.clone()),
            (&names.weights, Tensor::vector(&self.weights)),
            (&names.inverse, Tensor::scalar((1.0 / divisor) as f32)),
            (&names.lambda, Tensor::scalar(1.0f32)),
            (&made.params[0].0, Tensor::new([count, self.classes], &self.scores)),
        ]);
        let outputs = outputs.unwrap();
        let (value, gradient) = (outputs[0].to_vec::<f32>().unwrap(), outputs[1].to_vec().unwrap());

        let made = eval_graph(&plan.network, None, &plan.objective, count).unwrap();
        let outputs = session(&made.graph).call(&[(&made.data[0], unit), (&made.terms[0].1, labels)]).unwrap();
        let losses: Vec<f32> = outputs.last().unwrap().to_vec().unwrap();
        let counted = losses.iter().zip(&self.weights).map(|(loss, on)| loss * on).collect();
        (counted, value[0], gradient)
    }

    /// What stands under the sum of a reduction.
    fn divisor(&self, reduction: &str) -> f64 {
        if reduction == "mean" { self.totals.iter().sum() } else { 1.0 }
    }
}

fn check(losses: &[f32], value: f32, reduction: &str, expected: &[f32], name: &str) {
    if reduction == "none" {
        close(losses, expected, TOLERANCE, name);
        close(&[value], &[expected.iter().sum()], TOLERANCE, name);
    } else {
        close(&[value], expected, TOLERANCE, name);
    }
}

#[test]
fn losses_and_gradients_are_those_of_softmax_cross_entropy_loss() {
    let mut seen = BTreeSet::new();
    for (name, case) in cases("cross_entropy.json") {
        let reduction = case.word("reduction");
        let rows_of_case = Rows::of(&case, ["x", "y", "w"]);
        let (losses, value, gradient) = rows_of_case.run(reduction);
        check(&losses, value, reduction, &case.output("z"), &name);
        let (log_probabilities, classes) = rows(&case.outputs["log_prob"]);
        let divisor = rows_of_case.divisor(reduction);
        let slope = |(i, log): (usize, &f32)| {
            let (row, class) = (i / classes, i % classes);
            let hot = f64::from(u8::from(rows_of_case.labels[row] == class as i64));
            ((f64::from(*log).exp() - hot) * rows_of_case.totals[row] / divisor) as f32
        };
        let expected: Vec<f32> = log_probabilities.iter().enumerate().map(slope).collect();
        close(&gradient, &expected, TOLERANCE, &format!("gradient of {name}"));
        let ignores = rows_of_case.weights.contains(&0.0);
        seen.insert((reduction.to_owned(), rows_of_case.class_weights.is_some(), ignores));
    }
    for reduction in ["none", "sum", "mean"] {
        assert!(seen.iter().any(|(of, ..)| of == reduction), "no case of `{reduction}`");
    }
    assert!(seen.contains(&("mean".to_owned(), true, true)), "weighted with ignored labels: {seen:?}");
    assert!(seen.contains(&("none".to_owned(), true, false)), "weighted rows: {seen:?}");
}

/// The cases of NegativeLogLikelihoodLoss take any numbers for logarithms of probabilities: −w·x_y is what `cross_entropy` gives less
/// w·ln Σexp(x), by which it makes them probabilities first.
#[test]
fn losses_are_those_of_negative_log_likelihood_loss_after_the_normalisation() {
    let all = cases("nll.json");
    assert!(all.len() >= 10, "{} cases", all.len());
    for (name, case) in all {
        let reduction = case.word("reduction");
        let rows = Rows::of(&case, ["input", "target", "weight"]);
        let (losses, value, _) = rows.run(reduction);
        let scores = rows.scores.chunks(rows.classes);
        let shifts: Vec<f64> = scores
            .zip(&rows.totals)
            .map(|(row, total)| total * row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln())
            .collect();
        let losses: Vec<f32> =
            losses.iter().zip(&shifts).map(|(loss, shift)| (f64::from(*loss) - shift) as f32).collect();
        let value = f64::from(value) - shifts.iter().sum::<f64>() / rows.divisor(reduction);
        // The difference of two numbers of the size of the sum of up to 108 rows.
        let scale = if reduction == "mean" { 1.0 } else { rows.labels.len() as f32 };
        if reduction == "none" {
            close(&losses, &case.output("loss"), TOLERANCE, &name);
        } else {
            close(&[value as f32], &case.output("loss"), TOLERANCE * scale, &name);
        }
    }
}
