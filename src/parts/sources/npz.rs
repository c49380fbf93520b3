//! `npz`: arrays in NumPy's zip archive.

use super::block::{Block, InMemory, classes};
use super::npy::Npy;
use super::{Labels, Samples, Source, archive, corrupt, existing_file};
use crate::diag::{Code, Diagnostic, Result, nearest};
use crate::parts::{Kind, Row, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use zip::ZipArchive;

pub(super) const ROW: Row<dyn Source> =
    Row { kind: Kind::of::<Npz>("npz", Some("path"), DOC), build: |value| Ok(Box::new(decode::<Npz>(value)?)) };

const DOC: &str = "\
Arrays of samples and labels from a NumPy archive (`np.savez`, `np.savez_compressed`).

Inputs of uint8 [N, H, W] or [N, H, W, 1|3] are images; all others are arrays of f32, one along the first axis a sample. \
Labels of whole numbers, [N] or [N, 1], are classes numbered from 0; other labels are values [N, width].

```yaml
train: {npz: {path: data/blood.npz, inputs: train_images, labels: train_labels}}
```";

/// Configuration of `npz`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Npz {
    /// The archive.
    #[schemars(extend("format" = "path"))]
    path: String,
    /// Array of the inputs, `x` unless given.
    #[serde(default = "x", alias = "images")]
    inputs: String,
    /// Array of the labels, `y` unless given; without a key given, an archive that has no `y` has no labels.
    #[serde(default)]
    labels: Option<String>,
}

fn x() -> String {
    "x".to_owned()
}

impl Source for Npz {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let (path, _) = existing_file(base, &self.path)?;
        let mut zip = ZipArchive::new(world::open(&path)?).map_err(|error| corrupt(&path, error))?;
        let inputs = array(&mut zip, &path, &self.inputs).map_err(|error| of_key(error, "inputs"))?;
        let Some(&count) = inputs.shape.first() else {
            return Err(corrupt(&path, format!("`{}` is a single number", self.inputs)));
        };
        let labels = match &self.labels {
            Some(key) => {
                let array = array(&mut zip, &path, key).map_err(|error| of_key(error, "labels"))?;
                labels(&array, &path)?
            }
            None if zip.index_for_name("y.npy").is_some() => labels(&array(&mut zip, &path, "y")?, &path)?,
            None => Labels::None,
        };
        let block = block(inputs, &path)?;
        Ok(Box::new(InMemory::new(&path, count, block, labels)?))
    }

    fn files(&self, _base: &Path) -> Vec<PathBuf> {
        vec![PathBuf::from(&self.path)]
    }
}

/// A name that the archive lacks is shown where it stands.
fn of_key(error: Diagnostic, key: &str) -> Diagnostic {
    if error.code() == Code::DataColumn { error.at(key, "not in the archive") } else { error }
}

/// Names of the arrays of an archive.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let zip = ZipArchive::new(world::open(path)?).map_err(|error| corrupt(path, error))?;
    Ok(zip.file_names().flatten().map(|name| name.trim_end_matches(".npy").to_owned()).collect())
}

fn array(zip: &mut ZipArchive<File>, path: &Path, key: &str) -> Result<Npy> {
    let names: Vec<String> = zip.file_names().flatten().map(|name| name.trim_end_matches(".npy").to_owned()).collect();
    let Some(index) = zip.index_for_name(&format!("{key}.npy")).or_else(|| zip.index_for_name(key)) else {
        let error = Diagnostic::error(Code::DataColumn, format!("`{}` has no array `{key}`", path.display()))
            .note(format!("it has {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")));
        return Err(match nearest(key, names.iter().map(String::as_str)).first() {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    let entry = zip.by_index(index).map_err(|error| corrupt(path, error))?;
    let limit = entry.size().min(archive::unpack_limit(entry.compressed_size()));
    Npy::read(entry, limit).map_err(|cause| corrupt(path, format!("array `{key}`: {cause}")))
}

fn labels(array: &Npy, path: &Path) -> Result<Labels> {
    let width: usize = array.shape.iter().skip(1).product();
    if array.shape.is_empty() || width == 0 {
        return Err(corrupt(path, format!("labels of shape {:?}", array.shape)));
    }
    if array.whole() && width == 1 {
        return classes(array.to_i64(), path);
    }
    let data = array.to_f32();
    if let Some(at) = data.iter().position(|value| !value.is_finite()) {
        let message = format!("`{}` has a label that is not finite", path.display());
        return Err(Diagnostic::error(Code::LabelRange, message).note(format!("first at sample {}", at / width)));
    }
    Ok(Labels::Values { data, width })
}

fn block(array: Npy, path: &Path) -> Result<Block> {
    let shape = array.shape.clone();
    if shape[1..].contains(&0) {
        return Err(corrupt(path, format!("samples of shape {:?} hold nothing", &shape[1..])));
    }
    let image = match shape[..] {
        [_, height, width] | [_, height, width, 1] => Some((height, width, 1)),
        [_, height, width, 3] => Some((height, width, 3)),
        _ => None,
    };
    match (image, array.into_u8()) {
        (Some((height, width, channels)), Ok(data)) => Ok(Block::Bytes { height, width, channels, data }),
        (None, Ok(data)) => {
            Ok(Block::Floats { shape: shape[1..].to_vec(), data: data.into_iter().map(f32::from).collect() })
        }
        (_, Err(array)) => Ok(Block::Floats { shape: shape[1..].to_vec(), data: array.to_f32() }),
    }
}
