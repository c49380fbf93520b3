//! `pipe setup`: installs ONNX Runtime for this user.

use super::Outcome;
use crate::diag::{Code, Diagnostic, Result};
use crate::native::provision::{self, VERSION};
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
    /// Install the build for NVIDIA GPUs.
    #[arg(long)]
    cuda: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.cuda {
        return Err(Diagnostic::error(Code::NotSupported, "`pipe setup --cuda` is not supported by this version")
            .help("leave `--cuda` away: this version runs on the processor")
            .into());
    }
    let path = install(args)?;
    println!("ONNX Runtime {VERSION}: {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn install(args: &Args) -> Result<PathBuf> {
    let wheel = provision::wheel()?;
    let target = provision::folder().ok_or_else(|| {
        Diagnostic::error(Code::SetupFailed, "this user has no data folder")
            .help("set `HOME`, or `XDG_DATA_HOME` to an absolute path")
    })?;
    let installed = target.join(wheel.library);
    if !args.force && world::is_file(&installed) && provision::is_pinned(&installed)? {
        return Ok(installed);
    }
    if let Some(file) = &args.from {
        return provision::install(wheel, file, &target);
    }
    eprintln!("downloading onnxruntime {VERSION} for {} with pip (about 23 MB)", wheel.platform);
    let scratch = world::scratch_folder()?;
    let file = provision::download(wheel, scratch.path())?;
    provision::install(wheel, &file, &target)
}
