//! A first spec from what is there: a model, data, or both.
//!
//! The text is a draft for a person to read and change: everything that was guessed says so in a comment. Whoever asks for it has it checked
//! before it is written.

mod head;
mod write;

use crate::diag::{Code, Diagnostic};
use crate::parts::Family;
use crate::parts::sources::{self, Guess, ItemType, Labels, Sources};
use crate::spec;
use crate::world;
use std::path::{Component, Path, PathBuf};

/// What a spec is to be made of.
#[derive(Debug, Clone)]
pub struct Given {
    /// Name of the spec.
    pub name: String,
    /// Folder of the spec.
    pub folder: PathBuf,
    /// The source model.
    pub model: Option<PathBuf>,
    /// The data.
    pub data: Option<PathBuf>,
}

/// A dataset that was found.
struct Set {
    guess: Guess,
    samples: usize,
    item: ItemType,
    labels: Labels,
}

/// The text of a spec for what is given.
///
/// # Errors
/// What stands in the way of reading the model or of telling what the data is, both at once.
pub fn draft(given: &Given) -> Result<String, Vec<Diagnostic>> {
    let model = given.model.as_deref().map(head::read).transpose();
    let sets = given.data.as_deref().map_or_else(|| Ok(Vec::new()), open);
    match (model, sets) {
        (Ok(model), Ok(sets)) => spec::format(&write::text(given, model.as_ref(), &sets), "the draft"),
        (model, sets) => Err(model.err().into_iter().chain(sets.err()).collect()),
    }
}

/// The text of a spec under another name.
pub fn named(text: &str, name: &str) -> String {
    let line = |line: &str| match line.strip_prefix("name: ") {
        Some(_) => format!("name: {}\n", write::word(name)),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Opens what lies at a path, to know its samples and labels.
fn open(path: &Path) -> Result<Vec<Set>, Diagnostic> {
    let mut sets = Vec::new();
    for guess in sources::guess(path)? {
        let row = Sources::rows().iter().find(|row| row.kind.name == guess.kind);
        let Some(row) = row else { continue };
        let config = match &guess.config {
            // A bare path is the short form.
            serde_json::Value::String(path) => serde_json::json!({ "path": path }),
            config => config.clone(),
        };
        let samples = (row.build)(&config)?.open(Path::new(""))?;
        let (count, item, labels) = (samples.len(), samples.shape(), samples.labels().clone());
        if let Labels::Classes { ids, .. } = &labels
            && ids.iter().all(|id| Some(id) == ids.first())
        {
            let error =
                Diagnostic::error(Code::LabelRange, format!("all samples of `{}` are of one class", path.display()));
            return Err(error
                .help("a folder of pictures holds a folder for each class, a table a column of at least two classes"));
        }
        sets.push(Set { guess, samples: count, item, labels });
    }
    Ok(sets)
}

/// A path as it is seen from a folder.
fn seen_from(folder: &Path, path: &Path) -> String {
    let (Some(from), Some(to)) = (resolved(folder), world::canonical(path)) else {
        return path.display().to_string();
    };
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    if common <= 1 {
        return to.display().to_string();
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(to.components().skip(common)).collect();
    relative.to_string_lossy().replace('\\', "/")
}

/// A folder without links, also where it is yet to be made.
fn resolved(folder: &Path) -> Option<PathBuf> {
    let there = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    world::canonical(there).or_else(|| Some(resolved(folder.parent()?)?.join(folder.file_name()?)))
}
