//! Arrays of a NumPy archive, as `numpy.savez` and `savez_compressed` write it.
//!
//! ```yaml
//! train: {npz: {path: train.npz, inputs: x, labels: y}}
//! ```

use super::block::{Block, Content};
use super::npy::{Npy, Number};
use super::{Labels, Row, Samples, Source, corrupt, empty, existing_file, numbered_classes, packed};
use crate::diag::{Code, Diagnostic, Result, nearest};
use crate::parts::{Kind, decode};
use crate::world;
use schemars::JsonSchema;
use serde::Deserialize;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

const DOC: &str = "\
Arrays of a NumPy archive (.npz); the first axis counts the samples.

Inputs of u8 and shape N × height × width (× 1 or 3) are images; all others are arrays of f32. Integer labels of shape N or \
N × 1 are classes named by their number; floats, and integers of more columns, are values.

Source: numpy.savez and savez_compressed, .npy versions 1 to 3.

    data:
      sets:
        train: {npz: {path: train.npz, inputs: x, labels: y}}
";

pub(super) const ROW: Row<dyn Source> =
    Row { kind: Kind::of::<Npz>("npz", Some("path"), DOC), build: |config| Ok(Box::new(decode::<Npz>(config)?)) };

/// Arrays of a NumPy archive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Npz {
    /// The archive.
    path: String,
    /// Name of the array with the inputs.
    #[serde(default = "x")]
    inputs: String,
    /// Name of the array with the labels. Without it: `y`, if the archive has one.
    #[serde(default)]
    labels: Option<String>,
}

fn x() -> String {
    "x".to_owned()
}

impl Source for Npz {
    fn open(&self, base: &Path) -> Result<Box<dyn Samples>> {
        let path = existing_file(base, &self.path)?;
        let mapped = world::map(&path)?;
        let mut archive = ZipArchive::new(Cursor::new(mapped.bytes())).map_err(|error| corrupt(&path, error))?;
        let inputs = array(&mut archive, &self.inputs, &path)?.ok_or_else(|| unknown(&archive, &self.inputs, &path))?;
        let labels = match &self.labels {
            None => array(&mut archive, "y", &path)?,
            Some(name) => Some(array(&mut archive, name, &path)?.ok_or_else(|| unknown(&archive, name, &path))?),
        };
        let Some((&count, shape)) = inputs.shape.split_first() else {
            return Err(corrupt(&path, format!("`{}` is one number; its first axis must count samples", self.inputs)));
        };
        if inputs.len() == 0 {
            return Err(empty(&path, &format!("`{}` has the shape {:?}", self.inputs, inputs.shape)));
        }
        let labels = labels.map_or(Ok(Labels::None), |labels| labels_of(&labels, count, &path))?;
        let content = match (inputs.pixels(), shape) {
            (Some(pixels), &[height, width]) => Content::Images { height, width, channels: 1, pixels: pixels.to_vec() },
            (Some(pixels), &[height, width, channels @ (1 | 3)]) => {
                Content::Images { height, width, channels, pixels: pixels.to_vec() }
            }
            _ => Content::Arrays { shape: shape.to_vec(), numbers: inputs.floats() },
        };
        Ok(Box::new(Block { count, file: path.display().to_string(), content, labels }))
    }
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// An array of the archive; `None` when it has none of this name.
fn array(archive: &mut Archive<'_>, name: &str, path: &Path) -> Result<Option<Npy>> {
    let failed = |cause: &dyn std::fmt::Display| corrupt(path, format!("array `{name}`: {cause}"));
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else { return Ok(None) };
    let entry = archive.by_index(index).map_err(|error| failed(&error))?;
    let limit = packed::unpack_limit(entry.compressed_size());
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > limit {
        return Err(failed(&format!("it unpacks to more than {limit} bytes")));
    }
    Npy::parse(&bytes).map(Some).map_err(|cause| failed(&cause))
}

fn unknown(archive: &Archive<'_>, name: &str, path: &Path) -> Diagnostic {
    let files: Vec<String> = archive.file_names().flatten().map(|name| name.to_string()).collect();
    let mut names: Vec<&str> = files.iter().filter_map(|name| name.strip_suffix(".npy")).collect();
    names.sort_unstable();
    let diagnostic = Diagnostic::error(Code::DataColumn, format!("`{}` has no array `{name}`", path.display()));
    match nearest(name, names.iter().copied()).first() {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("it has `{}`", names.join("`, `"))),
    }
}

fn labels_of(array: &Npy, count: usize, path: &Path) -> Result<Labels> {
    let width = match array.shape[..] {
        [rows] if rows == count => 1,
        [rows, width] if rows == count && width > 0 => width,
        _ => {
            return Err(corrupt(path, format!("{count} samples, and labels of shape {:?}", array.shape)));
        }
    };
    if array.number != Number::Float && width == 1 {
        return numbered_classes(array.integers(), path);
    }
    let data = array.floats();
    if let Some(at) = data.iter().position(|value| !value.is_finite()) {
        return Err(Diagnostic::error(Code::LabelRange, format!("`{}` has the label {}", path.display(), data[at]))
            .note(format!("first at sample {}", at / width)));
    }
    Ok(Labels::Values { data, width })
}

#[cfg(test)]
mod tests {
    use super::super::{Image, Item, ItemType};
    use super::*;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), body].concat()
    }

    fn zipped(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (at, (name, bytes)) in arrays.iter().enumerate() {
            let method = if at == 0 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn open(bytes: &[u8], labels: Option<&str>) -> Result<Box<dyn Samples>> {
        let folder = world::scratch_folder().unwrap();
        world::write_atomic(&folder.path().join("a.npz"), |file| file.write_all(bytes)).unwrap();
        Npz { path: "a.npz".to_owned(), inputs: x(), labels: labels.map(str::to_owned) }.open(folder.path())
    }

    fn code(bytes: &[u8], labels: Option<&str>) -> Code {
        open(bytes, labels).err().unwrap().code()
    }

    #[test]
    fn bytes_of_three_axes_are_images_with_classes() {
        let y = npy("<i8", "(2,)", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let bytes = zipped(&[("x", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 4])), ("y", y)]);
        let samples = open(&bytes, None).unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples.item_type(), ItemType::Image { height: Some(1), width: Some(2), channels: 1 });
        let image = Image { height: 1, width: 2, channels: 1, data: vec![3, 4] };
        assert_eq!(samples.load(1).unwrap(), Item::Image(image));
        assert_eq!(samples.labels().names(), ["0", "1", "2"]);
        assert!(samples.name(1).starts_with("row 1 of ") && samples.name(1).ends_with("a.npz"));
        assert_ne!(samples.content(0).unwrap(), samples.content(1).unwrap());
    }

    #[test]
    fn other_inputs_are_arrays_and_other_labels_values() {
        let numbers: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = zipped(&[("x", npy("<f4", "(2, 2)", &numbers)), ("t", npy("|u1", "(2, 2)", &[0, 1, 1, 0]))]);
        let samples = open(&bytes, Some("t")).unwrap();
        assert_eq!(samples.load(1).unwrap(), Item::Array { shape: vec![2], data: vec![3.0, 4.0] });
        assert_eq!(*samples.labels(), Labels::Values { data: vec![0.0, 1.0, 1.0, 0.0], width: 2 });
        assert_eq!(*open(&bytes, None).unwrap().labels(), Labels::None);
        // Four channels are no image; one column of integers is classes.
        let bytes = zipped(&[("x", npy("|u1", "(1, 1, 1, 4)", &[1, 2, 3, 4])), ("y", npy("|u1", "(1, 1)", &[1]))]);
        let samples = open(&bytes, None).unwrap();
        assert_eq!(samples.item_type(), ItemType::Array { shape: vec![1, 1, 4] });
        assert_eq!(*samples.labels(), Labels::Classes { ids: vec![1], names: vec!["0".into(), "1".into()] });
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let x = || ("x", npy("|u1", "(2, 2)", &[1, 2, 3, 4]));
        let error = open(&zipped(&[x(), ("labels", npy("|u1", "(2,)", &[0, 1]))]), Some("label")).err().unwrap();
        assert_eq!((error.code(), error.help_text()), (Code::DataColumn, Some("did you mean `labels`?")));
        assert_eq!(code(&zipped(&[("images", npy("|u1", "(1,)", &[1]))]), None), Code::DataColumn);
        assert_eq!(code(&zipped(&[x(), ("y", npy("|i1", "(2,)", &[0, 255]))]), None), Code::LabelRange);
        assert_eq!(code(&zipped(&[x(), ("y", npy("<f2", "(2,)", &[0, 0, 0, 0x7e]))]), None), Code::LabelRange);
        assert_eq!(code(&zipped(&[x(), ("y", npy("|u1", "(3,)", &[0, 1, 2]))]), None), Code::DataCorrupt);
        assert_eq!(code(&zipped(&[("x", npy("|u1", "(0, 2)", &[]))]), None), Code::DataEmpty);
        assert_eq!(code(&zipped(&[("x", npy("|u1", "()", &[1]))]), None), Code::DataCorrupt);
        assert_eq!(code(b"not a zip", None), Code::DataCorrupt);
        assert_eq!(code(b"", None), Code::DataCorrupt);
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let bytes = zipped(&[("x", npy("|u1", "(2, 2, 2)", &[1; 8])), ("y", npy("|u1", "(2,)", &[0, 1]))]);
        super::super::flip::bytes(&bytes, 150, |bytes| {
            if let Ok(samples) = open(bytes, None) {
                (0..samples.len()).for_each(|index| drop(samples.load(index)));
            }
        });
    }
}
