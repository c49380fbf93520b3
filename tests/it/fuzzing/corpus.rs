//! Makes the binary files of the corpus. `PIPE_BLESS=1` writes them; crashers and texts lie beside them.

use super::folder;
use crate::scene::{Net, cnn, mlp};
use flate2::{Compression, write::GzEncoder};
use image::{ColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};
use pipe::ir::onnx::proto::{self, StringStringEntryProto};
use pipe::ir::{Attr, Builder, DType, Graph, Tensor, onnx};
use pipe::world;
use prost::Message;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::io::Write;

type File = (&'static str, Vec<u8>);

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

pub(crate) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// An array of NumPy.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &str, elements: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), elements].concat()
}

/// An array in IDX format.
pub(crate) fn idx(kind: u8, shape: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|dim| dim.to_be_bytes()));
    [bytes, elements.to_vec()].concat()
}

/// A checkpoint with a progress and a tensor.
pub(crate) fn checkpoint(progress: &str, name: &str) -> Vec<u8> {
    let data = [0u8; 24];
    let view = TensorView::new(Dtype::F32, vec![2, 3], &data).unwrap();
    let metadata = HashMap::from([("progress".to_owned(), progress.to_owned())]);
    safetensors::serialize([(name, view)], Some(metadata)).unwrap()
}

/// Tensors by name, as `pipe bench --feeds` reads them.
fn feeds(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(*dtype, shape.to_vec(), data).unwrap();
        (*name, view)
    });
    safetensors::serialize(views, None).unwrap()
}

pub(crate) const PROGRESS: &str = r#"{"spec":"{}","phase":0,"epoch":1,"phase_done":false,"epochs_total":1,"step":4,"length":8,
"steps_total":4,"counts":{"fc":4},"best":4602678819172646912,"watched":null,"stale":0,"metrics_bytes":100}"#;

fn png(color: ColorType, width: u32, height: u32) -> Vec<u8> {
    let bytes = width as usize * height as usize * usize::from(color.bytes_per_pixel());
    let data: Vec<u8> = (0..bytes).map(|i| (i * 7) as u8).collect();
    let mut out = Vec::new();
    PngEncoder::new(&mut out).write_image(&data, width, height, color.into()).unwrap();
    out
}

fn jpeg(color: ColorType, quality: u8) -> Vec<u8> {
    let data: Vec<u8> = (0..8 * 9 * usize::from(color.bytes_per_pixel())).map(|i| (i * 3) as u8).collect();
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality).write_image(&data, 8, 9, color.into()).unwrap();
    out
}

/// Nodes with attributes of every kind, constants, a body, and weights hidden in nodes.
fn many() -> Graph {
    let Net { mut graph, at } = Net::new(&[2, 6, 6]).conv("conv", 2, 4).batch_norm("bn", 4).op("relu", "Relu");
    let shape = graph.add_initializer("shape", Tensor::vector(&[4i64, 1, 1]));
    let scales = graph.add_initializer("scales", Tensor::vector(&[1.0f32, 1.0, 2.0, 2.0]));
    let mut b = Builder::new(&mut graph, "many");
    let value = Attr::Tensor(Tensor::vector(&[0.5f32]));
    let filled = b.op_with("ConstantOfShape", &[shape], &[("value", value)]);
    let at = b.add(at, filled);
    let roi = b.graph.add_initializer("roi", Tensor::vector(&[0.0f32; 0]));
    let mode = [
        ("mode", Attr::Str(b"linear".to_vec())),
        ("coordinate_transformation_mode", Attr::Str(b"half_pixel".to_vec())),
    ];
    let at = b.op_with("Resize", &[at, roi, scales], &mode);
    let at = b.op_with("GlobalAveragePool", &[at], &[]);
    let at = b.reshape(at, &[-1, 4]);
    let at = b.cast(at, DType::F16);
    let at = b.cast(at, DType::F32);
    Net { graph, at }.linear("fc", 4, 3).done()
}

/// The same model under an old opset, with a function, metadata, a sparse initializer, and external data that is not there.
fn strange() -> Vec<u8> {
    let mut model = proto::ModelProto::decode(onnx::encode(&mlp()).as_slice()).unwrap();
    model.opset_import[0].version = Some(9);
    let entry =
        |key: &str, value: &str| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) };
    model.metadata_props.push(entry("a", "b"));
    let graph = model.graph.as_mut().unwrap();
    let tensor = &mut graph.initializer[0];
    tensor.raw_data = None;
    tensor.data_location = Some(1);
    tensor.external_data = vec![entry("location", "weights.bin"), entry("offset", "0")];
    model.encode_to_vec()
}

fn made(target: &str) -> Vec<File> {
    let floats: Vec<u8> = (0..24u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let labels: Vec<u8> = (0..4i64).flat_map(i64::to_le_bytes).collect();
    let table = b"a,b,label\n1,2.5,x\n-3e2,4,y\n\"5\",6,x\n";
    let pixels: Vec<u8> = (0..3073u32).map(|i| (i % 251) as u8).collect();
    match target {
        "checkpoint" => vec![
            ("weight.safetensors", checkpoint(PROGRESS, "weight/fc")),
            ("average.safetensors", checkpoint(PROGRESS, "average/fc")),
            ("nothing.safetensors", checkpoint("", "best/fc")),
        ],
        "cifar10" => vec![("one.bin", pixels.clone()), ("two.bin", [&pixels[..], &pixels].concat())],
        "csv" => vec![
            ("table.csv", table.to_vec()),
            ("table.csv.gz", gzip(table)),
            ("blanks.txt", b"1 2  x\n3\t4 y\n".to_vec()),
        ],
        "feeds" => vec![
            (
                "classes.safetensors",
                feeds(&[("x", Dtype::F32, &[4, 6], &floats), ("labels", Dtype::I64, &[4], &labels)]),
            ),
            (
                "values.safetensors",
                feeds(&[("ids", Dtype::I32, &[8, 3], &floats), ("labels", Dtype::F32, &[8, 3], &floats)]),
            ),
            (
                "kinds.safetensors",
                feeds(&[
                    ("half", Dtype::F16, &[2], &[0, 60, 1, 2]),
                    ("mask", Dtype::BOOL, &[2, 2], &[0, 1, 1, 0]),
                    ("double", Dtype::F64, &[], &floats[..8]),
                    ("bytes", Dtype::U8, &[1, 3], &[1, 2, 3]),
                ]),
            ),
        ],
        "idx" => vec![
            ("images.idx", idx(8, &[3, 2, 2], &[7; 12])),
            ("labels.idx", idx(8, &[3], &[0, 1, 2])),
            ("floats.idx", idx(13, &[4, 6], &floats)),
            ("images.idx.gz", gzip(&idx(8, &[3, 2, 2], &[7; 12]))),
        ],
        "image" => vec![
            ("rgb8.png", png(ColorType::Rgb8, 5, 4)),
            ("la16.png", png(ColorType::La16, 3, 3)),
            ("rgba8.png", png(ColorType::Rgba8, 4, 4)),
            ("l8.png", png(ColorType::L8, 17, 1)),
            ("rgb.jpg", jpeg(ColorType::Rgb8, 70)),
            ("l.jpg", jpeg(ColorType::L8, 20)),
        ],
        "npz" => vec![
            (
                "arrays.npz",
                zipped(&[
                    ("x.npy", &npy("<f4", false, "(4, 6)", &floats)),
                    ("y.npy", &npy("<i8", false, "(4,)", &labels)),
                ]),
            ),
            ("floats.npy", npy("<f4", false, "(4, 6)", &floats)),
            ("turned.npy", npy(">f4", true, "(2, 3, 4)", &floats)),
            ("bytes.npy", npy("|u1", false, "(2, 4, 4, 3)", &floats)),
        ],
        "onnx" => vec![
            ("mlp.onnx", onnx::encode(&mlp())),
            ("cnn.onnx", onnx::encode(&cnn())),
            ("many.onnx", onnx::encode(&many())),
            ("loop.onnx", onnx::encode(&crate::bad_input::endless())),
            ("strange.onnx", strange()),
        ],
        _ => Vec::new(),
    }
}

#[test]
fn the_corpus_is_what_the_code_makes() {
    for (target, _) in super::targets::TARGETS {
        for (name, bytes) in made(target) {
            let path = folder(target).join(name);
            if world::env::var("PIPE_BLESS").is_some() {
                world::create_dir_all(&folder(target)).unwrap();
                world::write_atomic(&path, |out| out.write_all(&bytes)).unwrap();
            }
            let found = if world::is_file(&path) { world::read(&path).unwrap() } else { Vec::new() };
            // Packed files differ with the release of the library that packs them.
            let packed = ["gz", "npz", "png", "jpg"].iter().any(|end| name.ends_with(end));
            assert!(
                if packed { !found.is_empty() } else { found == bytes },
                "{target}/{name}; `PIPE_BLESS=1` writes it"
            );
        }
    }
}
