//! Running another program to its end, and confining this one.
#![expect(clippy::disallowed_methods, reason = "this file is the door to other programs")]

use crate::diag::{Code, Diagnostic, Result};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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

/// How a program with a limit of time ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself or by a signal.
    InTime {
        /// Exit status 0.
        success: bool,
        /// In words, such as `signal: 6 (SIGABRT)`.
        status: String,
        /// What it wrote on standard output.
        output: Vec<u8>,
    },
    /// It was killed when its time was over.
    TimedOut,
}

/// Most bytes of an answer that are read.
const ANSWER: u64 = 1 << 28;

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Runs a program without a shell, writes `input` to its standard input, reads its standard output to the end, and kills it when
/// `time` is over. Its environment is that of this process and what is given. What it writes on standard error is thrown away.
///
/// # Errors
/// `P0002` when it cannot be started.
pub fn exchange<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    environment: &[(&str, &str)],
    input: &[u8],
    time: Duration,
) -> Result<Ended> {
    let failed = |error: std::io::Error| {
        Diagnostic::error(Code::Io, format!("cannot run `{}`", program.display())).note(error.to_string())
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let deadline = Instant::now() + time;
    let mut child = command.spawn().map_err(failed)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // Both at once: neither side may wait for the other to empty a full pipe.
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that died early does not read; its status says so.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let reader = scope.spawn(move || {
            let mut output = Vec::new();
            let _ = stdout.map(|stdout| stdout.take(ANSWER).read_to_end(&mut output));
            output
        });
        let status = wait(&mut child, deadline).map_err(failed)?;
        let output = reader.join().unwrap_or_default();
        Ok(match status {
            Some(status) => Ended::InTime { success: status.success(), status: status.to_string(), output },
            None => Ended::TimedOut,
        })
    })
}

/// Waits for the end of a child; `None` when it had to be killed.
fn wait(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Limits what this process may take from now on: bytes of address space, seconds of processor time; no memory image when it dies.
/// Where the system knows no such limits nothing happens.
///
/// # Errors
/// `P0002` when the system refuses.
#[cfg(unix)]
pub fn confine(memory: u64, seconds: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, wanted) in [(Resource::As, memory), (Resource::Cpu, seconds), (Resource::Core, 0)] {
        // A limit that holds already may not be raised.
        let most = getrlimit(resource).maximum.map_or(wanted, |most| most.min(wanted));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(|error| {
            Diagnostic::error(Code::Io, "the limits of a process cannot be set").note(error.to_string())
        })?;
    }
    Ok(())
}

/// Limits nothing: this system has no such limits.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn confine(_: u64, _: u64) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_goes_in_and_output_comes_out() {
        let large = vec![b'x'; 1 << 20];
        let second = Duration::from_secs(20);
        let ended = exchange(Path::new("cat"), &[""; 0], &[], &large, second).unwrap();
        assert!(matches!(ended, Ended::InTime { success: true, output, .. } if output == large));
        // A program that does not read its input.
        let ended = exchange(Path::new("sh"), &["-c", "kill -9 $$"], &[], &large, second).unwrap();
        assert!(matches!(ended, Ended::InTime { success: false, status, .. } if status.contains('9')));
        assert_eq!(exchange(Path::new("no-such-program"), &[""; 0], &[], b"", second).unwrap_err().code(), Code::Io);
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let began = Instant::now();
        let ended = exchange(Path::new("sleep"), &["20"], &[], b"", Duration::from_millis(50)).unwrap();
        assert_eq!(ended, Ended::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

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
