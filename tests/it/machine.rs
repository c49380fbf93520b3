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

/// The rows of a table that doctor printed, by their first word.
fn row<'a>(out: &'a str, name: &str) -> &'a str {
    out.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default()
}

#[cfg(target_os = "linux")]
#[test]
fn doctor_says_what_cuda_lacks() {
    let home = world::scratch_folder().unwrap();
    let put = |path: &str| {
        let path = home.path().join(path);
        world::create_dir_all(path.parent().unwrap()).unwrap();
        world::write_atomic(&path, |out| out.write_all(b"\x7fELF")).unwrap();
        path
    };
    // The machine of the test may have a driver of its own.
    if pipe::native::cuda::libraries::driver().library.is_none() {
        let (_, out, _) = pipe(&["doctor"], &[("HOME", home.path())]);
        let row = row(&out, "CUDA");
        assert!(row.contains("no NVIDIA driver") || row.contains("--gpus"), "{out}");
        assert!(!out.contains("libcublas"), "one line is enough\n{out}");
    }
    let driver = put("lib/libcuda.so.1");
    let curand = put("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcurand.so.10");
    let library = put("data/onnxruntime/libonnxruntime.so.1.31.1");
    let (lib, venv) = (home.path().join("lib"), home.path().join("venv"));
    let environment: [(&str, &Path); 4] =
        [("HOME", home.path()), ("LD_LIBRARY_PATH", &lib), ("VIRTUAL_ENV", &venv), ("PIPE_ORT", &library)];
    let (_, out, err) = pipe(&["doctor"], &environment);
    assert!(row(&out, "driver").contains(&driver.display().to_string()), "{out}{err}");
    let build = out.lines().skip_while(|line| *line != "CUDA").find(|line| line.starts_with("ONNX Runtime")).unwrap();
    assert!(build.contains("none: `PIPE_ORT` names") && build.contains("built with CUDA"), "{out}");
    assert!(!out.contains("training runs on the processor"), "{out}");
    assert!(row(&out, "libcurand.so.10").contains(&curand.display().to_string()), "{out}");
    // Folders of the machine may have the others.
    let survey = pipe::native::cuda::libraries::survey();
    for (library, _) in survey.iter().filter(|(library, path)| path.is_none() && library.name != "libcurand.so.10") {
        let row = row(&out, library.name);
        assert!(row.contains(&format!("missing: `pip install {}`", library.package)), "{out}");
    }
}
