//! Running another program to its end.
#![expect(clippy::disallowed_methods, reason = "this file is the door to other programs")]

use crate::diag::{Code, Diagnostic, Result};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit status 0.
    pub success: bool,
    /// What it wrote on standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// What it wrote on standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

/// Runs a program without a shell and without standard input.
///
/// # Errors
/// `P0002` when it cannot be started, with the system's reason as a note; `None` when there is no such program.
pub fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<Option<Finished>> {
    match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Ok(output) => Ok(Some(Finished {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Diagnostic::error(Code::Io, format!("cannot start `{program}`")).note(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_not_an_error() {
        assert!(run("no-such-program-anywhere", &["x"]).unwrap().is_none());
    }

    #[test]
    fn output_and_status_come_back() {
        let good = run("sh", &["-c", "echo out; echo err >&2"]).unwrap().unwrap();
        assert_eq!((good.success, good.stdout.as_str(), good.stderr.as_str()), (true, "out\n", "err\n"));
        assert!(!run("sh", &["-c", "exit 3"]).unwrap().unwrap().success);
    }
}
