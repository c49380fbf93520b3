//! Hostile data files, archives, images and checkpoints.

use super::{Case, Reader};
use crate::fuzzing::corpus::{PROGRESS, checkpoint, gzip, idx, npy, zipped};
use serde_json::{Value, json};
use std::io::Write;

fn source(
    name: &'static str,
    kind: &'static str,
    config: Value,
    bytes: impl Into<Vec<u8>>,
    said: &'static str,
) -> Case {
    Case::new(name, Reader::Source(kind, config), bytes, "P0502", said)
}

/// An archive whose array `x` is this.
fn array(name: &'static str, bytes: &[u8], said: &'static str) -> Case {
    source(name, "npz", json!({"path": "input"}), zipped(&[("x.npy", bytes)]), said)
}

fn archive(name: &'static str, bytes: Vec<u8>, said: &'static str) -> Case {
    source(name, "npz", json!({"path": "input"}), bytes, said)
}

fn arrays() -> Vec<Case> {
    let long = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{"].concat();
    let fields = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n";
    let fields = [b"\x93NUMPY\x01\x00", &(fields.len() as u16).to_le_bytes()[..], fields.as_bytes(), &[0; 4]].concat();
    vec![
        array("npy-overflows", &npy("<f4", false, "(4611686018427387904, 8)", &[]), "overflows"),
        array("npy-turned-overflows", &npy("<f8", true, "(4611686018427387904, 0)", &[]), "overflows"),
        array("npy-hides", &npy("<f4", false, "(0, 4611686018427387904, 8)", &[]), "overflows"),
        array("npy-claims", &npy("<f4", false, "(1099511627776,)", &[0; 8]), "more than the file can hold"),
        array("npy-negative", &npy("<f4", false, "(-1,)", &[0; 8]), "the shape is"),
        array("npy-pickles", &npy("|O8", false, "(1,)", b"cposix\n"), "unpickled"),
        array("npy-fields", &fields, "structured arrays are not read"),
        array("npy-header-long", &long, "is not read"),
        array("npy-header-cut", b"\x93NUMPY\x01\x00\xff\xff{", "ends inside its header"),
        array("npy-scalar", &npy("<f4", false, "()", &[0; 4]), "single number"),
    ]
}

/// An archive whose directory says that an entry unpacks to nearly 4 GiB, in place of what it is.
fn claims() -> Vec<u8> {
    let mut bytes = zipped(&[("x.npy", &npy("<f4", false, "(1000000000,)", &[0; 64]))]);
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    bytes
}

fn archives() -> Vec<Case> {
    let good = npy("<f4", false, "(2, 2)", &[0; 16]);
    let whole = zipped(&[("x.npy", &good)]);
    let mut many = whole.clone();
    // The end record says that there are 65534 entries.
    let end = many.len() - 22;
    many[end + 8..end + 12].copy_from_slice(&[0xfe, 0xff, 0xfe, 0xff]);
    let mut secret = whole.clone();
    let directory = secret.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    secret[6] |= 1;
    secret[directory + 8] |= 1;
    let above = zipped(&[("../../x.npy", &good), ("/etc/x.npy", &good), ("C:\\x.npy", &good)]);
    let mut bomb = npy("|u1", false, "(400000000,)", &[]);
    bomb.resize(bomb.len() + 400_000_000, 0);
    vec![
        archive("zip-empty", Vec::new(), "cannot decode"),
        archive("zip-cut", whole[..whole.len() / 2].to_vec(), "cannot decode"),
        archive("zip-entries", many, "cannot decode"),
        archive("zip-secret", secret, "cannot decode"),
        archive("zip-claims", claims(), "more than the file can hold"),
        archive("zip-bomb", zipped(&[("x.npy", &bomb)]), "more than the file can hold"),
        Case { expect: ("P0506", "has no array `x`"), ..archive("zip-above", above, "") },
    ]
}

/// Packed text whose size is 256 MiB, in far less.
fn rows() -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = b"1\n".repeat(1 << 19);
    (0..200).for_each(|_| packed.write_all(&block).unwrap());
    packed.finish().unwrap()
}

fn tables() -> Vec<Case> {
    let csv =
        |name, bytes: Vec<u8>, said| source(name, "csv", json!({"path": "input", "features": "rest"}), bytes, said);
    let images = json!({"path": "input", "image": "file"});
    let wide = format!("{}\n{}\n", vec!["a"; 200_000].join(","), vec!["1"; 199_999].join(","));
    vec![
        csv("table-rows", rows(), "bytes of memory"),
        csv("table-ragged", b"a,b\n1\n".to_vec(), "has 1 cells, the first row has 2"),
        csv("table-wide", wide.into_bytes(), "cells, the first row has 200000"),
        csv("table-bytes", b"a,b\n\xff\xfe,1\n".to_vec(), "not UTF-8"),
        csv("table-nan", b"a\nnan\n".to_vec(), "no finite number"),
        csv("table-infinite", b"a\n1e999\n".to_vec(), "no finite number"),
        csv("table-quote", b"a,b\n\"1,2\n3,4\n".to_vec(), "cells"),
        csv("table-gzip-cut", gzip(b"a,b\n1,2\n")[..15].to_vec(), "gzip"),
        source("table-image-outside", "csv", images, b"file\n../secret\n".to_vec(), "neither a JPEG nor a PNG"),
    ]
}

fn blocks() -> Vec<Case> {
    let of = |name, bytes: Vec<u8>, said| source(name, "idx", json!({"images": "input"}), bytes, said);
    let cifar = |name, bytes: Vec<u8>, said| {
        source(name, "cifar10", json!({"path": "", "split": "test"}), b"unused".to_vec(), said)
            .file("test_batch.bin", bytes)
    };
    vec![
        of("idx-overflows", idx(8, &[u32::MAX; 8], &[]), "does not fit"),
        of("idx-claims", idx(8, &[1 << 30, 28, 28], &[0; 64]), "does not fit"),
        of("idx-hides", idx(13, &[0, u32::MAX, u32::MAX, u32::MAX], &[]), "does not fit"),
        of("idx-rank", idx(8, &[], &[]), "inside its header of rank 0"),
        of("idx-rank-255", vec![0, 0, 8, 255], "inside its header of rank 255"),
        of("idx-type", idx(0x42, &[1], &[0]), "its element type is 0x42"),
        of("idx-nothing", idx(8, &[u32::MAX, 0, u32::MAX], &[]), "hold nothing"),
        of("idx-gzip-bomb", gzip(&[vec![0, 0, 8, 1], vec![0; 300 << 20]].concat()), "unpack to more than"),
        cifar("cifar-size", vec![0; 3072], "not a multiple"),
        cifar("cifar-label", vec![10; 3073], "has the label 10"),
    ]
}

/// A PNG that says how large it is and holds next to nothing.
fn png(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, color, 0, 0, 0]].concat();
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&[0; 64]).unwrap();
    let data = packed.finish().unwrap();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", &[])].concat()
}

fn images() -> Vec<Case> {
    let of = |name, bytes: Vec<u8>, said| Case::new(name, Reader::Image, bytes, "P0502", said);
    // A frame of 65535 × 65535 and nothing in its scan.
    let frame = [
        &[0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0][..],
        &[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0, 0xff, 0xd9],
    ]
    .concat();
    let mut wrong = png(1, 1, 8, 2);
    wrong[20] ^= 1;
    vec![
        of("png-bomb", png(200_000, 200_000, 16, 6), "cannot decode"),
        of("png-size", png(u32::MAX, u32::MAX, 8, 2), "cannot decode"),
        of("png-nothing", png(0, 0, 8, 2), "cannot decode"),
        of("png-short", png(10_000, 10_000, 8, 0), "cannot decode"),
        of("png-checksum", wrong, "cannot decode"),
        of("png-depth", png(1, 1, 7, 9), "cannot decode"),
        of("jpeg-bomb", frame, "cannot decode"),
        of("jpeg-cut", vec![0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff], "truncated"),
        of("image-other", b"GIF89a\xff\xff\xff\xff".to_vec(), "neither a JPEG nor a PNG"),
    ]
}

fn checkpoints() -> Vec<Case> {
    let of = |name, bytes: Vec<u8>, said| Case::new(name, Reader::Checkpoint, bytes, "P0603", said);
    let whole = checkpoint(PROGRESS, "weight/fc");
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let claims = r#"{"weight/w":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,0]}}"#;
    let behind = r#"{"weight/w":{"dtype":"F32","shape":[1024],"data_offsets":[0,4096]}}"#;
    vec![
        of("checkpoint-empty", Vec::new(), "cannot be used"),
        of("checkpoint-header", u64::MAX.to_le_bytes().to_vec(), "cannot be used"),
        of("checkpoint-cut", whole[..whole.len() - 1].to_vec(), "cannot be used"),
        of("checkpoint-overflows", header(claims), "cannot be used"),
        of("checkpoint-behind", header(behind), "cannot be used"),
        of("checkpoint-nested", header(&"[".repeat(100_000)), "cannot be used"),
        of("checkpoint-no-progress", checkpoint("", "weight/fc"), "cannot be used"),
        of("checkpoint-name", checkpoint(PROGRESS, "../../fc"), "unknown tensor `../../fc`"),
        of(
            "checkpoint-counts",
            checkpoint(&PROGRESS.replace("\"step\":4", "\"step\":18446744073709551615"), "weight/fc"),
            "more steps than any run",
        ),
    ]
}

/// A folder of images that leads into itself.
fn folders() -> Vec<Case> {
    let circle =
        source("folder-circle", "image_folder", json!({"path": "images"}), b"unused".to_vec(), "nested deeper than");
    vec![circle.file("images/cat/note.txt", b"x".to_vec()).link("images/cat/again", "../../images")]
}

pub(super) fn cases() -> Vec<Case> {
    [arrays(), archives(), tables(), blocks(), images(), checkpoints(), folders()].into_iter().flatten().collect()
}
