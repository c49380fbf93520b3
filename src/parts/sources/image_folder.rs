//! `image_folder`: a folder per class.

use super::image_files::ImageFiles;
use super::{Declared, ItemType, Labels, Samples, Source, corrupt, existing_folder};
use crate::diag::{Code, Diagnostic, Result, nearest};
use crate::parts::{Kind, Row, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub(super) const ROW: Row<dyn Source> = Row {
    kind: Kind::of::<ImageFolder>("image_folder", Some("path"), DOC),
    build: |value| Ok(Box::new(decode::<ImageFolder>(value)?)),
};

const DOC: &str = "\
JPEG and PNG images in a folder per class.

Classes are the sub-folders sorted by name; images are found at any depth below them, in path order. Images are decoded to RGB as \
Pillow's `convert(\"RGB\")` does, except that 16 bits of grey keep their high byte, where Pillow clips them at 255. Hidden files and \
files that are no images are passed over; images of another format are an error. With `labels: false` all images below the folder \
are read and none has a class. `classes` fixes the order of the classes, for a set that lacks some of them. \
Source: torchvision's ImageFolder.

```yaml
train: {image_folder: data/flowers/train}
```";

/// Configuration of `image_folder`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageFolder {
    /// Folder with a sub-folder per class.
    #[schemars(extend("format" = "path"))]
    path: String,
    /// Whether the sub-folders are classes.
    #[serde(default = "yes")]
    labels: bool,
    /// Names of the classes in order of their index; without it, the sub-folders sorted by name.
    #[serde(default)]
    classes: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

/// Deepest nesting below the folder; only a circle of links gets there.
const DEPTH: usize = 32;

impl Source for ImageFolder {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let root = existing_folder(base, &self.path)?;
        let mut paths = Vec::new();
        if !self.labels {
            collect(&root, 0, &mut paths)?;
            if paths.is_empty() {
                return Err(empty(&format!("`{}` holds no JPEG or PNG image", root.display())));
            }
            return Ok(Box::new(ImageFiles { root, paths, labels: Labels::None }));
        }
        let mut folders = Vec::new();
        for (path, folder) in world::list_entries(&root)? {
            if folder && !hidden(&path) {
                folders.push((file_name(&path), path));
            }
        }
        if folders.is_empty() {
            return Err(empty(&format!("`{}` has no sub-folders", root.display()))
                .help("`image_folder` takes a folder per class; with `labels: false` the images need none"));
        }
        let names = match &self.classes {
            Some(names) => names.clone(),
            None => folders.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut ids = Vec::new();
        for (name, folder) in &folders {
            let id = class_index(name, &names, &root)?;
            let before = paths.len();
            collect(folder, 0, &mut paths)?;
            if paths.len() == before {
                return Err(empty(&format!("the class folder `{}` holds no JPEG or PNG image", folder.display())));
            }
            ids.resize(paths.len(), id);
        }
        Ok(Box::new(ImageFiles { root, paths, labels: Labels::Classes { ids, names } }))
    }

    fn declares(&self) -> Declared {
        Declared::Item(ItemType::Image { h: None, w: None, channels: 3 })
    }

    fn files(&self, _base: &Path) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// The index of a class name; `P0504` when the list of classes lacks it.
pub(super) fn class_index(name: &str, names: &[String], place: &Path) -> Result<i64> {
    names.iter().position(|known| known == name).map(|id| id as i64).ok_or_else(|| {
        let error = Diagnostic::error(
            Code::LabelRange,
            format!("`{}` has the class `{name}`, which `classes` does not list", place.display()),
        );
        match nearest(name, names.iter().map(String::as_str)).first() {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

fn empty(message: &str) -> Diagnostic {
    Diagnostic::error(Code::DataEmpty, message)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn hidden(path: &Path) -> bool {
    file_name(path).starts_with('.')
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    if depth > DEPTH {
        return Err(corrupt(folder, format!("folders are nested deeper than {DEPTH}; a link may lead in a circle")));
    }
    for (path, is_folder) in world::list_entries(folder)? {
        if hidden(&path) {
            continue;
        }
        if is_folder {
            collect(&path, depth + 1, paths)?;
            continue;
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        match extension.as_str() {
            "jpg" | "jpeg" | "png" => paths.push(path),
            "webp" | "bmp" | "gif" | "tif" | "tiff" | "ppm" | "pgm" | "avif" | "heic" => {
                return Err(corrupt(&path, "only JPEG and PNG images are read")
                    .help("convert such images, or move them out of the folder"));
            }
            _ => {}
        }
    }
    Ok(())
}
