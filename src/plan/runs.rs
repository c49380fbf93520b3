//! Finished runs as sources of models: `run://name` is the last one in `runs/<name>/`.

use crate::diag::Result;
use crate::world;
use std::path::{Path, PathBuf};

/// Numbered folders in ascending order.
pub(crate) fn numbered(parent: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found: Vec<(u64, PathBuf)> = world::list_entries(parent)?
        .into_iter()
        .filter(|(_, folder)| *folder)
        .filter_map(|(path, _)| Some((path.file_name()?.to_str()?.parse().ok()?, path)))
        .collect();
    found.sort();
    Ok(found)
}

/// Folder of the last finished run of a name, for `run://name`.
pub(crate) fn latest_finished(base: &Path, name: &str) -> Option<PathBuf> {
    let parent = base.join("runs").join(name);
    let runs = numbered(&parent).ok()?;
    runs.into_iter().rev().map(|(_, path)| path).find(|path| world::exists(&path.join("summary.json")))
}

/// The file of a source model; `None` when no run of the name that it gives is finished.
pub(crate) fn model(base: &Path, source: &str) -> Option<PathBuf> {
    match source.strip_prefix("run://") {
        Some(name) => latest_finished(base, name).map(|run| run.join("model.onnx")),
        None => Some(base.join(source)),
    }
}
