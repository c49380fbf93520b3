//! Images and labels in the IDX format of MNIST and its kin.
//!
//! ```yaml
//! train: {idx: {path: mnist, split: train}}
//! ```

use super::block::{Block, Content};
use super::{
    Labels, Row, Samples, Source, corrupt, empty, existing_file, existing_folder, missing, numbered_classes, packed,
};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::{Kind, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

const DOC: &str = "\
Grey images and classes in the IDX format of MNIST and its kin, raw or gzipped.

Either `path`, a folder with the files of MNIST's names, and `split`, or the two files by name. Images are arrays of bytes, \
N × height × width; labels are N bytes, classes named by their number.

Source: the MNIST database's file format (LeCun, Cortes, Burges): two zero bytes, type, number of axes, big-endian sizes.

    data:
      sets:
        train: {idx: {path: mnist, split: train}}
        test: {idx: {images: mnist/t10k-images-idx3-ubyte.gz, labels: mnist/t10k-labels-idx1-ubyte.gz}}
";

pub(super) const ROW: Row<dyn Source> = Row {
    kind: Kind::of::<Idx>("idx", None, DOC),
    build: |config| {
        let idx: Idx = decode(config)?;
        idx.given()?;
        Ok(Box::new(idx))
    },
};

/// Images and labels in the IDX format.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Idx {
    /// Folder with the files of MNIST's names.
    #[serde(default)]
    path: Option<String>,
    /// Which files of the folder.
    #[serde(default)]
    split: Option<Split>,
    /// File of the images.
    #[serde(default)]
    images: Option<String>,
    /// File of the labels; without it, `images` has none.
    #[serde(default)]
    labels: Option<String>,
}

/// Which part of a dataset.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Split {
    /// Training samples.
    Train,
    /// Test samples.
    Test,
}

enum Given<'a> {
    Folder(&'a str, Split),
    Files(&'a str, Option<&'a str>),
}

impl Idx {
    fn given(&self) -> Result<Given<'_>> {
        match (&self.path, self.split, &self.images, &self.labels) {
            (Some(path), Some(split), None, None) => Ok(Given::Folder(path, split)),
            (None, None, Some(images), labels) => Ok(Given::Files(images, labels.as_deref())),
            (Some(_), None, None, None) => {
                Err(Diagnostic::error(Code::MissingKey, "`idx` with `path` needs `split`").help("`train` or `test`"))
            }
            (None, _, None, _) => Err(Diagnostic::error(Code::MissingKey, "`idx` needs `path` or `images`")
                .help("`{path: FOLDER, split: train}` or `{images: FILE, labels: FILE}`")),
            _ => Err(Diagnostic::error(Code::Conflict, "`idx` is either `path` and `split`, or `images` and `labels`")),
        }
    }
}

impl Source for Idx {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let (images, labels) = match self.given()? {
            Given::Folder(path, split) => {
                let folder = existing_folder(base, path)?;
                let split = if matches!(split, Split::Train) { "train" } else { "t10k" };
                let images = named(&folder, &format!("{split}-images"), "idx3-ubyte")?;
                (images, Some(named(&folder, &format!("{split}-labels"), "idx1-ubyte")?))
            }
            Given::Files(images, labels) => {
                let labels = labels.map(|labels| existing_file(base, labels)).transpose()?;
                (existing_file(base, images)?, labels)
            }
        };
        let bytes = packed::read(&images)?;
        let ([count, height, width], pixels) = parse::<3>(&bytes).map_err(|cause| corrupt(&images, cause))?;
        if count == 0 {
            return Err(empty(&images, "its header counts 0 images"));
        }
        if pixels.is_empty() {
            return Err(corrupt(&images, format!("images of {height} × {width} pixels")));
        }
        let labels = match labels {
            None => Labels::None,
            Some(path) => {
                let bytes = packed::read(&path)?;
                let ([classes], ids) = parse::<1>(&bytes).map_err(|cause| corrupt(&path, cause))?;
                if classes != count {
                    let cause = format!("{classes} labels, and {count} images in `{}`", images.display());
                    return Err(corrupt(&path, cause));
                }
                numbered_classes(ids.iter().map(|id| i64::from(*id)).collect(), &path)?
            }
        };
        let content = Content::Images { height, width, channels: 1, pixels: pixels.to_vec() };
        Ok(Box::new(Block { count, file: images.display().to_string(), content, labels }))
    }
}

/// The file of a folder under one of the names it is handed around with.
fn named(folder: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    for name in [format!("{stem}-{kind}"), format!("{stem}.{kind}")] {
        for path in [folder.join(&name), folder.join(format!("{name}.gz"))] {
            if world::is_file(&path) {
                return Ok(path);
            }
        }
    }
    let wanted = folder.join(format!("{stem}-{kind}"));
    Err(missing(&wanted, "does not exist").note("`.` for the last `-` and a final `.gz` were tried too"))
}

/// Sizes and bytes of an array of unsigned bytes with `AXES` axes.
fn parse<const AXES: usize>(file: &[u8]) -> std::result::Result<([usize; AXES], &[u8]), String> {
    let [0, 0, kind, axes, rest @ ..] = file else {
        return Err("it does not begin like an IDX file".to_owned());
    };
    if *kind != 8 || usize::from(*axes) != AXES {
        return Err(format!("its type is 0x{kind:02x} with {axes} axes; 0x08 (bytes) with {AXES} is read"));
    }
    let (header, body) = rest.split_at_checked(4 * AXES).ok_or("it ends within its header")?;
    let mut sizes = [0; AXES];
    for (size, bytes) in sizes.iter_mut().zip(header.chunks_exact(4)) {
        *size = bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
    }
    if sizes.iter().try_fold(1, |product: usize, size| product.checked_mul(*size)) != Some(body.len()) {
        return Err(format!("its header says {sizes:?}, and {} bytes follow", body.len()));
    }
    Ok((sizes, body))
}

#[cfg(test)]
mod tests {
    use super::super::{Image, Item, ItemType};
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;
    use std::io::Write;

    fn idx(sizes: &[u32], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(body);
        bytes
    }

    fn put(folder: &Path, name: &str, bytes: &[u8]) {
        world::write_atomic(&folder.join(name), |file| file.write_all(bytes)).unwrap();
    }

    fn open(folder: &Path, config: &serde_json::Value) -> Result<Box<dyn Samples>> {
        (ROW.build)(config)?.open(folder)
    }

    #[test]
    fn both_names_are_found_raw_and_gzipped() {
        let folder = world::scratch_folder().unwrap();
        let folder = folder.path();
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(&idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6])).unwrap();
        put(folder, "train-images-idx3-ubyte.gz", &gz.finish().unwrap());
        put(folder, "train-labels.idx1-ubyte", &idx(&[2], &[1, 0]));
        put(folder, "t10k-images-idx3-ubyte", &idx(&[1, 1, 1], &[9]));
        let samples = open(folder, &json!({"path": ".", "split": "train"})).unwrap();
        assert_eq!(samples.item_type(), ItemType::Image { height: Some(1), width: Some(3), channels: 1 });
        let image = Image { height: 1, width: 3, channels: 1, data: vec![4, 5, 6] };
        assert_eq!(samples.load(1).unwrap(), Item::Image(image));
        assert_eq!(*samples.labels(), Labels::Classes { ids: vec![1, 0], names: vec!["0".into(), "1".into()] });
        let error = open(folder, &json!({"path": ".", "split": "test"})).err().unwrap();
        assert_eq!(error.code(), Code::DataMissing);
        assert!(error.message().contains("t10k-labels"));
        let samples = open(folder, &json!({"images": "t10k-images-idx3-ubyte"})).unwrap();
        assert_eq!((samples.len(), samples.labels()), (1, &Labels::None));
    }

    #[test]
    fn configurations_that_cannot_be_are_refused() {
        let folder = Path::new(".");
        let code = |config: serde_json::Value| open(folder, &config).err().unwrap().code();
        assert_eq!(code(json!({"path": "."})), Code::MissingKey);
        assert_eq!(code(json!({"labels": "a"})), Code::MissingKey);
        assert_eq!(code(json!({"path": ".", "split": "train", "images": "a"})), Code::Conflict);
        assert_eq!(code(json!({"images": "a", "split": "train"})), Code::Conflict);
        assert_eq!(code(json!({"path": ".", "split": "dev"})), Code::WrongType);
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let folder = world::scratch_folder().unwrap();
        let folder = folder.path();
        let code = |images: &[u8], labels: &[u8]| {
            put(folder, "i", images);
            put(folder, "l", labels);
            open(folder, &json!({"images": "i", "labels": "l"})).err().unwrap().code()
        };
        let (images, labels) = (idx(&[2, 1, 1], &[1, 2]), idx(&[2], &[0, 1]));
        assert_eq!(code(&images, &idx(&[3], &[0, 1, 2])), Code::DataCorrupt);
        assert_eq!(code(&images[..images.len() - 1], &labels), Code::DataCorrupt);
        assert_eq!(code(&labels, &labels), Code::DataCorrupt);
        assert_eq!(code(&idx(&[u32::MAX, u32::MAX, u32::MAX], &[1]), &labels), Code::DataCorrupt);
        assert_eq!(code(&idx(&[5, 0, 4], &[]), &labels), Code::DataCorrupt);
        assert_eq!(code(&idx(&[0, 28, 28], &[]), &idx(&[0], &[])), Code::DataEmpty);
        assert_eq!(code(b"", &labels), Code::DataCorrupt);
        assert_eq!(code(b"\x1f\x8b\x08broken", &labels), Code::DataCorrupt);
    }

    #[test]
    fn flipped_bytes_never_panic() {
        super::super::flip::bytes(&idx(&[2, 3, 4], &[7; 24]), 4000, |bytes| {
            if let Ok((sizes, body)) = parse::<3>(bytes) {
                assert_eq!(sizes.iter().product::<usize>(), body.len());
            }
        });
    }
}
