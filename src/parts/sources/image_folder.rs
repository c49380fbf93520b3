//! A folder with a folder per class, as torchvision's `ImageFolder` reads it.
//!
//! ```yaml
//! train: {image_folder: flowers/train}
//! ```

use super::{Labels, Row, Samples, Source, empty, existing_folder, files::Files};
use crate::diag::Result;
use crate::parts::{Kind, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

const DOC: &str = "\
Images in a folder with a folder per class; classes are numbered in the order of their names.

JPEG and PNG files (.jpg, .jpeg, .png) are read, at any depth below a class, and decoded to RGB like Pillow's \
convert(\"RGB\"): grey replicated, alpha dropped, EXIF orientation not applied. Hidden files and other files are passed over.

Source: the layout of torchvision's ImageFolder.

    data:
      sets:
        train: {image_folder: flowers/train}
";

pub(super) const ROW: Row<dyn Source> = Row {
    kind: Kind::of::<ImageFolder>("image_folder", Some("path"), DOC),
    build: |config| Ok(Box::new(decode::<ImageFolder>(config)?)),
};

/// Images in a folder with a folder per class.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ImageFolder {
    /// The folder with the classes.
    path: String,
}

impl Source for ImageFolder {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let root = existing_folder(base, &self.path)?;
        let mut folders: Vec<(String, PathBuf)> = world::list_dir(&root)?
            .into_iter()
            .filter(|path| world::is_folder(path))
            .map(|path| (name_of(&path), path))
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        folders.sort();
        if folders.is_empty() {
            return Err(empty(&root, "it has no folder; each class is a folder of images"));
        }
        let (mut paths, mut ids, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (class, (name, folder)) in folders.into_iter().enumerate() {
            let before = paths.len();
            collect(&folder, DEPTH, &mut paths)?;
            if paths.len() == before {
                return Err(empty(&folder, "no .jpg, .jpeg or .png file is in the folder of this class"));
            }
            ids.resize(paths.len(), class as i64);
            names.push(name);
        }
        Ok(Box::new(Files { paths, labels: Labels::Classes { ids, names } }))
    }
}

/// Folders below a class; deeper ones are a circle of links.
const DEPTH: usize = 16;

/// Adds the images below a folder, sorted by name at every level.
fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    for path in world::list_dir(folder)? {
        if name_of(&path).starts_with('.') {
        } else if world::is_folder(&path) {
            if depth > 0 {
                collect(&path, depth - 1, paths)?;
            }
        } else if is_image(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["jpg", "jpeg", "png"].iter().any(|known| extension == *known)
}

#[cfg(test)]
mod tests {
    use super::super::{Image, Item, ItemType};
    use super::*;
    use crate::diag::Code;
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

    fn put(path: &Path, bytes: &[u8]) {
        world::create_dir_all(path.parent().unwrap()).unwrap();
        world::write_atomic(path, |file| file.write_all(bytes)).unwrap();
    }

    fn png(grey: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(&[grey, grey], 2, 1, ExtendedColorType::L8).unwrap();
        bytes
    }

    fn open(folder: &Path) -> Result<Box<dyn Samples>> {
        ImageFolder { path: "set".to_owned() }.open(folder)
    }

    #[test]
    fn classes_and_files_are_sorted() {
        let folder = world::scratch_folder().unwrap();
        let set = folder.path().join("set");
        put(&set.join("b/2.PNG"), &png(2));
        put(&set.join("b/1.png"), &png(1));
        put(&set.join("a/deeper/x.png"), &png(9));
        put(&set.join("a/notes.txt"), b"not an image");
        put(&set.join("a/.hidden.png"), b"not an image");
        put(&set.join(".cache/x.png"), b"not an image");
        put(&set.join("b/broken.jpeg"), b"\xff\xd8\xff");
        let samples = open(folder.path()).unwrap();
        assert_eq!(samples.len(), 4);
        assert_eq!(
            *samples.labels(),
            Labels::Classes { ids: vec![0, 1, 1, 1], names: vec!["a".to_owned(), "b".to_owned()] }
        );
        assert_eq!(samples.item_type(), ItemType::Image { height: None, width: None, channels: 3 });
        let grey = |v| Item::Image(Image { height: 1, width: 2, channels: 3, data: vec![v; 6] });
        assert_eq!(samples.load(0).unwrap(), grey(9));
        assert_eq!(samples.load(1).unwrap(), grey(1));
        assert_eq!(samples.load(2).unwrap(), grey(2));
        assert!(samples.name(2).ends_with("2.PNG"));
        assert_eq!(samples.content(1).unwrap(), *blake3::hash(&png(1)).as_bytes());
        assert_eq!(samples.load(3).unwrap_err().code(), Code::DataCorrupt);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = world::scratch_folder().unwrap();
        world::create_dir_all(&folder.path().join("sets")).unwrap();
        let error = open(folder.path()).err().unwrap();
        assert_eq!(error.code(), Code::DataMissing);
        assert_eq!(error.help_text(), Some("beside it there is `sets`"));
        world::create_dir_all(&folder.path().join("set")).unwrap();
        assert_eq!(open(folder.path()).err().unwrap().code(), Code::DataEmpty);
        put(&folder.path().join("set/a/1.png"), &png(1));
        world::create_dir_all(&folder.path().join("set/b")).unwrap();
        assert_eq!(open(folder.path()).err().unwrap().code(), Code::DataEmpty);
    }
}
