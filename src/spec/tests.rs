//! Tests of the whole way from text to typed spec, with the kinds of `fixture`.

use super::*;
use crate::diag::render;

const SPEC: &str = include_str!("../../tests/specs/classic.yaml");

pub(super) fn read(text: &str) -> Parsed {
    parse_with(&fixture::language(), text, "spec.yaml", &[], None)
}

fn ok(text: &str) -> Spec {
    let parsed = read(text);
    assert!(parsed.spec.is_some(), "{}", render(&parsed.diagnostics, false));
    parsed.spec.unwrap()
}

/// The classic script with a section replaced.
fn with(section: &str, text: &str) -> Spec {
    ok(&(without(SPEC, section) + text))
}

fn without(spec: &str, section: &str) -> String {
    let mut out = String::new();
    let mut skipping = false;
    for line in spec.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            skipping = line.starts_with(section);
        }
        if !skipping {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[test]
fn the_classic_script_is_read() {
    let spec = ok(SPEC);
    assert_eq!(spec.name, "resnet50-cifar10");
    assert_eq!(spec.freeze.unwrap().params, ["*"]);
    assert_eq!(spec.data.transforms.train.len(), 4);
    assert_eq!(spec.data.transforms.train[0].config, serde_json::json!({"size": 256, "filter": "bilinear"}));
    assert_eq!(spec.data.transforms.eval[2].kind, "to_tensor");
    assert_eq!(spec.loss["cross_entropy"].loss.kind, "cross_entropy");
    assert_eq!(spec.loss["cross_entropy"].weight, Weight::Constant(1.0));
    assert_eq!(spec.regularizer[0].penalty.config["lambda"], 1e-4);
    assert_eq!(spec.optimizer.rule.config["momentum"], 0.9);
    assert_eq!((spec.schedule.epochs, spec.schedule.batch, spec.schedule.accumulate), (Some(10), 100, 1));
}

#[test]
fn a_loss_is_bare_or_named() {
    let smooth = |spec: &Spec, name: &str| spec.loss[name].loss.config["label_smoothing"].as_f64();
    assert_eq!(smooth(&with("loss", "loss: {cross_entropy: {label_smoothing: 0.1}}"), "cross_entropy"), Some(0.1));
    let spec = with("loss", "loss: {cross_entropy: {label_smoothing: 10%, of: head}, weight: 0.5}");
    assert_eq!(
        (smooth(&spec, "cross_entropy"), spec.loss["cross_entropy"].weight.clone()),
        (Some(0.1), Weight::Constant(0.5))
    );
    assert_eq!(spec.loss["cross_entropy"].of.as_deref(), Some("head"));
    let spec = with(
        "loss",
        "loss: {task: {cross_entropy: {of: head}, stream: train, weight: {ramp: {to: 1, gamma: 10}}}, b: mse}",
    );
    assert_eq!(spec.loss["task"].weight, Weight::Ramp { to: 1.0, gamma: 10.0 });
    assert_eq!((spec.loss["b"].loss.kind.as_str(), spec.loss.len()), ("mse", 2));
    let spec = with("loss", "loss: {mse: {cross_entropy: {}}}");
    assert_eq!(spec.loss["mse"].loss.kind, "cross_entropy");
}

#[test]
fn freezing_has_five_forms() {
    let params = |text: &str| with("freeze", text).freeze.unwrap();
    assert_eq!(params("freeze: none").params, [""; 0]);
    assert_eq!(params("freeze: {all_but: [\"layer4.*\", \"!*.bias\"]}").params, ["*", "!layer4.*", "*.bias"]);
    assert_eq!(params("freeze: [\"*\", \"!fc\"]").params, ["*", "!fc"]);
    let freeze = params("freeze: {params: [conv1], before: layer2, batch_norm: adapt}");
    assert_eq!((freeze.before.as_deref(), freeze.batch_norm), (Some("layer2"), Some(BatchNormMode::Adapt)));
}

#[test]
fn phases_inherit_and_override() {
    let spec = with(
        "schedule",
        r#"schedule:
  batch: 32
  phases:
    - {epochs: 2, freeze: all}
    - {epochs: 8, freeze: {all_but: ["layer4.*"]}, optimizer: {adamw: {lr: 1e-4}}}
  lr: {cosine: {warmup: 5%}}
  stop: {watch: test.balanced_accuracy, patience: 3}
evaluate: {metrics: [balanced_accuracy]}
"#,
    );
    assert_eq!(spec.schedule.lr.unwrap().config["warmup"], 0.05);
    assert_eq!(spec.schedule.phases[1].optimizer.as_ref().unwrap().rule.kind, "adamw");
    assert_eq!(with("schedule", "schedule: {steps: 9, batch: 1, lr: cosine}").schedule.lr.unwrap().kind, "cosine");
}

#[test]
fn anchors_and_merge_keys_work() {
    let spec = with(
        "data",
        r"data:
  sets:
    train: &set
      cifar10: {path: a}
      limit: 10
    test:
      <<: *set
      limit: 20
",
    );
    assert_eq!((spec.data.sets["train"].limit, spec.data.sets["test"].limit), (Some(10), Some(20)));
    assert_eq!(spec.data.sets["test"].source.config["path"], "a");
}

#[test]
fn variables_keep_their_type() {
    let text = SPEC.replace("lr: 0.001", "lr: \"${rate}\"").replace("models/resnet50", "${folder}/resnet50")
        + "vars: {rate: 1e-2, folder: elsewhere}\ndescription: costs $${rate}\n";
    let spec = ok(&text);
    assert_eq!(spec.optimizer.rule.config["lr"], 0.01);
    assert_eq!(spec.model.source.as_deref(), Some("elsewhere/resnet50.onnx"));
    assert_eq!(spec.description.as_deref(), Some("costs ${rate}"));
}

#[test]
fn overrides_are_validated_like_text() {
    let set = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        parse_with(&fixture::language(), SPEC, "spec.yaml", &sets, None)
    };
    let spec = set(&[
        "optimizer.sgd.lr=0.5",
        "loss.cross_entropy.label_smoothing=0.2",
        "data.transforms.0.resize=64",
        "seed=7",
    ]);
    let spec = spec.spec.unwrap();
    assert_eq!((spec.optimizer.rule.config["lr"].as_f64(), spec.seed), (Some(0.5), 7));
    assert_eq!(spec.loss["cross_entropy"].loss.config["label_smoothing"], 0.2);
    assert_eq!(spec.data.transforms.train[0].config["size"], 64);
    let parsed = set(&["optimizer.sgd.lr=fast", "schedule.epochs.x=1", "nothing", "data.sets.test.limt=3"]);
    assert!(parsed.spec.is_none());
    let text = render(&parsed.diagnostics, false);
    for needle in ["command line:1:18", "did you mean `limit`?", "`x` leads nowhere", "has no `=`"] {
        assert!(text.contains(needle), "{needle} in\n{text}");
    }
}

#[test]
fn a_written_spec_reads_back() {
    let sections = [
        ("none", ""),
        ("freeze", "freeze: {params: [\"*\", \"!fc\"], before: layer2, batch_norm: adapt}"),
        ("freeze", "freeze: {batch_norm: train}"),
        ("freeze", "freeze: none"),
        ("loss", "loss: {mse: {cross_entropy: {of: head}}}"),
        ("loss", "loss: {mse: {mse: {}}, b: {cross_entropy: {of: head}, weight: {ramp: {to: 1, gamma: 2}}}}"),
        ("regularizer", "regularizer: [{l2: 1e-300, params: ['*', '123']}, {l2: 0.1}]"),
        ("optimizer", "optimizer: {sgd: {lr: 1e-3}, groups: [{params: [a], lr: 1}], clip_norm: 3}"),
        (
            "schedule",
            "schedule: {batch: 1, phases: [{steps: 3, freeze: all, optimizer: {adamw: 1}, lr: cosine}], shuffle: false}",
        ),
        (
            "data",
            "data: {sets: {train: {csv: 'a: b', sealed: false, limit: 3, transforms: [to_tensor]}}, transforms: {train: [resize: 3], eval: [resize: 4]}}",
        ),
        (
            "layers",
            "layers: {a: {from: x, stack: [{linear: 3, init: {constant: 1}}, {relu: {}, init: kaiming_uniform}]}}",
        ),
        ("model", "model: {input: {image: [1, 28, 28]}, dropout: 0.25}\nlayers: {head: {stack: [linear: 3]}}"),
        ("name", "name: '1.0'\ndescription: \"two\\nlines: ${x} # no\"\nvars: {x: \"$${y}\"}"),
    ];
    for (section, text) in sections {
        let (section, text) = if section == "model" { ("model", text) } else { (section, text) };
        let spec = if text.contains("\nlayers") {
            ok(&(without(&without(SPEC, section), "layers") + text))
        } else {
            with(section, text)
        };
        let written = to_yaml(&spec).unwrap();
        let again = ok(&written);
        assert_eq!(places_gone(&spec), places_gone(&again), "{written}");
        assert_eq!(written, to_yaml(&again).unwrap());
    }
}

fn places_gone(spec: &Spec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap();
    forget_places(&mut value);
    value
}

#[test]
fn identity_sees_what_is_computed() {
    let spec = ok(SPEC);
    assert_eq!(
        identity(&spec),
        identity(&ok(&(SPEC.replace("momentum: 0.9", "nesterov: false, momentum: 0.9") + "runtime: {threads: 3}")))
    );
    assert_ne!(identity(&spec), identity(&ok(&SPEC.replace("seed: 0", "seed: 1"))));
}
