//! `sgd` and `adam` against Momentum and Adam of `ai.onnx.preview.training`, the optimizer pass with its regularizer included.
//!
//! ONNX adds `norm_coefficient`·X to the gradient: that is `l2`. Its states come with the case; here they are the states of an update
//! that is not the first. What differs by definition:
//!
//! - Momentum at T = 0 goes on from the state that it is given. torch's first update has no state: the direction is the gradient.
//!   ONNX's factor β on a later gradient is 1 − `dampening`; none of the cases is late enough to use it.
//! - Adam at T = 0 has no bias correction; torch's first update has one with t = 1, which then fades. Later ONNX multiplies the rate by
//!   √(1 − βᵗ)/(1 − αᵗ) and adds ε to √v, torch adds it to √v/√(1 − βᵗ): ONNX's ε weighs 1/√(1 − βᵗ) of torch's, which fades as well.
//! - ONNX's `norm_coefficient_post` shrinks the new weights, `adamw` the old ones; no case has it. There is no Adagrad here.

use super::{Case, cases, close};
use pipe::ir::Tensor;
use pipe::parts::Chosen;
use pipe::parts::optimizers::Optimizers;
use pipe::parts::regularizers::Regularizers;
use pipe::runtime::update::{ParamInfo, Updater};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Adam's corrections are 1 after that many updates, to the last bit.
const LATE: u64 = 100_000;

/// One update of every tensor of a case, `count` updates after the first: the new weights and states by ONNX's names.
fn updated(case: &Case, rule: &str, config: Value, states: &[(&str, &str)], count: u64) -> BTreeMap<String, Vec<f32>> {
    let rule = Chosen::<Optimizers>::new(rule, config).build().unwrap();
    let lambda = case.attribute("norm_coefficient").unwrap();
    let l2 = Chosen::<Regularizers>::new("l2", json!({"lambda": lambda})).build().unwrap();
    let suffixes: Vec<&str> = case.inputs.keys().filter_map(|name| name.strip_prefix('X')).collect();
    let info = |suffix: &&str| ParamInfo {
        name: (*suffix).to_owned(),
        len: case.inputs[&format!("X{suffix}")].data.len(),
        lr: rule.lr(),
        weight_decay: rule.weight_decay(),
        penalties: vec![0],
    };
    let infos: Vec<ParamInfo> = suffixes.iter().map(info).collect();
    let mut updater = Updater::new(rule, infos, vec![l2], None);
    let mut kept = BTreeMap::new();
    for suffix in &suffixes {
        for (theirs, ours) in states {
            kept.insert(format!("{suffix}.{ours}"), Tensor::vector(&case.input(&format!("{theirs}{suffix}"))));
        }
    }
    let counts = suffixes.iter().map(|suffix| ((*suffix).to_owned(), count)).collect();
    updater.set_state(&kept, &counts).unwrap();
    let mut weights: Vec<Vec<f32>> = suffixes.iter().map(|suffix| case.input(&format!("X{suffix}"))).collect();
    let gradients: Vec<Vec<f32>> = suffixes.iter().map(|suffix| case.input(&format!("G{suffix}"))).collect();
    let starts = vec![&[][..]; suffixes.len()];
    let mut params: Vec<&mut [f32]> = weights.iter_mut().map(Vec::as_mut_slice).collect();
    let slices: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
    updater.step(1.0, &mut params, &starts, &slices).unwrap();
    let (tensors, _) = updater.state();
    let mut out = BTreeMap::new();
    for (suffix, weights) in suffixes.iter().zip(weights) {
        out.insert(format!("X{suffix}_new"), weights);
        for (theirs, ours) in states {
            out.insert(format!("{theirs}{suffix}_new"), tensors[&format!("{suffix}.{ours}")].to_vec().unwrap());
        }
    }
    out
}

fn agrees(found: &BTreeMap<String, Vec<f32>>, case: &Case, name: &str) {
    let names: Vec<&String> = case.outputs.keys().collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), names, "{name}");
    for (output, values) in found {
        close(values, &case.output(output), 5e-7, &format!("{name}, {output}"));
    }
}

#[test]
fn momentum_and_nesterov_are_onnxs_after_the_first_update() {
    let mut seen = Vec::new();
    for (name, mut case) in cases("optimizers.json") {
        if !name.contains("momentum") {
            continue;
        }
        // One case calls its state H and what comes of it V.
        if name == "momentum_multiple" {
            for suffix in ["1", "2"] {
                let state = case.inputs.remove(&format!("H{suffix}")).unwrap();
                case.inputs.insert(format!("V{suffix}"), state);
            }
        }
        let config = json!({
            "lr": case.inputs["R"].data[0],
            "momentum": case.attribute("alpha"),
            "nesterov": case.word("mode") == "nesterov",
        });
        let states = [("V", "momentum")];
        agrees(&updated(&case, "sgd", config.clone(), &states, 1), &case, &name);
        // The first update of torch forgets the state.
        let first = updated(&case, "sgd", config, &states, 0);
        assert!(first.iter().all(|(output, values)| *values != case.output(output)), "{name}");
        seen.push(name);
    }
    assert_eq!(seen, ["momentum", "momentum_multiple", "nesterov_momentum"]);
}

#[test]
fn adam_is_onnxs_where_the_bias_corrections_have_faded() {
    let mut seen = Vec::new();
    for (name, case) in cases("optimizers.json") {
        if !name.starts_with("adam") {
            continue;
        }
        // ONNX computed this case with an ε that its node does not carry.
        let eps = if name == "adam_multiple" { Some(0.01) } else { case.attribute("epsilon") };
        let config = json!({
            "lr": case.inputs["R"].data[0],
            "betas": [case.attribute("alpha"), case.attribute("beta")],
            "eps": eps,
        });
        let states = [("V", "mean"), ("H", "square")];
        agrees(&updated(&case, "adam", config.clone(), &states, LATE), &case, &name);
        // The moments know no corrections, the weights do.
        for (output, values) in updated(&case, "adam", config, &states, 0) {
            let expected = case.output(&output);
            let same = values.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6 * b.abs().max(1.0));
            assert_eq!(same, !output.starts_with('X'), "{name}, {output}: {values:?}, ONNX {expected:?}");
        }
        seen.push(name);
    }
    assert_eq!(seen, ["adam", "adam_multiple"]);
}
