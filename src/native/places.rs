//! Folders in which others put libraries: Python environments and the system's folders.

use crate::world::{self, env};
use std::path::{Path, PathBuf};

/// Prefixes of the Python environments that are at hand, such as a virtual environment's folder, the active ones first.
pub(super) fn pythons() -> Vec<PathBuf> {
    let mut pythons: Vec<PathBuf> = [&env::VIRTUAL_ENV, &env::CONDA_PREFIX]
        .iter()
        .filter_map(|name| env::variable(name).map(PathBuf::from))
        .collect();
    // An interpreter lies in `bin` below its prefix; a link in a virtual environment's `bin` must not be followed,
    // one in `/usr/bin` may lead elsewhere, so both prefixes count.
    let interpreter =
        env::folders(&env::PATH).into_iter().map(|folder| folder.join("python3")).find(|p| world::is_file(p));
    if let Some(interpreter) = interpreter {
        let target = world::canonical(&interpreter);
        let prefixes = [Some(interpreter), target].into_iter().flatten();
        pythons.extend(prefixes.filter_map(|p| p.parent()?.parent().map(Path::to_owned)));
    }
    pythons.extend(env::home().map(|home| home.join(".local")));
    without_repeats(pythons)
}

/// The package folders of a Python prefix: `lib/python3.x/site-packages`, Debian's `dist-packages`, their `lib64` twins.
pub(super) fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["lib", "lib64", "local/lib"] {
        let versions = world::list_dir(&prefix.join(lib)).unwrap_or_default();
        for version in versions.iter().rev().filter(|path| file_name(path).starts_with("python3")) {
            folders.extend(
                ["site-packages", "dist-packages"]
                    .map(|name| version.join(name))
                    .into_iter()
                    .filter(|p| world::is_folder(p)),
            );
        }
    }
    // `lib64` is often a link to `lib`.
    without_links(folders)
}

/// The folders of the variable that the system's loader reads.
pub(super) fn library_path() -> Vec<PathBuf> {
    env::folders(if cfg!(target_os = "macos") { &env::DYLD_LIBRARY_PATH } else { &env::LD_LIBRARY_PATH })
}

/// The folders of the system's own libraries.
pub(super) fn system() -> Vec<PathBuf> {
    let debian = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    [debian.as_str(), "/usr/lib64", "/usr/lib"].map(PathBuf::from).to_vec()
}

/// The first of equal paths.
pub(super) fn without_repeats(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.contains(&path) {
            kept.push(path);
        }
    }
    kept
}

/// The first of the paths that lead to one place.
pub(super) fn without_links(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen: Vec<PathBuf> = Vec::new();
    paths.retain(|path| {
        let real = world::canonical(path).unwrap_or_else(|| path.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    paths
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
