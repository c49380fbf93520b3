//! CIFAR-10 in its binary version.
//!
//! ```yaml
//! train: {cifar10: {path: cifar-10-batches-bin, split: train}}
//! ```

use super::block::{Block, Content};
use super::idx::Split;
use super::{Labels, Row, Samples, Source, corrupt, empty, existing_file, existing_folder};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::{Kind, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;

const DOC: &str = "\
CIFAR-10, binary version: 32 × 32 RGB images of 10 classes.

`train` is data_batch_1.bin to data_batch_5.bin in this order, `test` is test_batch.bin. Classes are named by \
batches.meta.txt where the folder has it, else by their number.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; a record is one byte of class, then \
1024 bytes each of red, green and blue.

    data:
      sets:
        train: {cifar10: {path: cifar-10-batches-bin, split: train}}
";

pub(super) const ROW: Row<dyn Source> =
    Row { kind: Kind::of::<Cifar10>("cifar10", None, DOC), build: |config| Ok(Box::new(decode::<Cifar10>(config)?)) };

/// CIFAR-10 in its binary version.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cifar10 {
    /// Folder with the .bin files.
    path: String,
    /// Which files of the folder.
    split: Split,
}

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const CLASSES: usize = 10;

impl Source for Cifar10 {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let folder = existing_folder(base, &self.path)?;
        let batches: &[&str] = match self.split {
            Split::Train => {
                &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"]
            }
            Split::Test => &["test_batch.bin"],
        };
        let (mut ids, mut pixels) = (Vec::new(), Vec::new());
        for batch in batches {
            let path = existing_file(&folder, batch)?;
            read(&world::read(&path)?, &path, &mut ids, &mut pixels)?;
        }
        if ids.is_empty() {
            return Err(empty(&folder, "its batches have no bytes"));
        }
        let count = ids.len();
        let content = Content::Images { height: SIDE, width: SIDE, channels: 3, pixels };
        let labels = Labels::Classes { ids, names: names(&folder)? };
        Ok(Box::new(Block { count, file: folder.display().to_string(), content, labels }))
    }
}

/// Adds the records of a batch, planes interleaved to pixels.
fn read(bytes: &[u8], path: &Path, ids: &mut Vec<i64>, pixels: &mut Vec<u8>) -> Result<()> {
    if !bytes.len().is_multiple_of(RECORD) {
        return Err(corrupt(path, format!("{} bytes are no multiple of a record's {RECORD}", bytes.len())));
    }
    pixels.reserve(bytes.len() / RECORD * 3 * PLANE);
    for (row, record) in bytes.chunks_exact(RECORD).enumerate() {
        if usize::from(record[0]) >= CLASSES {
            return Err(Diagnostic::error(
                Code::LabelRange,
                format!("`{}` has the class {}", path.display(), record[0]),
            )
            .note(format!("record {row}; CIFAR-10 has the classes 0 to 9")));
        }
        ids.push(i64::from(record[0]));
        for at in 1..=PLANE {
            pixels.extend([record[at], record[at + PLANE], record[at + 2 * PLANE]]);
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("batches.meta.txt");
    if !world::is_file(&path) {
        return Ok((0..CLASSES).map(|id| id.to_string()).collect());
    }
    let text = String::from_utf8(world::read_limited(&path, 1 << 16)?).map_err(|error| corrupt(&path, error))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() == CLASSES { Ok(names) } else { Err(corrupt(&path, format!("{} names, not 10", names.len()))) }
}

#[cfg(test)]
mod tests {
    use super::super::{Item, ItemType};
    use super::*;

    /// A record whose red, green and blue at pixel `i` are i, i + 1 and i + 2 modulo 256.
    fn record(class: u8) -> Vec<u8> {
        let plane = |offset: usize| (0..PLANE).map(move |i| (i + offset) as u8);
        [class].into_iter().chain(plane(0)).chain(plane(1)).chain(plane(2)).collect()
    }

    fn put(folder: &Path, name: &str, bytes: &[u8]) {
        world::write_atomic(&folder.join(name), |file| file.write_all(bytes)).unwrap();
    }

    fn open(folder: &Path, split: Split) -> Result<Box<dyn Samples>> {
        Cifar10 { path: ".".to_owned(), split }.open(folder)
    }

    #[test]
    fn batches_are_read_in_order_and_planes_interleaved() {
        let folder = world::scratch_folder().unwrap();
        let folder = folder.path();
        for batch in 1..=5 {
            put(folder, &format!("data_batch_{batch}.bin"), &record(batch));
        }
        let samples = open(folder, Split::Train).unwrap();
        assert_eq!(samples.item_type(), ItemType::Image { height: Some(32), width: Some(32), channels: 3 });
        let Item::Image(image) = samples.load(4).unwrap() else { panic!("not an image") };
        assert_eq!(image.data[..3], [0, 1, 2]);
        assert_eq!(image.data[3 * 33..3 * 34], [33, 34, 35]);
        let names: Vec<String> = (0..10).map(|id| id.to_string()).collect();
        assert_eq!(*samples.labels(), Labels::Classes { ids: vec![1, 2, 3, 4, 5], names });
        put(folder, "batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
        assert_eq!(open(folder, Split::Train).unwrap().labels().names()[9], "j");
        put(folder, "batches.meta.txt", b"a\n");
        assert_eq!(open(folder, Split::Train).err().unwrap().code(), Code::DataCorrupt);
    }

    #[test]
    fn broken_batches_are_refused() {
        let folder = world::scratch_folder().unwrap();
        let folder = folder.path();
        assert_eq!(open(folder, Split::Test).err().unwrap().code(), Code::DataMissing);
        for (bytes, code) in
            [(vec![], Code::DataEmpty), (record(3)[1..].to_vec(), Code::DataCorrupt), (record(10), Code::LabelRange)]
        {
            put(folder, "test_batch.bin", &bytes);
            assert_eq!(open(folder, Split::Test).err().unwrap().code(), code);
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        super::super::flip::bytes(&[record(1), record(2)].concat(), 300, |bytes| {
            let (mut ids, mut pixels) = (Vec::new(), Vec::new());
            if read(bytes, Path::new("a.bin"), &mut ids, &mut pixels).is_ok() {
                assert_eq!(pixels.len(), ids.len() * 3 * PLANE);
            }
        });
    }
}
