//! What training changes and what it leaves alone: BatchNorm, partial batches, groups, clipping, penalties, stopping, the best epoch.

use crate::scene::{Ran, Scene, assert_close, cnn, mlp, weight};
use pipe::ir::Graph;
use pipe::runtime::Event;

fn scene(graph: &Graph, count: usize, sample: &[usize]) -> Scene {
    let scene = Scene::new();
    scene.model("model.onnx", graph);
    scene.samples("train.npz", count, sample, 3);
    scene
}

/// A spec over `model.onnx` and `train.npz` with more sections below.
fn spec(rest: &str) -> String {
    let data = if rest.contains("data:") { "" } else { "data: {sets: {train: {npz: train.npz}}}\n" };
    let loss = if rest.contains("loss:") { "" } else { "loss: cross_entropy\n" };
    format!("version: 1\nname: training\nmodel: {{source: model.onnx}}\n{data}{loss}{rest}\n")
}

const SGD: &str = "optimizer: {sgd: {lr: 0.1, momentum: 0.9}}\n";

fn changed(ran: &Ran, before: &Graph, name: &str) -> bool {
    ran.weight(name) != weight(before, name)
}

#[test]
fn frozen_batch_norm_stays_and_adapting_moves_its_statistics_only() {
    let graph = cnn();
    let scene = scene(&graph, 10, &[2, 6, 6]);
    let run = |freeze: &str, out: &str| {
        let rest = format!("freeze: {freeze}\n{SGD}schedule: {{epochs: 2, batch: 5}}");
        scene.run(&spec(&rest), out)
    };
    let parts = ["bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"];
    let moved = |ran: &Ran| parts.map(|name| changed(ran, &graph, name));

    let frozen = run("{all_but: ['fc.*']}", "frozen");
    assert_eq!(moved(&frozen), [false; 4], "frozen");
    assert!(changed(&frozen, &graph, "fc.weight") && !changed(&frozen, &graph, "conv1.weight"));
    assert_eq!(moved(&run("none", "free")), [true; 4], "trained");
    let eval = run("{params: ['!*'], batch_norm: eval}", "eval");
    assert_eq!(moved(&eval), [true, true, false, false], "scale and bias trained on stored statistics");
    let adapted = run("{all_but: ['fc.*'], batch_norm: adapt}", "adapted");
    assert_eq!(moved(&adapted), [false, false, true, true], "adapted");
    assert!(!changed(&adapted, &graph, "conv1.weight"));
    // Scale and bias stay also where no pattern holds them.
    let adapted = run("{params: ['!*'], batch_norm: adapt}", "adapted-all");
    assert_eq!(moved(&adapted), [false, false, true, true], "adapted, the rest trained");
    assert!(changed(&adapted, &graph, "conv1.weight"));
    // Only the second one's scale is free.
    let second = run("{all_but: ['bn2.*', 'fc.*']}", "second");
    assert_eq!(moved(&second), [false; 4]);
    assert!(changed(&second, &graph, "bn2.running_mean"));
}

#[test]
fn a_new_batch_norm_takes_statistics_whatever_the_mode_of_the_source() {
    let scene = scene(&cnn(), 10, &[2, 6, 6]);
    let layers = "layers: {head: {replaces: fc, stack: [linear: 4, batch_norm, linear: 3]}}\n";
    let rest = format!("{layers}freeze: {{params: ['*'], batch_norm: eval}}\n{SGD}schedule: {{epochs: 1, batch: 5}}");
    let ran = scene.run(&spec(&rest), "out");
    assert!(ran.weight("head.1.running_mean").iter().any(|mean| *mean != 0.0), "it never saw a batch");
}

#[test]
fn a_sample_that_cannot_be_read_does_not_pull_the_statistics_to_zero() {
    let scene = Scene::new();
    for i in 0..6u8 {
        scene.png(&format!("images/{}/{i}.png", ["dark", "light"][usize::from(i % 2)]), 8, 8, 200 + i);
    }
    let text = "
version: 1
name: skipping
model: {input: {image: [3, 8, 8]}}
layers: {net: {stack: [batch_norm, flatten, linear: 2]}}
data: {sets: {train: {image_folder: images}}, transforms: [resize: [8, 8], to_tensor], on_error: skip}
loss: cross_entropy
optimizer: {sgd: 0.1}
schedule: {epochs: 1, batch: 7, last: drop}
";
    scene.write("images/dark/broken.png", b"\x89PNG\r\n\x1a\nnothing");
    let ran = scene.run(text, "out");
    let scene_mean = |mean: f32| mean / 0.1;
    for mean in ran.weight("net.0.running_mean") {
        assert!(scene_mean(mean) > 0.75, "the batch's mean is {}, and every picture is bright", scene_mean(mean));
    }
}

#[test]
fn a_validation_set_has_the_transforms_of_the_set_that_it_was_taken_from() {
    let scene = scene(&mlp(), 20, &[6]);
    let data = "data:\n  sets: {train: {npz: train.npz, transforms: [normalize: {mean: 5, std: 0.1}]}}\n  \
                validation: {from: train, fraction: 0.5}\n";
    let rest = format!("{data}freeze: none\noptimizer: {{sgd: 1e-9}}\nschedule: {{epochs: 1, batch: 10}}");
    let ran = scene.run(&spec(&rest), "own");
    let common = rest
        .replace(", transforms: [normalize: {mean: 5, std: 0.1}]", "")
        .replace("  validation:", "  transforms: [normalize: {mean: 5, std: 0.1}]\n  validation:");
    let same = scene.run(&spec(&common), "common");
    assert_eq!(ran.score("validation", "loss"), same.score("validation", "loss"));
    let none = rest.replace(", transforms: [normalize: {mean: 5, std: 0.1}]", "");
    assert_ne!(ran.score("validation", "loss"), scene.run(&spec(&none), "none").score("validation", "loss"));
}

#[test]
fn the_training_set_is_evaluated_with_the_transforms_of_evaluation() {
    let scene = scene(&mlp(), 20, &[6]);
    let data = "data:\n  sets: {train: {npz: train.npz}, same: {npz: train.npz}}\n  \
                transforms: {train: [normalize: {mean: 5, std: 0.1}], eval: []}\n";
    let rest = format!(
        "{data}freeze: none\noptimizer: {{sgd: 1e-9}}\nschedule: {{epochs: 1, batch: 10}}\nevaluate: {{datasets: [train, same]}}"
    );
    let ran = scene.run(&spec(&rest), "out");
    assert_eq!(ran.score("train", "loss"), ran.score("same", "loss"));
}

#[test]
fn adapted_statistics_are_the_moving_average_of_the_batches() {
    let graph = crate::scene::Net::new(&[4]).batch_norm("bn", 4).linear("fc", 4, 3).done();
    let scene = Scene::new();
    scene.model("model.onnx", &graph);
    let x: Vec<f32> = (0..24).map(|i| (i * i % 17) as f32 / 4.0).collect();
    scene.npz("train.npz", 6, &[4], &x, &[0, 1, 2, 0, 1, 2]);
    let rest = "freeze: {all_but: ['fc.*'], batch_norm: adapt}\n\
                optimizer: {sgd: 0.1}\nschedule: {steps: 1, batch: 6, shuffle: false}";
    let ran = scene.run(&spec(rest), "out");
    for channel in 0..4 {
        let column: Vec<f64> = x.iter().skip(channel).step_by(4).map(|x| f64::from(*x)).collect();
        let mean = column.iter().sum::<f64>() / 6.0;
        // As torch: the running variance takes n/(n−1) times the batch's.
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 5.0;
        for (name, new) in [("bn.running_mean", mean), ("bn.running_var", variance)] {
            let old = f64::from(weight(&graph, name)[channel]);
            let found = f64::from(ran.weight(name)[channel]);
            let expected = 0.9 * old + 0.1 * new;
            assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{name}: {found}, {expected}");
        }
    }
}

#[test]
fn a_partial_batch_weighs_what_it_holds() {
    let scene = scene(&mlp(), 10, &[6]);
    let run = |schedule: &str, out: &str| {
        let loss = "loss: {cross_entropy: {class_weights: [1, 2, 0.5]}}";
        let rest =
            format!("freeze: none\n{loss}\n{SGD}regularizer: {{l2: 0.01}}\nschedule: {{{schedule}, shuffle: false}}");
        scene.run(&spec(&rest), out)
    };
    let whole = run("epochs: 4, batch: 10", "whole");
    for (schedule, out) in
        [("batch: 5, accumulate: 2", "halves"), ("batch: 4, accumulate: 3", "partial"), ("batch: 16", "wide")]
    {
        let parts = run(&format!("epochs: 4, {schedule}"), out);
        assert_eq!(parts.losses().len(), 4);
        for (a, b) in whole.losses().iter().zip(parts.losses()) {
            assert!((a - b).abs() < 1e-6 * a, "{schedule}: {a} and {b}");
        }
        for name in ["fc1.weight", "fc2.bias", "fc3.weight"] {
            assert_close(&whole.weight(name), &parts.weight(name), 1e-6);
        }
    }
}

#[test]
fn the_last_batch_is_trained_on_or_dropped() {
    let scene = scene(&mlp(), 10, &[6]);
    let run = |last: &str| {
        let rest = format!("freeze: none\noptimizer: {{sgd: 1e-12}}\nschedule: {{epochs: 1, batch: 4, last: {last}}}");
        scene.run(&spec(&rest), last)
    };
    let samples = |ran: &Ran| -> Vec<usize> {
        let samples = |event: &Event| match event {
            Event::Step { samples, .. } => Some(*samples),
            _ => None,
        };
        ran.events.iter().filter_map(samples).collect()
    };
    let padded = run("pad");
    assert_eq!(samples(&padded), [4, 4, 2]);
    assert_eq!(samples(&run("drop")), [4, 4]);
    // Nothing moves at this rate, so that the weighted mean of the steps is the loss of the whole set.
    let rest = "freeze: none\noptimizer: {sgd: 1e-12}\nschedule: {steps: 1, batch: 10}";
    let all = scene.run(&spec(rest), "all").losses()[0];
    let mean: f64 = padded.losses().iter().zip([0.4, 0.4, 0.2]).map(|(loss, share)| loss * share).sum();
    assert!((mean - all).abs() < 1e-6 * all, "{mean} and {all}");
}

#[test]
fn a_partial_batch_has_its_own_statistics() {
    // 7 = 4 + 3: rows that fill the batch up would change mean and variance.
    let scene = scene(&cnn(), 7, &[2, 6, 6]);
    let run = |batch: usize, order: &str| {
        let rest = format!("freeze: none\noptimizer: {{sgd: 1e-12}}\nschedule: {{epochs: 1, batch: {batch}, {order}}}");
        scene.run(&spec(&rest), &format!("b{batch}")).losses()
    };
    let partial = run(4, "shuffle: false");
    let dropped = Scene::new();
    dropped.model("model.onnx", &cnn());
    let full = scene.path("train.npz");
    dropped.write("train.npz", pipe::world::read(&full).unwrap());
    assert_eq!(partial.len(), 2);
    assert_eq!(run(7, "shuffle: false").len(), 1);
    // The same first batch alone.
    let rest = "freeze: none\noptimizer: {sgd: 1e-12}\nschedule: {steps: 1, batch: 4, last: drop, shuffle: false}";
    let first = dropped.run(&spec(rest), "first").losses();
    assert_eq!(first[0], partial[0]);
    // A lone last row of 1 × 1 values has a variance of 0 and still a finite loss.
    let rest = "freeze: none\noptimizer: {sgd: 0.01}\nschedule: {epochs: 1, batch: 3, shuffle: false}";
    let lone = dropped.run(&spec(rest), "lone").losses();
    assert!(lone.len() == 3 && lone.iter().all(|loss| loss.is_finite()), "{lone:?}");
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    let graph = mlp();
    let scene = scene(&graph, 8, &[6]);
    let run = |optimizer: &str, out: &str| {
        let rest = format!("freeze: none\noptimizer: {optimizer}\nschedule: {{steps: 1, batch: 8}}");
        scene.run(&spec(&rest), out)
    };
    let groups =
        "groups: [{params: ['fc1.*'], lr: 0.01}, {params: ['fc*.bias', '!fc3.bias'], lr: 0.02, weight_decay: 0.5}]";
    let grouped = run(&format!("{{sgd: {{lr: 0.1, weight_decay: 0.2}}, {groups}}}"), "grouped");
    let plain = run("{sgd: 0.1}", "plain");
    let old = |name: &str| weight(&graph, name);
    let gradient =
        |name: &str| -> Vec<f32> { old(name).iter().zip(plain.weight(name)).map(|(w, v)| (w - v) / 0.1).collect() };
    let expected = |name: &str, lr: f32, decay: f32| -> Vec<f32> {
        old(name).iter().zip(gradient(name)).map(|(w, g)| w * (1.0 - lr * decay) - lr * g).collect()
    };
    for (name, lr, decay) in [
        ("fc1.weight", 0.01, 0.2),
        ("fc1.bias", 0.02, 0.5),
        ("fc2.weight", 0.1, 0.2),
        ("fc2.bias", 0.02, 0.5),
        ("fc3.bias", 0.1, 0.2),
    ] {
        assert_close(&grouped.weight(name), &expected(name, lr, decay), 1e-5);
    }
}

#[test]
fn the_gradient_is_clipped_to_its_norm() {
    let graph = mlp();
    let scene = scene(&graph, 8, &[6]);
    let rest = "freeze: none\noptimizer: {sgd: 1.0, clip_norm: 0.01}\nschedule: {steps: 1, batch: 8}";
    let ran = scene.run(&spec(rest), "clipped");
    let mut square = 0.0;
    for layer in ["fc1", "fc2", "fc3"] {
        for name in [format!("{layer}.weight"), format!("{layer}.bias")] {
            let pairs = ran.weight(&name).into_iter().zip(weight(&graph, &name));
            square += pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
    }
    assert!((square.sqrt() - 0.01).abs() < 1e-6, "moved by {}", square.sqrt());
    let norm = ran.events.iter().find_map(|event| match event {
        Event::Step { grad_norm, .. } => *grad_norm,
        _ => None,
    });
    assert!(norm.unwrap() > 0.1, "the norm before clipping is told: {norm:?}");
}

#[test]
fn penalties_are_measured_and_pull() {
    let graph = mlp();
    let scene = scene(&graph, 8, &[6]);
    let run = |penalty: &str, out: &str| {
        let rest =
            format!("freeze: none\nregularizer: {penalty}\noptimizer: {{sgd: 0.1}}\nschedule: {{steps: 30, batch: 8}}");
        scene.run(&spec(&rest), out)
    };
    let distance = |ran: &Ran| -> f64 {
        let pairs = ran.weight("fc2.weight").into_iter().zip(weight(&graph, "fc2.weight"));
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    let free = run("{l2_sp: 0}", "free");
    let held = run("{l2_sp: 2.0}", "held");
    assert!(distance(&held) < 0.3 * distance(&free), "{} held, {} free", distance(&held), distance(&free));
    // λ/2·Σ‖w‖² over matrices, at the weights before the first update.
    let l2 = run("{l2: 0.3}", "l2");
    let mut sum = 0.0;
    for name in ["fc1.weight", "fc2.weight", "fc3.weight"] {
        sum += weight(&graph, name).iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    }
    let told = l2.events.iter().find_map(|event| match event {
        Event::Step { loss, regularizer, objective, .. } => Some((*loss, *regularizer, *objective)),
        _ => None,
    });
    let (loss, regularizer, objective) = told.unwrap();
    assert!((regularizer - 0.15 * sum).abs() < 1e-6 * sum, "{regularizer}, {}", 0.15 * sum);
    assert_eq!(objective, loss + regularizer);
}

#[test]
fn what_was_drawn_is_held_at_zero_and_not_where_it_was_drawn() {
    let scene = scene(&mlp(), 8, &[6]);
    // The penalty before the first update, when what is pretrained is still where it starts from: β/2·Σw² over the others.
    let holds = |text: &str, drawn: &str, out: &str| {
        let network = scene.plan(text).unwrap().network;
        let sum: f64 = weight(&network.graph, drawn).iter().map(|w| f64::from(*w).powi(2)).sum();
        let ran = scene.run(text, out);
        let told = ran.events.iter().find_map(|event| match event {
            Event::Step { regularizer, .. } => Some(*regularizer),
            _ => None,
        });
        assert!((told.unwrap() - 0.1 * sum).abs() < 1e-6 * sum, "{out}: {told:?}, {}", 0.1 * sum);
    };
    let rest = "regularizer: {l2_sp: {lambda: 5, beta: 0.2}}\noptimizer: {sgd: 0.1}\nschedule: {steps: 1, batch: 8}";
    let layer = format!("layers: {{head: {{replaces: fc3, stack: [linear: 3]}}}}\n{rest}");
    holds(&spec(&layer), "head.0.weight", "layer");
    let anew = spec(rest).replace("model.onnx}", "model.onnx, reinitialize: ['fc2.*']}");
    holds(&anew, "fc2.weight", "anew");
}

/// Steps so long that the loss on other samples soon gets worse.
const OVERSHOOT: &str = "
freeze: none
data: {sets: {train: {npz: train.npz}, other: {npz: other.npz}}}
optimizer: {sgd: {lr: 0.5, momentum: 0.9}}
evaluate: {metrics: [accuracy]}
";

fn overshoot() -> Scene {
    let scene = scene(&mlp(), 12, &[6]);
    scene.samples("other.npz", 30, &[6], 3);
    scene
}

fn watched(ran: &Ran) -> Vec<f64> {
    let loss = |event: &Event| match event {
        Event::Evaluated { scores, last: false, .. } => Some(scores.numbers["loss"]),
        _ => None,
    };
    ran.events.iter().filter_map(loss).collect()
}

#[test]
fn patience_ends_a_phase() {
    let scene = overshoot();
    let stop = "stop: {watch: other.loss, patience: 2}";
    let ran = scene.run(&spec(&format!("{OVERSHOOT}schedule: {{epochs: 40, batch: 4, {stop}}}")), "out");
    let losses = watched(&ran);
    let best = (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
    assert!(losses.len() < 40, "{losses:?}");
    assert_eq!(losses.len(), best + 1 + 2, "two evaluations without improvement: {losses:?}");
    let told = ran.events.iter().find_map(|event| match event {
        Event::Stopped { epoch, best, .. } => Some((*epoch, *best)),
        _ => None,
    });
    assert_eq!(told, Some((losses.len() as u64, losses[best])));
}

#[test]
fn the_best_epoch_is_exported() {
    let scene = overshoot();
    let run =
        |keep: &str, out: &str| scene.run(&spec(&format!("{OVERSHOOT}schedule: {{epochs: 8, batch: 4{keep}}}")), out);
    let kept = run(", keep: {best: other.loss}", "kept");
    let losses = watched(&kept);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(losses.last().unwrap() > &best, "the last epoch must not be the best one: {losses:?}");
    assert_eq!(kept.score("other", "loss"), best);
    assert!(run("", "last").score("other", "loss") > best);
}

#[test]
fn the_best_epoch_may_lie_before_a_later_phase() {
    let graph = mlp();
    let scene = overshoot();
    let phases = "phases: [{epochs: 3, freeze: {all_but: ['fc3.*']}, optimizer: {sgd: 0.05}}, {epochs: 2, optimizer: {sgd: 8.0}}]";
    let rest = format!("{OVERSHOOT}schedule: {{batch: 4, {phases}, keep: {{best: other.loss}}}}");
    let ran = scene.run(&spec(&rest), "out");
    let losses = watched(&ran);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(losses[..3].contains(&best), "the second phase must do harm: {losses:?}");
    assert!((ran.score("other", "loss") - best).abs() < 1e-6 * best, "{} exported, {best}", ran.score("other", "loss"));
    assert!(!changed(&ran, &graph, "fc1.weight"), "what the second phase moved is as it was at the best epoch");
}

#[test]
fn dropout_of_the_source_is_kept_turned_off_or_set() {
    let net = |dropout: bool| {
        let net = crate::scene::Net::new(&[6]).linear("fc1", 6, 16).op("relu", "Relu");
        let net = if dropout { net.op("drop", "Dropout") } else { net };
        net.linear("fc2", 16, 3).done()
    };
    let scene = scene(&net(true), 12, &[6]);
    scene.model("plain.onnx", &net(false));
    let run = |model: &str, out: &str| {
        let text = spec("optimizer: {sgd: 0.1}\nschedule: {epochs: 2, batch: 4}");
        scene.run(&text.replace("{source: model.onnx}", model), out).losses()
    };
    let plain = run("{source: plain.onnx}", "plain");
    assert_eq!(run("{source: model.onnx, dropout: off, inputs: {features: x}}", "off"), plain);
    let (kept, third) = (run("{source: model.onnx}", "kept"), run("{source: model.onnx, dropout: 0.3}", "third"));
    assert!(kept != plain && third != plain && third != kept);
    assert_eq!(run("{source: model.onnx, dropout: 0.5}", "half"), kept, "ONNX drops half unless it says otherwise");
}

#[test]
fn values_that_are_made_again_change_nothing_but_memory() {
    let scene = scene(&cnn(), 10, &[2, 6, 6]);
    let rest = |runtime: &str| format!("freeze: none\n{SGD}schedule: {{epochs: 2, batch: 5}}\n{runtime}");
    let kept = scene.run(&spec(&rest("")), "kept");
    let text = spec(&rest("runtime: {recompute: ['*', '!fc']}"));
    let again = scene.run(&text, "again");
    for name in ["conv1.weight", "bn1.weight", "bn1.running_var", "fc.weight"] {
        assert_close(&again.weight(name), &kept.weight(name), 1e-6);
    }
    let plan = scene.plan(&text).unwrap();
    assert!(plan.phases[0].graphs.full.recomputed.nodes > 2);
    let described = plan.describe();
    assert!(described.contains("run again for backward"), "{described}");
}

#[test]
fn patterns_of_what_is_made_again_must_mean_something() {
    let scene = scene(&cnn(), 10, &[2, 6, 6]);
    let problems = |freeze: &str, runtime: &str| {
        let rest = format!("freeze: {freeze}\n{SGD}schedule: {{epochs: 1, batch: 5}}\nruntime: {runtime}");
        match scene.plan(&spec(&rest)) {
            Ok(plan) => {
                plan.warnings.iter().map(|warning| (warning.code().id(), warning.message().to_owned())).collect()
            }
            Err(found) => found.iter().map(|found| (found.code().id(), found.message().to_owned())).collect::<Vec<_>>(),
        }
    };
    let unknown = problems("none", "{recompute: [stage9]}");
    assert_eq!(unknown, [("P0304", "the pattern `stage9` matches no node".to_owned())]);
    let idle = problems("{all_but: ['fc.*']}", "{recompute: [conv1]}");
    assert!(idle.iter().any(|(code, message)| *code == "P0313" && message.contains("no effect")), "{idle:?}");
    let void = problems("none", "{recompute: [Relu, '!Relu', '*']}");
    assert!(void.iter().any(|(code, _)| *code == "P0313"), "{void:?}");
    assert_eq!(problems("none", "{recompute: ['Relu']}"), []);
}
