//! The step against torch's numbers, closed forms, thread counts and bad values.

use super::*;
use crate::parts::Chosen;
use crate::parts::optimizers::Optimizers;
use crate::parts::regularizers::Regularizers;
use serde_json::{Value, json};

/// Gradients of five steps.
const GRADS: [[f32; 3]; 5] =
    [[0.5, -1.0, 2.0], [0.25, 0.75, -0.5], [-0.125, 0.5, 1.0], [1.5, -0.25, 0.0], [0.0625, 1.0, -2.0]];
/// Weights before the first of them.
const WEIGHTS: [f32; 3] = [1.0, -2.0, 0.5];

fn updater(kind: &str, config: Value, lens: &[usize], penalties: &[(&str, Value)], clip_norm: Option<f64>) -> Updater {
    let rule = Chosen::<Optimizers>::new(kind, config).build().unwrap();
    let params: Vec<ParamInfo> = lens
        .iter()
        .enumerate()
        .map(|(i, len)| ParamInfo {
            name: format!("p{i}"),
            len: *len,
            lr: rule.lr(),
            weight_decay: rule.weight_decay(),
            penalties: (0..penalties.len()).collect(),
        })
        .collect();
    let penalties =
        penalties.iter().map(|(kind, config)| Chosen::<Regularizers>::new(kind, config.clone()).build().unwrap());
    Updater::new(rule, &params, penalties.collect(), clip_norm).unwrap()
}

fn five_steps(updater: &mut Updater) -> (Vec<f32>, Vec<StepReport>) {
    let mut weights = WEIGHTS.to_vec();
    let reports = GRADS.iter().map(|grad| updater.step(1.0, 1.0, &mut [&mut weights], &[&[]], &[grad]).unwrap());
    let reports = reports.collect();
    (weights, reports)
}

fn close(seen: &[f32], wanted: &[f32]) {
    for (a, b) in seen.iter().zip(wanted) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{seen:?} is not {wanted:?}");
    }
}

/// Odd lengths around a chunk's, with numbers that look random.
fn large() -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let lens = [1, CHUNK - 1, 3 * CHUNK + 7, BLOCK + 5, CHUNK];
    let made = |salt: u32| {
        let value =
            move |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(salt) >> 8) as f32 / 8_388_608.0 - 1.0;
        lens.iter().map(|len| (0..*len).map(value).collect()).collect()
    };
    (made(1), made(77))
}

fn run_large(updater: &mut Updater, steps: usize) -> (Vec<Vec<f32>>, Vec<StepReport>) {
    let (mut weights, grads) = large();
    let starts = grads.clone();
    let reports = (0..steps).map(|i| {
        let mut params: Vec<&mut [f32]> = weights.iter_mut().map(Vec::as_mut_slice).collect();
        let starts: Vec<&[f32]> = starts.iter().map(Vec::as_slice).collect();
        let grads: Vec<&[f32]> = grads.iter().map(Vec::as_slice).collect();
        updater.step(1.0 / (i + 1) as f64, 0.5, &mut params, &starts, &grads).unwrap()
    });
    let reports = reports.collect();
    (weights, reports)
}

fn lens() -> Vec<usize> {
    large().0.iter().map(Vec::len).collect()
}

#[test]
fn five_steps_end_where_torch_does() {
    let nesterov = json!({"lr": 0.1, "momentum": 0.9, "nesterov": true});
    close(&five_steps(&mut updater("sgd", nesterov, &[3], &[], None)).0, &[0.287_955_5, -2.132_773_4, -0.196_262_99]);
    let adamw = json!({"lr": 0.1, "weight_decay": 0.05});
    close(&five_steps(&mut updater("adamw", adamw, &[3], &[], None)).0, &[0.597_328, -1.898_642_3, 0.238_421_28]);
    let adam = json!({"lr": 0.01, "betas": [0.8, 0.99]});
    close(&five_steps(&mut updater("adam", adam, &[3], &[], None)).0, &[0.962_067_54, -1.996_999_3, 0.477_228_97]);
}

#[test]
fn l2_clipping_and_decay_end_where_torch_does() {
    // g + 0.1·w, then clip_grad_norm_(1), then w·(1 − lr·0.01), then SGD with momentum 0.9.
    let sgd = json!({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01});
    let (weights, reports) = five_steps(&mut updater("sgd", sgd, &[3], &[("l2", json!({"lambda": 0.1}))], Some(1.0)));
    close(&weights, &[0.594_987_1, -2.042_075_9, 0.142_863_57]);
    let norms: Vec<f32> = reports.iter().map(|report| report.grad_norm as f32).collect();
    close(&norms, &[2.45, 0.799_376_25, 1.082_726_5, 1.649_426_2, 2.144_309_3]);
    assert_eq!(reports.iter().map(|report| report.clipped).collect::<Vec<_>>(), [true, false, true, true, true]);
    // The penalty is that of the weights before the step: 0.05·(1 + 4 + 0.25).
    assert!((reports[0].regularizer - 0.2625).abs() < 1e-9);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let penalties = [("l1", json!({"lambda": 1e-3})), ("l2_sp", json!({"lambda": 0.1, "beta": 0.01}))];
    for (kind, config, penalties) in [
        ("sgd", json!({"lr": 0.1, "momentum": 0.9}), &penalties[..]),
        ("sgd", json!({"lr": 0.1}), &[]),
        ("adamw", json!({"lr": 0.1}), &penalties[..]),
        ("adamw", json!({"lr": 0.1}), &[]),
    ] {
        let runs: Vec<_> = [1, 2, 4]
            .iter()
            .map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(*threads).build().unwrap();
                let mut updater = updater(kind, config.clone(), &lens(), penalties, Some(3.0));
                let (weights, reports) = pool.install(|| run_large(&mut updater, 3));
                let bits: Vec<Vec<u32>> = weights.iter().map(|w| w.iter().map(|v| v.to_bits()).collect()).collect();
                (bits, reports, updater.state())
            })
            .collect();
        assert!(runs[0] == runs[1] && runs[1] == runs[2], "{kind} depends on threads");
        assert!(runs[0].1[0].clipped);
    }
}

#[test]
fn chunks_and_blocks_meet_without_gaps() {
    // Every element moves as the rule moves it alone.
    let mut whole = updater("adamw", json!({"lr": 0.1}), &lens(), &[("l2_sp", json!({"lambda": 0.1}))], None);
    let (weights, _) = run_large(&mut whole, 2);
    let (start, grads) = large();
    for (tensor, at) in
        [(0, 0), (1, CHUNK - 2), (2, CHUNK), (2, 3 * CHUNK + 6), (3, BLOCK), (3, BLOCK + 4), (4, CHUNK - 1)]
    {
        let mut alone = updater("adamw", json!({"lr": 0.1}), &[1], &[("l2_sp", json!({"lambda": 0.1}))], None);
        let mut weight = [start[tensor][at]];
        for i in 0..2 {
            let grad = &grads[tensor][at..=at];
            alone.step(1.0 / f64::from(i + 1), 0.5, &mut [&mut weight], &[grad], &[grad]).unwrap();
        }
        assert_eq!(weight[0].to_bits(), weights[tensor][at].to_bits(), "tensor {tensor} at {at}");
    }
}

#[test]
fn a_bad_value_changes_nothing_and_is_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut updater = updater("adamw", json!({"lr": 0.1}), &[2, 3], &[], Some(1.0));
        let (mut a, mut b) = ([1.0, 2.0], [3.0, 4.0, 5.0]);
        let before = updater.state();
        let seen = updater.step(1.0, 1.0, &mut [&mut a, &mut b], &[&[], &[]], &[&[0.5, 0.5], &[0.0, bad, 1.0]]);
        assert_eq!(seen, Err(NotFinite { param: 1 }));
        assert_eq!((a, b, updater.state()), ([1.0, 2.0], [3.0, 4.0, 5.0], before));
    }
    let mut updater = updater("sgd", json!({"lr": 0.1}), &[1], &[("l2", json!({"lambda": 1.0}))], None);
    assert_eq!(updater.step(1.0, 1.0, &mut [&mut [f32::NAN]], &[&[]], &[&[1.0]]), Err(NotFinite { param: 0 }));
    // The largest finite gradients are no reason to stop.
    assert!(updater.step(1.0, 1.0, &mut [&mut [0.0]], &[&[]], &[&[f32::MAX]]).is_ok());
}

#[test]
fn state_goes_out_and_comes_back() {
    let config = json!({"lr": 0.1, "momentum": 0.9});
    let mut straight = updater("sgd", config.clone(), &lens(), &[], None);
    run_large(&mut straight, 2);
    let mut resumed = updater("sgd", config.clone(), &lens(), &[], None);
    assert_eq!(resumed.set_state(&straight.state()).unwrap(), Vec::<String>::new());
    assert_eq!(resumed.state(), straight.state());
    assert_eq!(run_large(&mut resumed, 2), run_large(&mut straight, 2));
    assert_eq!(resumed.state().counts["p0"], 4);
    // Another phase: p0 and p1 stay, a new parameter starts at zero, frozen ones are left out.
    let mut next = updater("sgd", config.clone(), &[1, CHUNK - 1, 5], &[], None);
    let mut old = straight.state();
    old.tensors.remove("p2.momentum");
    old.counts.remove("p2");
    assert_eq!(next.set_state(&old).unwrap(), ["p2"]);
    assert_eq!(next.state().tensors["p1.momentum"], old.tensors["p1.momentum"]);
    assert_eq!(next.state().counts["p2"], 0);
    // A wrong length is refused before anything changes.
    let mut other = updater("sgd", config, &[1, 9], &[], None);
    let error = other.set_state(&old).unwrap_err();
    assert_eq!(error.code(), Code::CheckpointBad);
    assert_eq!(other.state().counts["p0"], 0);
}

#[test]
fn nothing_to_update_is_fine() {
    let mut none = updater("adamw", json!({"lr": 0.1}), &[], &[], Some(1.0));
    let report = none.step(1.0, 1.0, &mut [], &[], &[]).unwrap();
    assert_eq!(report, StepReport { grad_norm: 0.0, regularizer: 0.0, clipped: false });
    let mut empty = updater("adamw", json!({"lr": 0.1}), &[0], &[("l2", json!({"lambda": 1}))], None);
    assert!(empty.step(1.0, 1.0, &mut [&mut []], &[&[]], &[&[]]).is_ok());
    assert_eq!(empty.state().tensors["p0.mean"], Vec::<f32>::new());
}
