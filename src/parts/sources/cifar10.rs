//! `cifar10`: the binary version of CIFAR-10.

use super::{Declared, Image, Item, ItemType, Labels, Samples, Source, corrupt, existing_file, existing_folder};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::{Kind, Row, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub(super) const ROW: Row<dyn Source> =
    Row { kind: Kind::of::<Cifar10>("cifar10", None, DOC), build: |value| Ok(Box::new(decode::<Cifar10>(value)?)) };

const DOC: &str = "\
CIFAR-10 in its binary version: 32×32 RGB images of ten classes.

The folder holds `data_batch_1.bin` … `data_batch_5.bin` (train) or `test_batch.bin` (test); each record is one byte of label and \
3072 bytes of pixels, channel by channel. Source: Krizhevsky, \"Learning multiple layers of features from tiny images\", 2009.

```yaml
train: {cifar10: {path: data/cifar-10-batches-bin, split: train}}
```";

/// Which part of a dataset that comes in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Split {
    /// The training part.
    Train,
    /// The test part.
    Test,
}

/// Configuration of `cifar10`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cifar10 {
    /// Folder of the `.bin` files.
    #[schemars(extend("format" = "path"))]
    path: String,
    /// `train` or `test`.
    split: Split,
}

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
const RECORD: usize = 1 + PIXELS;
const NAMES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

struct Records {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// File and record of each sample.
    places: Vec<(usize, usize)>,
    labels: Labels,
}

impl Source for Cifar10 {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let root = existing_folder(base, &self.path)?;
        let (mut files, mut places, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for name in self.names() {
            let (path, size) = existing_file(&root, &name).map_err(|error| {
                error.help("the folder must hold the binary version of CIFAR-10, `cifar-10-batches-bin`")
            })?;
            let bytes = world::read(&path)?;
            if size % RECORD as u64 != 0 {
                return Err(corrupt(&path, format!("{size} bytes are not a multiple of the {RECORD} of a record")));
            }
            for (record, bytes) in bytes.chunks_exact(RECORD).enumerate() {
                if usize::from(bytes[0]) >= NAMES.len() {
                    return Err(corrupt(&path, format!("record {record} has the label {}", bytes[0])));
                }
                places.push((files.len(), record));
                ids.push(i64::from(bytes[0]));
            }
            files.push((path, bytes));
        }
        if places.is_empty() {
            return Err(Diagnostic::error(Code::DataEmpty, format!("`{}` holds no records", root.display())));
        }
        let labels = Labels::Classes { ids, names: NAMES.map(str::to_owned).to_vec() };
        Ok(Box::new(Records { files, places, labels }))
    }

    fn declares(&self) -> Declared {
        Declared::Item(ItemType::Image { h: Some(SIDE), w: Some(SIDE), channels: 3 })
    }

    fn files(&self, _base: &Path) -> Vec<PathBuf> {
        self.names().into_iter().map(|name| Path::new(&self.path).join(name)).collect()
    }
}

impl Cifar10 {
    fn names(&self) -> Vec<String> {
        match self.split {
            Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
            Split::Test => vec!["test_batch.bin".to_owned()],
        }
    }
}

impl Records {
    fn pixels(&self, i: usize) -> &[u8] {
        let (file, record) = self.places[i];
        &self.files[file].1[record * RECORD + 1..(record + 1) * RECORD]
    }
}

impl Samples for Records {
    fn len(&self) -> usize {
        self.places.len()
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn shape(&self) -> ItemType {
        ItemType::Image { h: Some(SIDE), w: Some(SIDE), channels: 3 }
    }
    fn load(&self, i: usize) -> Result<Item> {
        let planes = self.pixels(i);
        let plane = SIDE * SIDE;
        let data = (0..plane).flat_map(|p| [planes[p], planes[plane + p], planes[2 * plane + p]]).collect();
        Ok(Item::Image(Image { height: SIDE, width: SIDE, channels: 3, data }))
    }
    fn name(&self, i: usize) -> String {
        let (file, record) = self.places[i];
        format!("{} record {record}", self.files[file].0.display())
    }
    fn content(&self, i: usize) -> Result<[u8; 32]> {
        Ok(*blake3::hash(self.pixels(i)).as_bytes())
    }
}
