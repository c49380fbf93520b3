//! `idx`: the format of MNIST and its relatives.

use super::block::{Block, InMemory, classes};
use super::cifar10::Split;
use super::{Labels, Samples, Source, archive, corrupt, existing_file, existing_folder, missing};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::{Kind, Row, decode};
use crate::world::{self, Entry};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub(super) const ROW: Row<dyn Source> =
    Row { kind: Kind::of::<Idx>("idx", None, DOC), build: |value| Ok(Box::new(decode::<Idx>(value)?)) };

const DOC: &str = "\
Arrays in the IDX format, raw or gzipped, as MNIST and Fashion-MNIST come.

Either two files, or a folder and a split, which stand for `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, \
`t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, with or without `.gz`. Unsigned bytes of rank 3 are grey images; \
everything else is an array of f32. Source: LeCun, Cortes, Burges, \"The MNIST database\".

```yaml
train: {idx: {path: data/mnist, split: train}}
```";

/// Configuration of `idx`: either `images` and `labels`, or `path` and `split`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Idx {
    /// File of the inputs.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    images: Option<String>,
    /// File of the labels; without it, there are none.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    labels: Option<String>,
    /// Folder of the files under their usual names.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    path: Option<String>,
    /// `train` or `test`, with `path`.
    #[serde(default)]
    split: Option<Split>,
}

impl Source for Idx {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let (images, labels) = match (&self.images, &self.labels, &self.path, self.split) {
            (Some(images), labels, None, None) => {
                let labels = match labels {
                    Some(labels) => Some(existing_file(base, labels)?.0),
                    None => None,
                };
                (existing_file(base, images)?.0, labels)
            }
            (None, None, Some(folder), Some(split)) => {
                let root = existing_folder(base, folder)?;
                let part = part(split);
                (find(&root, part, "images", 3)?, Some(find(&root, part, "labels", 1)?))
            }
            _ => {
                let message = "`idx` takes either `images` and `labels`, or `path` and `split`";
                return Err(Diagnostic::error(Code::Conflict, message));
            }
        };
        let array = Array::read(&images)?;
        let labels = match labels {
            Some(path) => label_array(&Array::read(&path)?, &path)?,
            None => Labels::None,
        };
        let count = array.shape[0];
        let block = match (array.kind, &array.shape[1..]) {
            (0x08, [height, width]) => Block::Bytes { height: *height, width: *width, channels: 1, data: array.bytes },
            (_, shape) => Block::Floats { shape: shape.to_vec(), data: array.floats() },
        };
        Ok(Box::new(InMemory::new(&images, count, block, labels)?))
    }

    fn files(&self, base: &Path) -> Vec<PathBuf> {
        let named = self.images.iter().chain(&self.labels).map(PathBuf::from);
        let (Some(folder), Some(split)) = (&self.path, self.split) else { return named.collect() };
        let part = part(split);
        let found = [("images", 3), ("labels", 1)].map(|(what, rank)| find(&base.join(folder), part, what, rank));
        let inside = |path: PathBuf| path.file_name().map(|name| Path::new(folder).join(name));
        found.into_iter().filter_map(|path| inside(path.ok()?)).collect()
    }
}

/// How the names of a part's files begin.
fn part(split: Split) -> &'static str {
    if split == Split::Train { "train" } else { "t10k" }
}

fn find(root: &Path, part: &str, what: &str, rank: u8) -> Result<PathBuf> {
    let names = ["-", "."].map(|dot| format!("{part}-{what}{dot}idx{rank}-ubyte"));
    for name in &names {
        for ending in ["", ".gz"] {
            let path = root.join(format!("{name}{ending}"));
            if matches!(world::entry(&path), Some(Entry::File(_))) {
                return Ok(path);
            }
        }
    }
    Err(missing(&root.join(&names[0]), "does not exist, nor does it with `.gz`"))
}

fn label_array(array: &Array, path: &Path) -> Result<Labels> {
    let width: usize = array.shape[1..].iter().product();
    if width == 0 {
        return Err(corrupt(path, format!("labels of shape {:?}", array.shape)));
    }
    if width == 1 && !matches!(array.kind, 0x0d | 0x0e) {
        return classes(array.floats().into_iter().map(|value| value as i64).collect(), path);
    }
    Ok(Labels::Values { data: array.floats(), width })
}

struct Array {
    kind: u8,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn read(path: &Path) -> Result<Self> {
        let mut bytes = archive::read(path)?;
        let wrong = |cause: String| Err(corrupt(path, cause));
        let &[0, 0, kind, rank] = bytes.first_chunk::<4>().unwrap_or(&[1; 4]) else {
            return wrong("it does not start with two zero bytes, as an IDX file does".to_owned());
        };
        let Some(size) = element_size(kind) else {
            return wrong(format!("its element type is 0x{kind:02x}"));
        };
        let start = 4 + 4 * usize::from(rank);
        if rank == 0 || bytes.len() < start {
            return wrong(format!("it ends inside its header of rank {rank}"));
        }
        let shape: Vec<usize> =
            bytes[4..start].chunks_exact(4).map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize).collect();
        let wanted = super::bytes_of(&shape, size);
        if wanted != Some(bytes.len() - start) {
            return wrong(format!("shape {shape:?} does not fit the {} bytes of elements", bytes.len() - start));
        }
        if shape[1..].contains(&0) {
            return wrong(format!("samples of shape {:?} hold nothing", &shape[1..]));
        }
        bytes.drain(..start);
        Ok(Self { kind, shape, bytes })
    }

    fn floats(&self) -> Vec<f32> {
        let size = element_size(self.kind).unwrap_or(1);
        self.bytes
            .chunks_exact(size)
            .map(|b| match self.kind {
                0x09 => f32::from(b[0] as i8),
                0x0b => f32::from(i16::from_be_bytes([b[0], b[1]])),
                0x0c => i32::from_be_bytes([b[0], b[1], b[2], b[3]]) as f32,
                0x0d => f32::from_be_bytes([b[0], b[1], b[2], b[3]]),
                0x0e => f64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
                _ => f32::from(b[0]),
            })
            .collect()
    }
}

fn element_size(kind: u8) -> Option<usize> {
    match kind {
        0x08 | 0x09 => Some(1),
        0x0b => Some(2),
        0x0c | 0x0d => Some(4),
        0x0e => Some(8),
        _ => None,
    }
}
