//! External data: tensors whose bytes lie in files beside the model.
//!
//! The names come from an untrusted file: they may only lead to plain files below the model's folder, and every range is compared
//! with the file's size before anything is allocated.

use super::proto::StringStringEntryProto;
use crate::diag::{Code, Diagnostic, Result};
use crate::world::{FileWithin, open_within};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The folder of a model and the files below it that were opened so far.
#[derive(Debug)]
pub(super) struct External<'a> {
    folder: Option<&'a Path>,
    files: BTreeMap<String, Opened>,
}

#[derive(Debug)]
struct Opened {
    file: FileWithin,
    taken: u64,
}

impl<'a> External<'a> {
    pub(super) fn new(folder: Option<&'a Path>) -> Self {
        Self { folder, files: BTreeMap::new() }
    }

    /// The bytes of tensor `name`, which needs exactly `length` of them.
    pub(super) fn read(&mut self, name: &str, entries: &[StringStringEntryProto], length: usize) -> Result<Vec<u8>> {
        let wrong = |text: String| Diagnostic::error(Code::ExternalData, format!("external data of `{name}` {text}"));
        let entry = |key: &str| entries.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value);
        let number = |key: &str| match entry(key) {
            None | Some("") => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(wrong(format!("has the {key} `{text}`, which is not a size"))),
            },
        };
        let location = entry("location").unwrap_or_default();
        let (offset, stated) = (number("offset")?.unwrap_or(0), number("length")?);
        if let Some(stated) = stated.filter(|stated| *stated != length as u64) {
            return Err(wrong(format!("is {stated} bytes long, its type and shape need {length}")));
        }
        let Some(folder) = self.folder else {
            return Err(wrong(format!("is in `{location}`, but the model has no folder"))
                .help("load the model from its file, or save it with its weights inside"));
        };
        let path = Path::new(location);
        if !is_plain(location) {
            return Err(
                wrong(format!("points to `{location}`")).help("it must be a relative path below the model's folder")
            );
        }
        if !self.files.contains_key(location) {
            let opened = open_within(folder, path).map_err(|cause| {
                if cause.code() == Code::LfsPointer {
                    return cause.note(format!("the external data of `{name}` is in it"));
                }
                let cause_text = cause.notes().first().cloned().unwrap_or_default();
                wrong(format!("is in `{location}`, which cannot be opened"))
                    .note(cause_text)
                    .help("keep the data file beside the model, under the name it was saved with")
            })?;
            let Some(file) = opened else {
                return Err(wrong(format!("points to `{location}`, which leads out of the model's folder"))
                    .help("copy the data file to the model's folder; a link that leads out of it is not followed"));
            };
            self.files.insert(location.to_owned(), Opened { file, taken: 0 });
        }
        let Some(opened) = self.files.get_mut(location) else { return Err(wrong("cannot be opened".to_owned())) };
        let size = opened.file.size();
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > size) {
            return Err(wrong(format!(
                "needs bytes {offset}..{} of `{location}`, which has {size}",
                offset.saturating_add(length as u64)
            ))
            .help("the data file is cut short or belongs to another model"));
        }
        // Tied weights may name one range twice; a file of a few bytes that stands for terabytes is an attack.
        opened.taken = opened.taken.saturating_add(length as u64);
        if opened.taken / 16 > size {
            return Err(wrong(format!("reads the same parts of `{location}` over and over")));
        }
        opened.file.read(offset, length).map_err(|cause| wrong(format!("cannot be read: {}", cause.message())))
    }
}

/// Whether a name leads below the model's folder as it stands. Backslashes and drive letters are refused everywhere, so that a model is as
/// safe on one system as on another.
pub(super) fn is_plain(location: &str) -> bool {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    !location.is_empty() && Path::new(location).components().all(inside) && !location.contains(['\\', '\0', ':'])
}
