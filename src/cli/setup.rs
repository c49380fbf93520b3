//! `pipe setup`: installs ONNX Runtime for this user.

use super::{Outcome, say};
use crate::diag::{Code, Diagnostic, Result};
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
        say("this version of pipe trains on the processor; `PIPE_ORT` makes it use this build\n");
    }
    Ok(ExitCode::SUCCESS)
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
