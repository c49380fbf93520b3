//! `pipe setup`: installs ONNX Runtime for this user.

use super::{Outcome, say};
use crate::diag::{Code, Diagnostic, Result};
use crate::native::cuda::libraries::{self, Driver, OLDEST_DRIVER, Survey};
use crate::native::provision::{self, Build, VERSION};
use crate::world;
use std::path::PathBuf;
use std::process::ExitCode;

/// Installs ONNX Runtime into the user's data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Install even if the pinned library is there already.
    #[arg(long)]
    force: bool,
    /// Take the library from this wheel instead of downloading one with `pip`.
    #[arg(long, value_name = "WHEEL")]
    from: Option<PathBuf>,
    /// Install the build for NVIDIA GPUs, beside the other one. CUDA 13 and cuDNN 9 are not in it.
    #[arg(long)]
    cuda: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let path = install(args)?;
    say(&format!("ONNX Runtime {VERSION}: {}\n", path.display()));
    if args.cuda {
        say(&still_missing(&libraries::driver(), &libraries::survey()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the build for GPUs needs and this machine does not have.
fn still_missing(driver: &Driver, survey: &Survey) -> String {
    let missing = libraries::missing(survey);
    let mut lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    if driver.library.is_none() {
        lines.push(format!("`{}`: the NVIDIA driver, {OLDEST_DRIVER} or newer", libraries::DRIVER));
    }
    if lines.is_empty() {
        return "CUDA 13 and cuDNN 9: everything is there\n".to_owned();
    }
    if missing.iter().any(|missing| missing.needed.required()) {
        lines.push("packages belong into the Python environment that is active when pipe runs".to_owned());
    }
    format!("still missing:\n  {}\n", lines.join("\n  "))
}

fn install(args: &Args) -> Result<PathBuf> {
    let build = if args.cuda { Build::Cuda } else { Build::Cpu };
    let wheel = provision::wheel(build)?;
    let target = provision::folder(build).ok_or_else(|| {
        Diagnostic::error(Code::SetupFailed, "this user has no data folder")
            .help("set `HOME`, or `XDG_DATA_HOME` to an absolute path")
    })?;
    if !args.force && provision::is_installed(wheel, &target)? {
        return Ok(target.join(wheel.library()));
    }
    if let Some(file) = &args.from {
        return provision::install(wheel, file, &target);
    }
    eprintln!("downloading {} {VERSION} for {} with pip (about {} MB)", wheel.package, wheel.platform, wheel.megabytes);
    let scratch = world::scratch_folder()?;
    let file = provision::download(wheel, scratch.path())?;
    provision::install(wheel, &file, &target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::cuda::libraries::LIBRARIES;

    #[test]
    fn what_is_still_missing_is_a_line_for_each_package() {
        let file = |name: &str| Some(PathBuf::from("/lib").join(name));
        let driver = Driver { library: file("libcuda.so.1"), version: None };
        let mut survey: Survey = LIBRARIES.iter().map(|library| (library, file(library.name))).collect();
        assert_eq!(still_missing(&driver, &survey), "CUDA 13 and cuDNN 9: everything is there\n");
        for (library, path) in &mut survey {
            if library.name.contains("cudnn") || library.name.contains("curand") {
                *path = None;
            }
        }
        let said = still_missing(&Driver::default(), &survey);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..2], ["still missing:", "  `libcurand.so.10`: `pip install nvidia-curand~=10.0`"]);
        assert!(lines[2].contains("nvidia-cudnn-cu13~=9.0") && lines[3].contains("driver, 580"), "{said}");
        assert!(lines[4].contains("active") && lines.len() == 5, "{said}");
    }
}
