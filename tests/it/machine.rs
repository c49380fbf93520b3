//! `pipe setup` and `pipe doctor` as a user meets them.
#![expect(clippy::disallowed_methods, reason = "the command is run as a process with an environment of its own")]

use pipe::world;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the command with nothing in its environment but what is given.
fn pipe(args: &[&str], environment: &[(&str, &Path)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
    let Output { status, stdout, stderr } =
        command.args(args).env_clear().envs(environment.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn doctor_says_what_is_missing_and_fails() {
    let home = world::scratch_folder().unwrap();
    let gone = home.path().join("libonnxruntime.so");
    let (code, out, err) = pipe(&["doctor"], &[("HOME", home.path()), ("PIPE_ORT", &gone)]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("P0003") && err.contains("PIPE_ORT"), "{err}");
    assert!(out.contains("data folder") && out.contains("threads"), "{out}");
}

#[test]
fn doctor_names_a_library_that_cannot_be_used() {
    let home = world::scratch_folder().unwrap();
    let text = home.path().join("libonnxruntime.so");
    world::write_atomic(&text, |file| file.write_all(b"a page that says 404")).unwrap();
    let (code, out, err) = pipe(&["doctor"], &[("HOME", home.path()), ("PIPE_ORT", &text)]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("P0004") && out.contains("not a shared library"), "{out}{err}");
}

#[test]
fn setup_without_python_points_at_the_wheel() {
    let home = world::scratch_folder().unwrap();
    let (code, _, err) = pipe(&["setup"], &[("HOME", home.path()), ("PATH", home.path())]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("P0005") && err.contains("python3") && err.contains("--from"), "{err}");
}

#[test]
fn setup_refuses_a_file_that_is_no_wheel() {
    let home = world::scratch_folder().unwrap();
    let file = home.path().join("page.whl");
    world::write_atomic(&file, |out| out.write_all(b"<html>")).unwrap();
    let (code, _, err) = pipe(&["setup", "--from", &file.display().to_string()], &[("HOME", home.path())]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("P0005") && err.contains("is not a wheel"), "{err}");
    assert!(!world::is_folder(&home.path().join(".local")), "nothing is left behind");
}

#[test]
fn setup_for_cuda_asks_for_another_wheel() {
    let home = world::scratch_folder().unwrap();
    let (code, _, err) = pipe(&["setup", "--cuda"], &[("HOME", home.path()), ("PATH", home.path())]);
    assert_eq!(code, Some(1), "{err}");
    let wanted = if cfg!(all(target_os = "linux", target_arch = "x86_64")) { "onnxruntime-gpu==" } else { "with CUDA" };
    assert!(err.contains("P0005") && err.contains(wanted), "{err}");
}
