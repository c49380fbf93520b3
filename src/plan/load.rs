//! Specs read from their files, with the bases that they extend. Every command that reads a spec comes through here.

use crate::diag::{Code, Diagnostic, Result};
use crate::spec::{self, Base, Bases, Parsed};
use crate::world;
use std::path::{Path, PathBuf};

/// Bytes that are read of a spec: more than one may have, so that a text which is too large is told.
pub const SPEC_BYTES: u64 = 2 << 20;

/// Reads a spec from its file; `sets` are overrides such as `schedule.epochs=3`.
///
/// # Errors
/// When the file cannot be read. What is wrong in it or in a base is among the diagnostics of what comes back.
pub fn load(path: &Path, sets: &[String]) -> Result<Parsed> {
    let text = world::read_to_string(path)?;
    let base = folder(path);
    let read = |name: &str| {
        let path = base.join(name);
        let text = String::from_utf8(world::read_limited(&path, SPEC_BYTES)?)
            .map_err(|_| Diagnostic::error(Code::Io, format!("`{}` is not UTF-8", path.display())))?;
        Ok(Base { name: shown(&path), identity: identity(&path), text })
    };
    Ok(spec::parse_over(&text, &path.display().to_string(), sets, &Bases { identity: identity(path), read: &read }))
}

/// The folder that the relative paths of a spec start from.
pub fn folder(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Without a `./` in front, as the spec itself is named.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

fn identity(path: &Path) -> String {
    world::canonical(path).unwrap_or_else(|| path.to_path_buf()).display().to_string()
}
