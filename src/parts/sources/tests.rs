//! Every source on good input, and on input that lies.

use super::npy::tests::npy;
use super::{Item, ItemType, Labels, Samples, Sources};
use crate::diag::{Code, Diagnostic, Result};
use crate::parts::Family;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        crate::world::create_dir_all(path.parent().unwrap()).unwrap();
        crate::world::write_atomic(&path, |file| file.write_all(bytes)).unwrap();
    }
    folder
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the configuration as a literal")]
fn open(kind: &str, config: Value, base: &Path) -> Result<Box<dyn Samples>> {
    (Sources::rows().iter().find(|row| row.kind.name == kind).unwrap().build)(&config)?.open(base)
}

#[track_caller]
fn fails(result: Result<Box<dyn Samples>>, code: Code, text: &str) {
    let error = result.err().expect("an error");
    says(&error, code, text);
}

#[track_caller]
fn says(error: &Diagnostic, code: Code, text: &str) {
    let all = format!("{} {:?} {:?}", error.message(), error.notes(), error.help_text());
    assert_eq!(error.code(), code, "{all}");
    assert!(all.contains(text), "{all} / {text}");
}

fn png(height: u32, width: u32, value: u8) -> Vec<u8> {
    use image::ImageEncoder;
    let mut bytes = Vec::new();
    let pixels = vec![value; (height * width * 3) as usize];
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&pixels, width, height, image::ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn jpeg() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/transforms/images/rgb.jpg");
    crate::world::read(&path).unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn idx(kind: u8, shape: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, shape.len() as u8];
    for dim in shape {
        bytes.extend_from_slice(&dim.to_be_bytes());
    }
    bytes.extend_from_slice(elements);
    bytes
}

#[test]
fn rows_are_sorted_and_documented() {
    let names: Vec<&str> = Sources::rows().iter().map(|row| row.kind.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(Sources::rows().iter().all(|row| row.kind.doc.contains("```yaml")));
}

#[test]
fn image_folder_sorts_classes_and_files() {
    let (a, b) = (png(2, 3, 1), png(2, 3, 2));
    let folder = folder(&[
        ("d/b/2.PNG", &a),
        ("d/b/sub/1.png", &b),
        ("d/a/x.JPG", &jpeg()),
        ("d/b/.hidden.png", b"no"),
        ("d/a/notes.txt", b""),
    ]);
    let samples = open("image_folder", json!({"path": "d"}), folder.path()).unwrap();
    assert_eq!(samples.labels(), &Labels::Classes { ids: vec![0, 1, 1], names: vec!["a".into(), "b".into()] });
    assert!(samples.name(1).ends_with("2.PNG") && samples.name(2).ends_with("1.png"));
    let Item::Image(image) = samples.load(2).unwrap() else { panic!("an image") };
    assert_eq!((image.height, image.width, image.data[0]), (2, 3, 2));
    assert_ne!(samples.content(1).unwrap(), samples.content(2).unwrap());
    let plain = open("image_folder", json!({"path": "d", "labels": false}), folder.path()).unwrap();
    assert_eq!((plain.len(), plain.labels()), (3, &Labels::None));
    let fixed = json!({"path": "d", "classes": ["b", "c", "a"]});
    let Labels::Classes { ids, .. } = open("image_folder", fixed, folder.path()).unwrap().labels().clone() else {
        panic!("classes")
    };
    assert_eq!(ids, [2, 0, 0]);
    fails(open("image_folder", json!({"path": "d", "classes": ["b"]}), folder.path()), Code::LabelRange, "class `a`");
}

#[test]
fn image_folder_says_what_is_missing() {
    let folder = folder(&[("d/a/1.png", b"x"), ("e/a/1.txt", b""), ("f/1.png", b""), ("g/a/1.webp", b"")]);
    let at = |path: &str| open("image_folder", json!({ "path": path }), folder.path());
    fails(at("nowhere"), Code::DataMissing, "does not exist");
    fails(at("f/1.png"), Code::DataMissing, "not a folder");
    fails(at("e"), Code::DataEmpty, "holds no JPEG");
    fails(at("f"), Code::DataEmpty, "no sub-folders");
    fails(at("g"), Code::DataCorrupt, "1.webp");
    says(&at("d").unwrap().load(0).unwrap_err(), Code::DataCorrupt, "neither");
}

#[test]
fn broken_images_are_refused_with_their_cause() {
    let path = Path::new("x");
    let (good_png, good_jpeg) = (png(30, 20, 7), jpeg());
    assert!(super::decode(&good_png, path).is_ok() && super::decode(&good_jpeg, path).is_ok());
    for cut in 0..good_png.len() - 12 {
        says(&super::decode(&good_png[..cut], path).unwrap_err(), Code::DataCorrupt, "`x`");
    }
    for cut in 0..good_jpeg.len() - 1 {
        says(&super::decode(&good_jpeg[..cut], path).unwrap_err(), Code::DataCorrupt, "`x`");
    }
    // A header that claims 2 · 10⁹ × 2 · 10⁹ pixels, with its checksum mended by nobody.
    let mut bomb = good_png.clone();
    bomb[16..24].copy_from_slice(&[0x77, 0x35, 0x94, 0, 0x77, 0x35, 0x94, 0]);
    assert!(super::decode(&bomb, path).is_err());
    let mut wide = good_jpeg.clone();
    let frame = wide.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    wide[frame + 5..frame + 9].fill(0xff);
    says(&super::decode(&wide, path).unwrap_err(), Code::DataCorrupt, "65535 × 65535");
    // Any single byte may be anything: an image or an error, never a panic.
    for at in 0..good_jpeg.len() {
        let mut bytes = good_jpeg.clone();
        bytes[at] ^= 0x55;
        let _ = super::decode(&bytes, path);
    }
}

#[test]
fn cifar10_is_read_plane_by_plane() {
    let mut record = vec![7u8];
    record.extend((0..3072).map(|i| (i / 1024 * 100 + i % 1024 % 7) as u8));
    let mut two = record.clone();
    two.extend(&record);
    let folder = folder(&[
        ("c/test_batch.bin", &two),
        ("bad/test_batch.bin", &two[1..]),
        ("odd/test_batch.bin", &[vec![200], record[1..].to_vec()].concat()),
    ]);
    let at = |path: &str, split: &str| open("cifar10", json!({"path": path, "split": split}), folder.path());
    let samples = at("c", "test").unwrap();
    let Item::Image(image) = samples.load(1).unwrap() else { panic!("an image") };
    assert_eq!(image.data[..6], [0, 100, 200, 1, 101, 201]);
    let Labels::Classes { ids, names } = samples.labels() else { panic!("classes") };
    assert_eq!((ids.as_slice(), names[7].as_str()), ([7i64, 7].as_slice(), "horse"));
    fails(at("c", "train"), Code::DataMissing, "data_batch_1.bin");
    fails(at("bad", "test"), Code::DataCorrupt, "multiple");
    fails(at("odd", "test"), Code::DataCorrupt, "label 200");
}

#[test]
fn idx_reads_raw_and_gzipped_files() {
    let images = idx(8, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let labels = idx(8, &[2], &[1, 0]);
    let floats = idx(13, &[2, 1], &[1.5f32.to_be_bytes(), (-2.0f32).to_be_bytes()].concat());
    let folder = folder(&[
        ("m/train-images-idx3-ubyte.gz", &gz(&images)),
        ("m/train-labels-idx1-ubyte", &labels),
        ("floats", &floats),
        ("short", &images[..images.len() - 1]),
        ("huge", &idx(8, &[u32::MAX, u32::MAX, u32::MAX, u32::MAX], &[])),
        ("one", &idx(8, &[1], &[0])),
        ("torn.gz", &gz(&images)[..20]),
        ("text", b"hello"),
        ("none", &idx(8, &[0, 2, 2], &[])),
    ]);
    let samples = open("idx", json!({"path": "m", "split": "train"}), folder.path()).unwrap();
    assert_eq!(samples.shape(), ItemType::Image { h: Some(1), w: Some(3), channels: 1 });
    let Item::Image(image) = samples.load(1).unwrap() else { panic!("an image") };
    assert_eq!(image.data, [4, 5, 6]);
    assert_eq!(samples.labels(), &Labels::Classes { ids: vec![1, 0], names: vec!["0".into(), "1".into()] });
    let file = |name: &str, labels: Value| open("idx", json!({"images": name, "labels": labels}), folder.path());
    assert_eq!(file("floats", Value::Null).unwrap().load(1).unwrap(), Item::Array { shape: vec![1], data: vec![-2.0] });
    fails(file("short", Value::Null), Code::DataCorrupt, "does not fit");
    fails(file("huge", Value::Null), Code::DataCorrupt, "does not fit");
    fails(file("torn.gz", Value::Null), Code::DataCorrupt, "gzip");
    fails(file("text", Value::Null), Code::DataCorrupt, "two zero bytes");
    fails(file("none", Value::Null), Code::DataEmpty, "no samples");
    fails(file("floats", json!("one")), Code::DataCorrupt, "2 samples, but 1 labels");
    fails(open("idx", json!({"path": "m"}), folder.path()), Code::Conflict, "either");
    fails(open("idx", json!({"path": "m", "split": "test"}), folder.path()), Code::DataMissing, "t10k-images");
}

#[test]
fn npz_tells_images_from_arrays_and_classes_from_values() {
    let good = zip(&[
        ("x.npy", npy("|u1", false, "(2, 1, 2, 3)", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
        ("y.npy", npy("<i8", false, "(2, 1)", &[1i64.to_le_bytes(), 0i64.to_le_bytes()].concat())),
        ("v.npy", npy("<f4", false, "(2, 2)", &[1f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat())),
        ("low.npy", npy("|i1", false, "(2,)", &[0xff, 0])),
        ("big.npy", npy("<i8", false, "(2,)", &[i64::MAX.to_le_bytes(), 0i64.to_le_bytes()].concat())),
        ("lie.npy", npy("<f4", false, "(1000000, 1000000)", &[])),
        ("nan.npy", npy("<f4", false, "(2,)", &[f32::NAN, 0.0].map(f32::to_le_bytes).concat())),
    ]);
    let folder = folder(&[("a.npz", &good), ("torn.npz", &good[..good.len() / 2])]);
    let at = |inputs: &str, labels: Value| {
        open("npz", json!({"path": "a.npz", "inputs": inputs, "labels": labels}), folder.path())
    };
    let samples = at("x", Value::Null).unwrap();
    assert_eq!(samples.shape(), ItemType::Image { h: Some(1), w: Some(2), channels: 3 });
    let Item::Image(image) = samples.load(1).unwrap() else { panic!("an image") };
    assert_eq!(image.data, [7, 8, 9, 10, 11, 12]);
    assert!(matches!(samples.labels(), Labels::Classes { ids, .. } if ids == &[1, 0]));
    let values = Labels::Values { data: vec![1.0, 2.0, 3.0, 4.0], width: 2 };
    assert_eq!(at("v", json!("v")).unwrap().labels(), &values);
    fails(at("z", Value::Null), Code::DataColumn, "`nan`");
    fails(at("x", json!("low")), Code::LabelRange, "class -1");
    fails(at("x", json!("big")), Code::LabelRange, "class 9223372036854775807");
    fails(at("x", json!("nan")), Code::LabelRange, "not finite");
    fails(at("lie", Value::Null), Code::DataCorrupt, "claims");
    fails(open("npz", json!({"path": "torn.npz"}), folder.path()), Code::DataCorrupt, "torn.npz");
}

#[test]
fn csv_reads_images_with_classes() {
    let image = png(2, 2, 9);
    let folder = folder(&[
        ("t/a.csv", b"file,kind,\n1.png,10,x\n2.png,9,x\n1.png,10,y\n"),
        ("t/1.png", &image),
        ("t/2.png", &image),
        ("t/labels.txt", b"1.png  0.33 mono\n2.png\t1.0   poly\n"),
        ("t/gone.csv", b"file,kind\n1.png,a\nno.png,b\n,b\n"),
    ]);
    let samples = open("csv", json!({"path": "t/a.csv", "image": "file", "labels": "kind"}), folder.path()).unwrap();
    assert_eq!(samples.labels(), &Labels::Classes { ids: vec![1, 0, 1], names: vec!["9".into(), "10".into()] });
    assert!(matches!(samples.load(2).unwrap(), Item::Image(image) if image.data[0] == 9));
    let elpv = json!({"path": "t/labels.txt", "delimiter": "whitespace", "header": false, "image": 0, "labels": 1, "threshold": 0.5});
    assert!(
        matches!(open("csv", elpv.clone(), folder.path()).unwrap().labels(), Labels::Classes { ids, .. } if ids == &[0, 1])
    );
    let mut mono = elpv;
    mono["where"] = json!({"2": "mono"});
    assert_eq!(open("csv", mono.clone(), folder.path()).unwrap().len(), 1);
    mono["where"] = json!({"2": "triple"});
    fails(open("csv", mono, folder.path()), Code::DataEmpty, "`where`");
    let at = |config: Value| open("csv", config, folder.path());
    fails(at(json!({"path": "t/a.csv", "image": "fiel"})), Code::DataColumn, "did you mean `file`");
    fails(at(json!({"path": "t/gone.csv", "image": "file"})), Code::DataMissing, "line 3");
    fails(at(json!({"path": "t/a.csv"})), Code::MissingKey, "features");
    fails(at(json!({"path": "t/a.csv", "image": "file", "values": ["file"]})), Code::DataCorrupt, "1.png");
    fails(
        at(json!({"path": "t/a.csv", "image": "file", "labels": "kind", "values": ["kind"]})),
        Code::Conflict,
        "values",
    );
    fails(
        at(json!({"path": "t/a.csv", "image": "file", "labels": "kind", "classes": ["9"]})),
        Code::LabelRange,
        "class `10`",
    );
}

#[test]
fn csv_reads_tables_of_numbers() {
    let digits: String = (0..3).map(|i| format!("{i},{},4,8,{}\n", i + 1, 2 - i)).collect();
    let folder = folder(&[
        ("d.csv.gz", &gz(digits.as_bytes())),
        ("ragged.csv", b"a,b\n1,2\n3\n"),
        ("word.csv", b"a,b\n1,2\n3,four\n"),
        ("inf.csv", b"a,b\n1,inf\n"),
        ("empty.csv", b"a,b\n"),
        ("latin.csv", b"a,b\n\xe9,1\n"),
        ("bomb.csv.gz", &gz(&vec![b'\n'; 300 << 20])),
    ]);
    let config =
        json!({"path": "d.csv.gz", "header": false, "features": "rest", "labels": 4, "shape": [1, 2, 2], "scale": 0.5});
    let samples = open("csv", config, folder.path()).unwrap();
    assert_eq!(samples.load(1).unwrap(), Item::Array { shape: vec![1, 2, 2], data: vec![0.5, 1.0, 2.0, 4.0] });
    assert!(matches!(samples.labels(), Labels::Classes { ids, .. } if ids == &[2, 1, 0]));
    let at = |path: &str, features: Value| open("csv", json!({"path": path, "features": features}), folder.path());
    fails(at("ragged.csv", json!("rest")), Code::DataCorrupt, "line 3");
    fails(at("word.csv", json!("rest")), Code::DataCorrupt, "line 3: column `b` is `four`");
    fails(at("inf.csv", json!(["b"])), Code::DataCorrupt, "finite");
    fails(at("empty.csv", json!("rest")), Code::DataEmpty, "no rows");
    fails(at("latin.csv", json!("rest")), Code::DataCorrupt, "UTF-8");
    fails(at("bomb.csv.gz", json!("rest")), Code::DataCorrupt, "unpack to more");
    let shaped = json!({"path": "d.csv.gz", "header": false, "features": [0, 1], "shape": [3]});
    fails(open("csv", shaped, folder.path()), Code::DataShape, "2 feature columns");
    let values = json!({"path": "d.csv.gz", "header": false, "features": [0], "values": [1, 4]});
    let values = open("csv", values, folder.path()).unwrap();
    assert_eq!(values.labels(), &Labels::Values { data: vec![1.0, 2.0, 2.0, 1.0, 3.0, 0.0], width: 2 });
}
