//! What an editor makes of the schema: a real YAML language server, driven as an editor drives it, on good and bad specs.
//!
//! The server comes from npm in the versions of `tests/editor/package-lock.json`, into `target/tools`. Where there is no Node.js these tests
//! say so and do nothing.

mod server;

use crate::pages::whole;
use crate::reference::examples;
use server::{Found, Server, node_script};
use std::path::{Path, PathBuf};

/// What a user writes in the first line of a spec.
const MODELINE: &str = "# yaml-language-server: $schema=./schemas/pipe-v1.schema.json\n";

/// A whole spec, eight lines with the modeline.
fn spec(sections: &str) -> String {
    format!("{MODELINE}{}", whole(sections))
}

/// Line (from 1) and message of each diagnostic.
fn said(found: &[Found]) -> Vec<(u64, &str)> {
    found.iter().map(|found| (found.line, found.message.as_str())).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The specs of the repository that a run accepts.
fn specs() -> Vec<PathBuf> {
    let folders = ["examples/quickstart", "pipelines", "tests/specs"].map(|folder| root().join(folder));
    let goldens = pipe::world::list_dir(&root().join("tests/golden")).unwrap();
    let mut found: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| pipe::world::list_dir(folder).unwrap())
        .chain(goldens.iter().map(|folder| folder.join("spec.yaml")))
        .collect();
    found.retain(|path| pipe::world::is_file(path) && path.extension().is_some_and(|extension| extension == "yaml"));
    found
}

#[test]
fn the_schema_is_a_schema() {
    let Some(tools) = server::tools() else { return };
    let script = "const Ajv = require('ajv/dist/2020').default;
        const schema = JSON.parse(require('fs').readFileSync(process.argv[1], 'utf8'));
        const ajv = new Ajv({ strict: true, strictRequired: false, strictTypes: false, allErrors: true });
        ajv.addVocabulary(['doNotSuggest', 'patternErrorMessage', 'markdownDescription']);
        const check = ajv.compile(schema);
        const spec = { version: 1, name: 'a', model: { source: 'a.onnx' }, data: { sets: { train: { npz: 'a.npz' } } },
          loss: 'cross_entropy', optimizer: { sgd: 0.1 }, schedule: { epochs: 1, batch: 4 } };
        const is = (wanted, spec) => { if (check(spec) !== wanted) throw new Error(JSON.stringify([spec, check.errors])); };
        is(true, spec);
        is(false, { ...spec, optimizer: {} });
        is(false, { ...spec, optimizer: { sgd: { momentum: 0.9 } } });
        is(true, { extends: 'b.yaml', optimizer: { sgd: { momentum: null } }, freeze: null, schedule: null });
        is(false, { extends: 'b.yaml', optimizer: { sgd: { momentun: 0.9 } } });
        is(false, { extends: 'b.yaml', schedule: { phases: [{ epochs: 1, optimizer: { sgd: { momentum: 0.9 } } }] } });
        is(true, { extends: 'b.yaml', schedule: { phases: [{ epochs: 1, optimizer: { sgd: { lr: 1, momentum: 0.9 } } }] } });";
    node_script(&tools, script, &[&root().join("schemas/pipe-v1.schema.json")]);
}

#[test]
fn good_specs_have_no_diagnostics() {
    let Some(mut server) = Server::start(&root()) else { return };
    let specs = specs();
    assert!(specs.len() >= 10);
    let mut all: Vec<(String, String)> = specs
        .iter()
        .map(|path| (path.display().to_string(), pipe::world::read_to_string(path).unwrap()))
        .chain(examples())
        .collect();
    for (_, text) in &mut all {
        text.insert_str(0, MODELINE);
    }
    let texts: Vec<String> = all.iter().map(|(_, text)| text.clone()).collect();
    for ((name, text), (_, found)) in all.iter().zip(server.open_all(&texts)) {
        assert!(found.is_empty(), "{name}: {found:?}\n{text}");
    }
}

#[test]
fn what_is_wrong_is_underlined_where_it_stands() {
    let Some(mut server) = Server::start(&root()) else { return };
    let text = spec(
        "modle: other\nschedule:\n  epochs: many\n  batch: 4\noptimizer: {sgd: {momentum: 0.9}}\nfreeze: [all]\nevaluate: {metrics: [trian]}\n",
    );
    let (_, found) = server.open(&text);
    let said = said(&found);
    // The usual sections come first: version, name, model, data, loss.
    assert_eq!(said.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [7, 9, 11, 13], "{said:?}");
    for ((_, message), part) in said.iter().zip(["modle", "whole number", "\"lr\"", "\"balanced_accuracy\""]) {
        assert!(message.contains(part), "{message}");
    }
    // A missing section stands at the start of the spec.
    let (_, found) = server.open(&spec("").replace("optimizer: {sgd: 0.1}\n", ""));
    assert_eq!(
        found.iter().map(|found| found.message.contains("\"optimizer\"")).collect::<Vec<_>>(),
        [true],
        "{found:?}"
    );
    let (_, found) = server.open(&spec("regularizer: {l1: 1, l2: 1}\n"));
    assert_eq!(found.len(), 1, "two kinds in one place: {found:?}");
    let (_, found) = server.open(&spec("optimizer: {}\n"));
    assert_eq!(found.len(), 1, "no kind: {found:?}");
}

#[test]
fn a_spec_over_another_may_leave_keys_out_and_nothing_else() {
    let Some(mut server) = Server::start(&root()) else { return };
    let good = format!(
        "{MODELINE}extends: base.yaml\noptimizer: {{sgd: {{momentum: 0.9}}}}\nfreeze: null\nschedule:\n  epochs: null\n  steps: 10\n"
    );
    let (_, found) = server.open(&good);
    assert!(found.is_empty(), "{found:?}");
    let (_, found) = server.open(&good.replace("momentum", "momentun").replace("steps: 10", "steps: ten"));
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [3, 7], "{found:?}");
}

/// Labels that are offered at `|`, and the texts that are put in.
fn offered(server: &mut Server, text: &str) -> Vec<(String, String)> {
    server.complete(&format!("{MODELINE}{text}"))
}

fn labels(offered: &[(String, String)]) -> Vec<&str> {
    let mut labels: Vec<&str> = offered.iter().map(|(label, _)| label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

#[test]
fn sections_kinds_and_keys_are_offered() {
    let Some(mut server) = Server::start(&root()) else { return };
    let top = offered(&mut server, "version: 1\n|");
    for section in ["name", "model", "freeze", "layers", "data", "loss", "optimizer", "schedule", "evaluate", "sweep"] {
        assert!(labels(&top).contains(&section), "{section}: {top:?}");
    }
    assert!(!labels(&top).contains(&"version"));
    let kinds = offered(&mut server, "optimizer:\n  |");
    for name in ["adam", "adamw", "sgd", "clip_norm", "ema", "groups"] {
        assert!(labels(&kinds).contains(&name), "{name}: {kinds:?}");
    }
    let keys = offered(&mut server, "optimizer:\n  sgd:\n    lr: 0.1\n    |");
    assert_eq!(labels(&keys), ["dampening", "momentum", "nesterov", "weight_decay"]);
    let phases =
        offered(&mut server, "schedule:\n  phases:\n    - optimizer:\n        sgd:\n          lr: 0.1\n          |");
    assert_eq!(labels(&phases), labels(&keys), "an optimizer in a phase is an optimizer");
    for (text, some) in [
        ("loss:\n  |", "cross_entropy"),
        ("loss: |", "cross_entropy"),
        ("loss:\n  main:\n    |", "cross_entropy"),
        ("schedule:\n  lr:\n    |", "cosine"),
        ("data:\n  sets:\n    train:\n      |", "image_folder"),
        ("data:\n  sets:\n    train:\n      csv:\n        |", "delimiter"),
        ("data:\n  transforms:\n    train:\n      - |", "random_resized_crop"),
        ("freeze:\n  |", "all_but"),
        ("runtime:\n  device: |", "cpu"),
        ("extends: base.yaml\noptimizer:\n  sgd:\n    |", "momentum"),
    ] {
        let found = offered(&mut server, text);
        assert!(labels(&found).contains(&some), "{text}: {found:?}");
    }
}

#[test]
fn what_is_put_in_is_what_one_would_write() {
    let Some(mut server) = Server::start(&root()) else { return };
    for (text, label, put) in [
        ("data:\n  transforms:\n    - |", "to_tensor", "to_tensor"),
        ("layers:\n  head:\n    stack:\n      - |", "relu", "relu"),
        ("evaluate:\n  metrics:\n    - |", "accuracy", "accuracy"),
        ("freeze: |", "all", "all"),
        ("schedule:\n  |", "epochs", "epochs: ${1:10}"),
    ] {
        let found = offered(&mut server, text);
        let texts: Vec<&str> = found.iter().filter(|(name, _)| name == label).map(|(_, put)| put.trim_end()).collect();
        assert_eq!(texts, [put], "{text}");
    }
}

#[test]
fn hovering_shows_the_description() {
    let Some(mut server) = Server::start(&root()) else { return };
    for (text, part) in [
        ("schedule:\n  ep|ochs: 3\n", "Passes over the training stream"),
        ("optimizer:\n  s|gd: {lr: 0.1}\n", "Stochastic gradient descent"),
        ("optimizer:\n  sgd: {l|r: 0.1}\n", "Learning rate"),
        ("data:\n  transforms:\n    - re|size: {size: 256}\n", "Resizes an image"),
        ("los|s: cross_entropy\n", "A loss"),
    ] {
        let shown = server.hover(&format!("{MODELINE}{text}"));
        assert!(shown.contains(part), "{text}: {shown}");
    }
}

#[test]
fn a_schema_can_be_given_by_the_settings_too() {
    let Some(mut server) = Server::start_with(&root(), Path::new("schemas/pipe-v1.schema.json")) else { return };
    let (_, found) = server.open(&whole("modle: x\n"));
    assert_eq!(found.len(), 1, "{found:?}");
}
