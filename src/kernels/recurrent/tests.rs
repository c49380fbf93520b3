//! Against difference quotients of the recurrences in f64, over odd sizes, lengths and numbers of threads.

use super::*;
use crate::ir::{Attr, Node};
use crate::kernels::{Kernel, OPERATORS};
use crate::world::rng::Key;

const STEPS: usize = 4;
const BATCH: usize = 11;
const HIDDEN: usize = 3;
/// Rows of length 0, of all steps, and in between, in both blocks.
const LENGTHS: [i64; BATCH] = [4, 0, 1, 3, 4, 2, 4, 4, 0, 2, 4];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn draw(name: &str, len: usize) -> Vec<f32> {
    let mut rng = Key::new(5).named(name).rng();
    (0..len).map(|_| rng.range(-1.0, 1.0) as f32).collect()
}

/// A recurrence: (step's sums, states) → states, the first of which is the output.
type Step<'a> = &'a dyn Fn(&[f64], &[Vec<f64>]) -> Vec<Vec<f64>>;

/// Σ dy·h over the steps + Σ dh·(last states), for one row.
fn loss(row: usize, reverse: bool, sums: &[f64], first: &[Vec<f64>], dy: &[f32], last: &[&[f32]], step: Step) -> f64 {
    let length = LENGTHS[row] as usize;
    let mut states = first.to_vec();
    let (mut total, width) = (0.0, sums.len() / STEPS);
    for i in 0..STEPS {
        let t = if reverse { STEPS - 1 - i } else { i };
        if t < length {
            states = step(&sums[t * width..][..width], &states);
            let at = (t * BATCH + row) * HIDDEN;
            total += (0..HIDDEN).map(|k| states[0][k] * f64::from(dy[at + k])).sum::<f64>();
        }
    }
    if length > 0 {
        for (state, grad) in states.iter().zip(last) {
            total += (0..HIDDEN).map(|k| state[k] * f64::from(grad[row * HIDDEN + k])).sum::<f64>();
        }
    }
    total
}

fn node(name: &str, reverse: bool, extra: &[(&str, i64)]) -> (Node, Box<dyn Kernel>) {
    let activations: &[(&str, i64)] = match name {
        "LstmGrad" => &[("activation0", 0), ("activation1", 1), ("activation2", 1)],
        "GruGrad" => &[("activation0", 0), ("activation1", 1)],
        _ => &[("activation0", 1)],
    };
    let reverse = [("reverse", i64::from(reverse))];
    let attrs = activations.iter().chain(extra).chain(&reverse);
    let node = Node { attrs: attrs.map(|(k, v)| ((*k).to_owned(), Attr::Int(*v))).collect(), ..Node::default() };
    let kernel = (OPERATORS.iter().find(|operator| operator.name == name).unwrap().kernel)(&node).unwrap();
    (node, kernel)
}

fn run(kernel: &mut dyn Kernel, inputs: &[Arg]) -> Vec<f32> {
    let shapes: Vec<&[usize]> = inputs.iter().map(Arg::shape).collect();
    let mut one = vec![f32::NAN; kernel.shape(&shapes).unwrap()[0]];
    kernel.compute(inputs, &mut one, &|count, task| (0..count).for_each(task)).unwrap();
    let mut many = vec![f32::NAN; one.len()];
    let threads = |count: usize, task: &(dyn Fn(usize) + Sync)| {
        std::thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || (thread..count).step_by(2).for_each(task));
            }
        });
    };
    kernel.compute(inputs, &mut many, &threads).unwrap();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&one), bits(&many));
    one
}

/// Elements of one row of a tensor [steps, BATCH, width] in f64.
fn row(tensor: &[f32], row: usize, width: usize) -> Vec<f64> {
    tensor.chunks(width).skip(row).step_by(BATCH).flatten().map(|v| f64::from(*v)).collect()
}

/// Compares the first part of an output, gradients of the sums, with quotients of `loss_of`.
fn check(what: &str, made: &[f32], sums: &[f32], width: usize, loss_of: &dyn Fn(usize, &[f64]) -> f64) {
    for at in 0..BATCH {
        let (point, made) = (row(sums, at, width), row(&made[..sums.len()], at, width));
        for i in 0..point.len() {
            let moved = |by: f64| {
                let mut point = point.clone();
                point[i] += by;
                loss_of(at, &point)
            };
            let quotient = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!((made[i] - quotient).abs() < 2e-6, "{what}, row {at}, element {i}: {} for {quotient}", made[i]);
        }
    }
}

/// h·Rᵀ for the rows `from..to` of R.
fn recurrent(weights: &[f32], range: std::ops::Range<usize>, h: &[f64]) -> Vec<f64> {
    range.map(|line| (0..HIDDEN).map(|k| f64::from(weights[line * HIDDEN + k]) * h[k]).sum()).collect()
}

#[test]
fn rnn() {
    let (weights, dy, dh) =
        (draw("r", HIDDEN * HIDDEN), draw("dy", STEPS * BATCH * HIDDEN), draw("dh", BATCH * HIDDEN));
    for reverse in [false, true] {
        // The inputs' part of the sums; the kernel takes all of them, at the states that they lead to.
        let parts = draw("x", STEPS * BATCH * HIDDEN);
        let step = |sums: &[f64], states: &[Vec<f64>]| {
            let back = recurrent(&weights, 0..HIDDEN, &states[0]);
            vec![(0..HIDDEN).map(|k| (sums[k] + back[k]).tanh()).collect()]
        };
        let first = vec![vec![0.0; HIDDEN]];
        let sums = sums_at(&parts, 1, reverse, &weights, &first, &step);
        let made = run(
            &mut *node("RnnGrad", reverse, &[]).1,
            &[
                Arg::F32(&sums, &[STEPS, BATCH, HIDDEN]),
                Arg::F32(&weights, &[HIDDEN, HIDDEN]),
                Arg::I64(&LENGTHS, &[BATCH]),
                Arg::F32(&dy, &[STEPS, BATCH, HIDDEN]),
                Arg::F32(&dh, &[BATCH, HIDDEN]),
            ],
        );
        check("rnn", &made, &parts, HIDDEN, &|row, sums| loss(row, reverse, sums, &first, &dy, &[&dh], &step));
    }
}

/// The sums, recurrent parts of the first gates included, along the recurrence that starts at `first`.
fn sums_at(parts: &[f32], gates: usize, reverse: bool, weights: &[f32], first: &[Vec<f64>], step: Step) -> Vec<f32> {
    let mut sums = parts.to_vec();
    let width = parts.len() / STEPS / BATCH;
    for at in 0..BATCH {
        let point = row(parts, at, width);
        let mut states = first.to_vec();
        for i in 0..STEPS {
            let t = if reverse { STEPS - 1 - i } else { i };
            if t >= LENGTHS[at] as usize {
                continue;
            }
            let back = recurrent(weights, 0..gates * HIDDEN, &states[0]);
            for (sum, back) in sums[(t * BATCH + at) * width..].iter_mut().zip(back) {
                *sum += back as f32;
            }
            states = step(&point[t * width..][..width], &states);
        }
    }
    sums
}

#[test]
fn lstm() {
    let weights = draw("r", 4 * HIDDEN * HIDDEN);
    let (dy, dh, dc) = (draw("dy", STEPS * BATCH * HIDDEN), draw("dh", BATCH * HIDDEN), draw("dc", BATCH * HIDDEN));
    let parts = draw("x", 4 * STEPS * BATCH * HIDDEN);
    for (reverse, coupled, peeps) in [(false, false, true), (true, false, false), (true, true, true)] {
        let peepholes = if peeps { draw("p", 3 * HIDDEN) } else { Vec::new() };
        let step = |sums: &[f64], states: &[Vec<f64>]| {
            let back = recurrent(&weights, 0..4 * HIDDEN, &states[0]);
            let peep = |gate: usize, k: usize| peepholes.get(gate * HIDDEN + k).map_or(0.0, |p| f64::from(*p));
            let sum = |gate: usize, k: usize| sums[gate * HIDDEN + k] + back[gate * HIDDEN + k];
            let before = &states[1];
            let (mut h, mut c) = (vec![0.0; HIDDEN], vec![0.0; HIDDEN]);
            for k in 0..HIDDEN {
                let i = sigmoid(sum(0, k) + peep(0, k) * before[k]);
                let f = if coupled { 1.0 - i } else { sigmoid(sum(2, k) + peep(2, k) * before[k]) };
                c[k] = f * before[k] + i * sum(3, k).tanh();
                h[k] = sigmoid(sum(1, k) + peep(1, k) * c[k]) * c[k].tanh();
            }
            vec![h, c]
        };
        let cell = draw("c", HIDDEN);
        let first = vec![vec![0.0; HIDDEN], cell.iter().map(|c| f64::from(*c)).collect()];
        let sums = sums_at(&parts, 4, reverse, &weights, &first, &step);
        let cells = cell.repeat(BATCH);
        let made = run(
            &mut *node("LstmGrad", reverse, &[("input_forget", i64::from(coupled))]).1,
            &[
                Arg::F32(&sums, &[STEPS, BATCH, 4 * HIDDEN]),
                Arg::F32(&weights, &[4 * HIDDEN, HIDDEN]),
                Arg::F32(&peepholes, &[peepholes.len()]),
                Arg::F32(&cells, &[BATCH, HIDDEN]),
                Arg::I64(&LENGTHS, &[BATCH]),
                Arg::F32(&dy, &[STEPS, BATCH, HIDDEN]),
                Arg::F32(&dh, &[BATCH, HIDDEN]),
                Arg::F32(&dc, &[BATCH, HIDDEN]),
            ],
        );
        let of =
            |row: usize, sums: &[f64], first: &[Vec<f64>]| loss(row, reverse, sums, first, &dy, &[&dh, &dc], &step);
        check("lstm", &made, &parts, 4 * HIDDEN, &|row, sums| of(row, sums, &first));
        let start = parts.len();
        for at in 0..BATCH {
            for (state, k) in (0..2).flat_map(|state| (0..HIDDEN).map(move |k| (state, k))) {
                let moved = |by: f64| {
                    let mut first = first.clone();
                    first[state][k] += by;
                    of(at, &row(&parts, at, 4 * HIDDEN), &first)
                };
                let quotient = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let made = f64::from(made[start + (state * BATCH + at) * HIDDEN + k]);
                assert!((made - quotient).abs() < 2e-6, "initial state {state}, row {at}: {made} for {quotient}");
            }
        }
    }
}

#[test]
fn gru() {
    let weights = draw("r", 3 * HIDDEN * HIDDEN);
    let (dy, dh) = (draw("dy", STEPS * BATCH * HIDDEN), draw("dh", BATCH * HIDDEN));
    let parts = draw("x", 3 * STEPS * BATCH * HIDDEN);
    for (reverse, linear) in [(false, true), (true, true), (false, false), (true, false)] {
        let step = |sums: &[f64], states: &[Vec<f64>]| {
            let h = &states[0];
            let back = recurrent(&weights, 0..3 * HIDDEN, h);
            let gate = |gate: usize, k: usize| sigmoid(sums[gate * HIDDEN + k] + back[gate * HIDDEN + k]);
            let reset: Vec<f64> = (0..HIDDEN).map(|k| gate(1, k) * h[k]).collect();
            let plain = recurrent(&weights, 2 * HIDDEN..3 * HIDDEN, &reset);
            let next = (0..HIDDEN).map(|k| {
                let back = if linear { gate(1, k) * back[2 * HIDDEN + k] } else { plain[k] };
                let g = (sums[2 * HIDDEN + k] + back).tanh();
                (1.0 - gate(0, k)) * g + gate(0, k) * h[k]
            });
            vec![next.collect()]
        };
        let state = draw("h", HIDDEN);
        let first = vec![state.iter().map(|h| f64::from(*h)).collect::<Vec<f64>>()];
        let sums = sums_at(&parts, 2, reverse, &weights, &first, &step);
        let (mut before, mut back) = (vec![0.0f32; STEPS * BATCH * HIDDEN], Vec::new());
        for at in 0..BATCH {
            let (point, mut states) = (row(&parts, at, 3 * HIDDEN), first.clone());
            for i in 0..STEPS {
                let t = if reverse { STEPS - 1 - i } else { i };
                if t < LENGTHS[at] as usize {
                    (0..HIDDEN).for_each(|k| before[(t * BATCH + at) * HIDDEN + k] = states[0][k] as f32);
                    states = step(&point[t * 3 * HIDDEN..][..3 * HIDDEN], &states);
                }
            }
        }
        if linear {
            for h in before.chunks(HIDDEN) {
                let h: Vec<f64> = h.iter().map(|v| f64::from(*v)).collect();
                back.extend(recurrent(&weights, 2 * HIDDEN..3 * HIDDEN, &h).into_iter().map(|v| v as f32));
            }
        }
        let made = run(
            &mut *node("GruGrad", reverse, &[("linear_before_reset", i64::from(linear))]).1,
            &[
                Arg::F32(&sums, &[STEPS, BATCH, 3 * HIDDEN]),
                Arg::F32(&back, &[back.len()]),
                Arg::F32(&before, &[STEPS, BATCH, HIDDEN]),
                Arg::F32(&weights, &[3 * HIDDEN, HIDDEN]),
                Arg::I64(&LENGTHS, &[BATCH]),
                Arg::F32(&dy, &[STEPS, BATCH, HIDDEN]),
                Arg::F32(&dh, &[BATCH, HIDDEN]),
            ],
        );
        check("gru", &made, &parts, 3 * HIDDEN, &|row, sums| loss(row, reverse, sums, &first, &dy, &[&dh], &step));
    }
}

#[test]
fn wrong_shapes_and_attributes_are_errors() {
    let (_, mut kernel) = node("RnnGrad", false, &[]);
    assert!(kernel.shape(&[&[2, 3]]).is_err());
    let short = [Arg::F32(&[0.0; 4], &[1, 2, 2]), Arg::F32(&[0.0; 3], &[3])];
    assert!(kernel.compute(&short, &mut [0.0; 8], &|_, _| ()).is_err());
    let nameless = Node::default();
    assert!(OPERATORS.iter().filter(|o| o.name.ends_with("mGrad")).all(|o| (o.kernel)(&nameless).is_err()));
}
