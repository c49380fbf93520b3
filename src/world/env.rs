//! The environment of the process: variables, folders, what the machine has.
#![expect(clippy::disallowed_methods, reason = "this file is the door to the environment")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// An environment variable that is read. Only this file makes them, so that the reference names them all.
#[derive(Debug)]
pub struct Variable {
    name: &'static str,
    meaning: &'static str,
}

impl Variable {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What its value does, as the reference says it.
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }
}

impl std::fmt::Display for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! variables {
    ($($name:ident $meaning:literal)*) => {
        $(
            #[doc = $meaning]
            pub static $name: Variable = Variable { name: stringify!($name), meaning: $meaning };
        )*
        /// All of them.
        pub static VARIABLES: &[&Variable] = &[$(&$name),*];
    };
}

variables! {
    PIPE_ORT "Path of the ONNX Runtime library to load. A variable that is set is binding: nothing else is tried."
    ORT_DYLIB_PATH "The same, where `PIPE_ORT` is not set; other programs read it too."
    PIPE_PROBE_MEMORY "Memory that reading a model file may take, such as `16GiB`; 4 GiB without it. Models are not trusted."
    PIPE_PROBE_SECONDS "Seconds that reading a model file may take; 60 without it."
    CUDA_LAUNCH_BLOCKING "1 makes the driver wait for each kernel; `--profile` sets it, so that on a GPU each operator has its own time."
    NO_COLOR "Any value turns colours off."
    XDG_DATA_HOME "Folder in which `pipe setup` keeps ONNX Runtime, under `pipe/`; `~/.local/share` without it."
    VIRTUAL_ENV "A Python environment whose `onnxruntime` package is used where `pipe setup` has installed none; its `nvidia` packages may bring CUDA."
    CONDA_PREFIX "The same, of conda."
    PATH "The Python that is found there has its `onnxruntime` package looked at last."
    LD_LIBRARY_PATH "Folders in which the system's ONNX Runtime library is looked for, and before all others the libraries of CUDA."
    DYLD_LIBRARY_PATH "The same, on macOS."
}

/// Its value; an empty one counts as unset.
pub fn variable(variable: &Variable) -> Option<OsString> {
    var(variable.name)
}

/// The folders of a variable that holds a list of them, such as `PATH`.
pub fn folders(variable: &Variable) -> Vec<PathBuf> {
    var(variable.name).map(|value| std::env::split_paths(&value).collect()).unwrap_or_default()
}

/// A variable by its name, for tests; what `pipe` itself reads is in [`VARIABLES`].
pub fn var(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// From now on the driver of a GPU waits for each kernel. To be called when the process begins: other threads may read the environment, and
/// the driver reads it once.
pub fn block_launches() {
    #[expect(unsafe_code, reason = "the driver takes this from the environment alone")]
    // SAFETY: the command calls this before it starts any thread.
    unsafe {
        std::env::set_var(CUDA_LAUNCH_BLOCKING.name, "1");
    }
}

/// Whether it does.
pub fn launches_block() -> bool {
    variable(&CUDA_LAUNCH_BLOCKING).is_some_and(|value| value == "1")
}

/// The folder of the running executable.
pub fn executable_folder() -> Option<PathBuf> {
    std::env::current_exe().ok()?.canonicalize().ok()?.parent().map(Path::to_owned)
}

/// The running executable.
pub fn executable() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// The user's home folder.
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// Where `pipe` keeps what belongs to the user and not to a project: `$XDG_DATA_HOME/pipe`, else `~/.local/share/pipe`.
pub fn data_folder() -> Option<PathBuf> {
    let base = match variable(&XDG_DATA_HOME).map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(base) => base,
        None => home()?.join(".local/share"),
    };
    Some(base.join("pipe"))
}

/// A path as it is seen from the current folder; one outside of it stays as it is.
pub fn from_here(path: &Path) -> PathBuf {
    let Some(here) = std::env::current_dir().ok().filter(|_| path.is_absolute()) else { return path.to_owned() };
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    [path, &resolved]
        .iter()
        .find_map(|path| path.strip_prefix(&here).ok())
        .map_or_else(|| path.to_owned(), Path::to_owned)
}

/// Threads that can run at the same time, at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The vector instructions of the processor, on which the bits of floating-point kernels depend.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "x86-64 avx512";
        }
        if std::is_x86_feature_detected!("avx2") {
            return "x86-64 avx2";
        }
    }
    std::env::consts::ARCH
}

/// Bytes of main memory and how many of them are free to take, where the system says so.
pub fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some((meminfo(&text, "MemTotal:")?, meminfo(&text, "MemAvailable:")?))
}

/// The most memory that this process has held at once so far, in bytes, where the system says so.
pub fn peak_memory() -> Option<u64> {
    meminfo(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

fn meminfo(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_reads_kibibytes() {
        let text = "MemTotal:       24597312 kB\nMemFree:  1 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), Some(24_597_312 * 1024));
        assert_eq!(meminfo(text, "MemAvailable:"), Some(23_000_000 * 1024));
        assert_eq!(meminfo(text, "SwapTotal:"), None);
        assert_eq!(meminfo("MemTotal: many kB", "MemTotal:"), None);
    }

    #[test]
    fn the_peak_grows_with_what_is_held() {
        let Some(before) = peak_memory() else { return };
        let held = vec![1u8; 128 << 20];
        let after = peak_memory().unwrap();
        assert!(after >= before && after >= held.len() as u64, "{before} {after}");
    }
}
