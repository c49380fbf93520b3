//! `pipe doctor`: what this machine has, and what to do about what it lacks.

use super::{Outcome, complain, say};
use crate::diag::Code;
use crate::native::cuda::libraries::{self, Driver, OLDEST_DRIVER, Survey};
use crate::native::locate::{self, Candidate, OLDEST, Status};
use crate::native::provision::{self, PYTHON, VERSION};
use crate::world::{env, process};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Shows what was found on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List every place that was searched, empty ones too.
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let candidates = locate::candidates();
    let found = locate::locate();
    let mut rows = machine();
    rows.push(("pip".to_owned(), pip()));
    let data = env::data_folder()
        .map_or_else(|| "none: neither `HOME` nor `XDG_DATA_HOME` is set".to_owned(), |p| p.display().to_string());
    rows.push(("data folder".to_owned(), data));
    if let Ok(found) = &found {
        let pinned = provision::is_pinned(&found.path)?;
        let build = if pinned {
            format!("{VERSION}, the pinned build")
        } else {
            format!("not the pinned build of {VERSION}; results may differ in the last bits")
        };
        rows.push(("ONNX Runtime".to_owned(), format!("{} ({})", found.path.display(), found.origin)));
        rows.push((String::new(), build));
        if !pinned && let Ok(info) = crate::native::build_info() {
            rows.push((String::new(), info.to_owned()));
        }
        rows.push(("providers".to_owned(), providers(&found.path)?));
    }
    let driver = libraries::driver();
    let without = without_driver(&driver);
    rows.extend(without.clone().map(|why| ("CUDA".to_owned(), why)));
    say(&table(&rows));
    if args.all || without.is_none() {
        say(&format!("\nCUDA\n{}", table(&cuda(&driver, &libraries::survey()))));
    }
    let places: Vec<(String, String)> = candidates
        .iter()
        .filter(|candidate| args.all || candidate.status != Status::Absent)
        .map(|candidate| (candidate.origin.to_string(), describe(candidate)))
        .collect();
    if !places.is_empty() {
        say(&format!("\nlibraries in the order of search\n{}", table(&places)));
    }
    match found {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(missing) => {
            say("\n");
            let searched = missing.code() == Code::RuntimeMissing && !args.all;
            complain(&[if searched { missing.note("`pipe doctor --all` lists every place") } else { missing }]);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The processor, and the providers whose libraries lie beside the runtime's.
fn providers(library: &Path) -> crate::diag::Result<String> {
    let mut found = vec!["CPU".to_owned()];
    for path in library.parent().map(crate::world::list_dir).transpose()?.unwrap_or_default() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let provider = name.trim_start_matches("lib").strip_prefix("onnxruntime_providers_").map(str::to_uppercase);
        found.extend(provider.filter(|provider| provider != "SHARED"));
    }
    Ok(found.join(", "))
}

/// Why there is no driver that could be used, in a few words.
fn without_driver(driver: &Driver) -> Option<String> {
    match driver {
        Driver { library: Some(_), .. } => None,
        Driver { version: None, .. } => Some("no NVIDIA driver; `device: auto` takes the processor".to_owned()),
        Driver { version: Some(version), .. } => Some(format!(
            "the kernel has the NVIDIA driver {version}, but its library `{}` is not here (start a container with `--gpus all`)",
            libraries::DRIVER
        )),
    }
}

/// What training on a GPU stands on, and what to do about what is missing.
fn cuda(driver: &Driver, survey: &Survey) -> Vec<(String, String)> {
    let path = driver.library.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    let version = driver.version.as_ref().map(|version| format!("{version}, ")).unwrap_or_default();
    let old = if driver.is_old() { format!("; CUDA 13 needs {OLDEST_DRIVER} or newer") } else { String::new() };
    let build = match locate::locate_cuda() {
        Ok(found) => format!("{} ({})", found.path.display(), found.origin),
        Err(error) => format!("none: {}; {}", error.message(), error.help_text().unwrap_or_default()),
    };
    let mut rows = vec![("driver".to_owned(), format!("{version}{path}{old}")), ("ONNX Runtime".to_owned(), build)];
    for (library, path) in survey {
        let found = path.as_ref().map(|path| path.display().to_string());
        let needless = if library.needed.required() { "" } else { " (only for Fourier transforms)" };
        let missing = || format!("missing: `pip install {}`{needless}", library.package);
        rows.push((library.name.to_owned(), found.unwrap_or_else(missing)));
    }
    rows
}

fn machine() -> Vec<(String, String)> {
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let mut rows = vec![
        ("pipe".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("system".to_owned(), system),
        ("threads".to_owned(), env::cores().to_string()),
    ];
    if let Some((total, available)) = env::memory() {
        rows.push(("memory".to_owned(), format!("{} GiB, {} GiB available", gib(total), gib(available))));
    }
    rows.push(("instructions".to_owned(), instructions()));
    rows
}

fn gib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let gib = bytes as f64 / (1u64 << 30) as f64;
    format!("{gib:.1}")
}

/// The vector instructions that matter for speed.
fn instructions() -> String {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let known = [("neon", cfg!(target_feature = "neon"))];
    let present: Vec<&str> = known.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    if present.is_empty() { "none of those that are used: training will be slow".to_owned() } else { present.join(" ") }
}

fn pip() -> String {
    match process::run(PYTHON, &["-m", "pip", "--version"]) {
        Ok(Some(finished)) if finished.success => {
            let words: Vec<&str> = finished.stdout.split_whitespace().collect();
            format!("{} (only `pipe setup` uses it)", words.get(1).copied().unwrap_or("of unknown version"))
        }
        Ok(Some(_)) => format!("`{PYTHON}` has none; `pipe setup` needs `--from WHEEL`"),
        Ok(None) | Err(_) => format!("no `{PYTHON}`; `pipe setup` needs `--from WHEEL`"),
    }
}

fn describe(candidate: &Candidate) -> String {
    let path = candidate.path.display();
    match candidate.status {
        Status::Absent => format!("{path}: nothing"),
        Status::NotALibrary => format!("{path}: not a shared library"),
        Status::TooOld(major, minor) => format!("{path}: {major}.{minor} is older than {}.{}", OLDEST.0, OLDEST.1),
        Status::WithoutCuda => format!("{path}: built without CUDA"),
        Status::Usable(_) => path.to_string(),
    }
}

/// Two columns, the first as wide as its widest cell.
fn table(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut out, (left, right)| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{left:width$}  {right}");
        out
    })
}
