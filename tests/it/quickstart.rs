//! The quickstart shows what it promises: fine-tuned on 100 examples, the network is better than as it was.
#![expect(clippy::disallowed_methods, reason = "the command is run as a user would run it")]

use std::path::Path;
use std::process::Command;

/// Test accuracy of a spec of examples/quickstart.
fn accuracy(spec: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart").join(spec);
    let ran = Command::new(env!("CARGO_BIN_EXE_pipe"))
        .args(["run", "--quiet", "--out"])
        .args([&out, &path])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let summary = pipe::world::read_to_string(&out.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    summary["scores"]["test"]["numbers"]["accuracy"].as_f64().unwrap()
}

#[test]
fn fine_tuning_beats_the_network_as_it_was() {
    let (before, after) = (accuracy("before.yaml"), accuracy("spec.yaml"));
    assert!(before > 0.85 && after > before + 0.04, "{before} before, {after} after");
}
