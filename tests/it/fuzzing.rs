//! The readers of untrusted bytes (`fuzz/src/lib.rs`) on their corpus and on seeded mutations of it: no panic, no endless work, no memory
//! by the word of a file. `PIPE_FUZZ_ROUNDS` sets the number of mutations of each file of the corpus.
//!
//! Each reader runs in a process of its own whose address space is limited. What it was reading when it died is printed.
#![expect(clippy::disallowed_methods, reason = "a process of its own reads files, is measured and may die")]
#![expect(clippy::print_stdout, reason = "the process says how it went")]

pub(crate) mod corpus;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use pipe::world;
use pipe::world::rng::{Key, Rng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Mutations of each file unless a variable says otherwise.
const ROUNDS: usize = 150;
/// Longest that one input may take. Far more than any needs, since other tests take their share of the machine.
const SECONDS: f64 = 20.0;
/// Address space of the process, in KiB.
const MEMORY: u32 = 3 << 20;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Contents of a folder's files.
fn files(folder: &Path, extension: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let wanted = |path: &PathBuf| extension.is_none() || path.extension().and_then(|found| found.to_str()) == extension;
    let files = world::list_dir(folder).unwrap().into_iter().filter(wanted);
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), world::read(&path).unwrap())).collect()
}

/// The committed corpus of a reader, and specs that the repository holds anyway.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds = files(&folder(target), None);
    if target == "spec" {
        for other in ["pipelines", "tests/errors"] {
            seeds.extend(files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(other), Some("yaml")));
        }
    }
    seeds
}

/// Text that means something to a reader.
const WORDS: [&str; 24] = [
    "*a",
    "&a ",
    "!x",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n  - ",
    "${a}",
    "\"",
    "'",
    "|\n",
    "#set ",
    "null",
    "1e999",
    "-1",
    "99999999999999999999",
    "\u{feff}",
    "\0",
    "\r",
    "é",
    "(9223372036854775807, 2)",
];

/// One change of an input.
fn mutate(bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)], rng: &mut Rng) {
    let at = rng.below(bytes.len() + 1);
    let here = at.min(bytes.len().saturating_sub(1));
    match rng.below(8) {
        0 if !bytes.is_empty() => bytes[here] ^= 1 << rng.below(8),
        1 if !bytes.is_empty() => bytes[here] = rng.bits() as u8,
        2 => bytes.truncate(at),
        3 => {
            let end = (at + rng.below(64)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            let end = (at + 1 + rng.below(256)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            for _ in 0..=rng.below(4) {
                bytes.splice(at..at, part.iter().copied());
            }
        }
        5 => {
            let other = &others[rng.below(others.len())].1;
            let from = rng.below(other.len() + 1);
            let end = (from + rng.below(512)).min(other.len());
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        // A field that says how much follows.
        6 => {
            let width = [1, 2, 4, 8][rng.below(4)];
            let value = [0, u64::MAX, u64::MAX >> 1, 1 << 31, (1 << 31) - 1, 1 << 16, 0x7f, 0x8080_8080_8080_8080]
                [rng.below(8)];
            let raw = if rng.below(2) == 0 {
                value.to_le_bytes()[..width].to_vec()
            } else {
                value.to_be_bytes()[8 - width..].to_vec()
            };
            for (slot, byte) in bytes.iter_mut().skip(at).zip(raw) {
                *slot = byte;
            }
        }
        _ => {
            let word = WORDS[rng.below(WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
    }
}

/// Runs a reader over its corpus in this process; the input at work lies in `current`.
fn drive(target: &str, rounds: usize, current: &Path) {
    let read = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let seeds = seeds(target);
    let mut slowest = (0.0, String::new());
    for (name, seed) in &seeds {
        for round in 0..=rounds {
            let mut rng = Key::new(2).named(target).named(name).with(round as u64).rng();
            let mut bytes = seed.clone();
            // The first is the file itself.
            for _ in 0..round.min(1 + rng.below(4)) {
                mutate(&mut bytes, &seeds, &mut rng);
            }
            std::fs::write(current, &bytes).unwrap();
            let began = Instant::now();
            assert!(catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_ok(), "{name}, round {round}");
            let seconds = began.elapsed().as_secs_f64();
            assert!(seconds < SECONDS, "{name}, round {round}: {seconds} s");
            if seconds > slowest.0 {
                slowest = (seconds, format!("{name}, round {round}"));
            }
        }
    }
    println!("{target}: {} inputs, slowest {:.3} s ({})", seeds.len() * (rounds + 1), slowest.0, slowest.1);
}

#[test]
#[ignore = "run by the others in a process of its own with a limit of memory"]
fn child() {
    let variable = |name| world::env::var(name).map(|value| value.to_string_lossy().into_owned());
    let (Some(target), Some(current)) = (variable("PIPE_FUZZ_TARGET"), variable("PIPE_FUZZ_CURRENT")) else { return };
    let rounds = variable("PIPE_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    drive(&target, rounds, Path::new(&current));
}

/// Runs an ignored test of this binary in a process with a limited address space: whether it passed, and what it said.
pub(crate) fn confined(test: &str, environment: &[(&str, &Path)]) -> (bool, String) {
    let scratch = world::scratch_folder().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("TMPDIR", scratch.path())
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = format!("{}\n{}", String::from_utf8_lossy(&text), output.status);
    // A filter that matches nothing passes as well.
    (output.status.success() && text.contains("1 passed"), text)
}

fn bounded(target: &str) {
    let scratch = world::scratch_folder().unwrap();
    let current = scratch.path().join("input");
    let environment = [("PIPE_FUZZ_TARGET", Path::new(target)), ("PIPE_FUZZ_CURRENT", &current)];
    let (passed, text) = confined("fuzzing::child", &environment);
    if !passed {
        let input = world::read(&current).unwrap_or_default();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{target}"));
        std::fs::write(&kept, &input).unwrap();
        panic!("{text}\nits input of {} bytes is kept in {}", input.len(), kept.display());
    }
    let count = text.lines().find_map(|line| line.split(&format!("{target}: ")).nth(1)).unwrap();
    let count: usize = count.split(' ').next().unwrap().parse().unwrap();
    assert!(count >= ROUNDS, "{text}");
}

macro_rules! bounded {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            bounded(stringify!($name));
        }
    )*};
}

bounded!(checkpoint cifar10 csv feeds idx image npz onnx spec);

#[test]
fn every_reader_has_a_target_and_a_corpus() {
    let mut names: Vec<String> = world::list_dir(&folder(""))
        .unwrap()
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let targets: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, targets);
    let manifest = world::read_to_string(&folder("../Cargo.toml")).unwrap();
    let mut size = 0;
    for target in targets {
        let binary = world::read_to_string(&folder(&format!("../fuzz_targets/{target}.rs"))).unwrap();
        assert!(binary.contains("pipe_fuzz::") && manifest.contains(&format!("name = \"{target}\"")), "{target}");
        let found = files(&folder(target), None);
        assert!(found.len() >= 2, "{target}");
        size += found.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(size < 300_000, "{size} bytes");
}
