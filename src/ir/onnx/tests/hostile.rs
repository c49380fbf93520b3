//! Files that are cut short, flipped, or written to do harm: a diagnostic, never a panic and never an allocation by their word.

use super::*;
use crate::ir::onnx::load;
use crate::ir::onnx::proto::StringStringEntryProto;
use crate::world;
use std::path::Path;

#[test]
fn a_cut_file_is_refused_at_every_length() {
    let bytes = sample().bytes();
    for part in 0..16 {
        let cut = &bytes[..bytes.len() * part / 16];
        let error = decode(cut, None).expect_err("a cut file");
        assert!(
            matches!(code(&error), Code::ModelRead | Code::ModelInvalid | Code::OpsetRange),
            "{part}/16: {error:?}"
        );
    }
    for end in 0..bytes.len() {
        let _ = decode(&bytes[..end], None);
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = sample().bytes();
    // A fixed linear congruential sequence; the constants are Knuth's.
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..4000 {
        let mut broken = bytes.clone();
        for _ in 0..=round % 4 {
            let at = next(broken.len());
            broken[at] = next(256) as u8;
        }
        match decode(&broken, None) {
            Ok(loaded) => {
                good += 1;
                let again = crate::ir::onnx::encode(&loaded.graph);
                assert!(decode(&again, None).is_ok(), "round {round} reads but does not write");
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
}

#[test]
fn tensors_that_lie_about_their_size_are_refused() {
    let huge = 1i64 << 62;
    let tensors = [
        raw("w", 1, &[-1], &[]),
        raw("w", 1, &[huge, huge], &[]),
        raw("w", 1, &[huge], &[0; 8]),
        raw("w", 1, &[0, huge, huge, huge], &[]),
        raw("w", 1, &[3], &[0; 8]),
        raw("w", 1, &[1], &[0; 8]),
        raw("w", 7, &[2], &[]),
        raw("w", 99, &[1], &[0; 4]),
        raw("w", 0, &[1], &[0; 4]),
        raw("", 1, &[1], &[0; 4]),
        TensorProto { float_data: vec![1.0; 3], raw_data: None, ..raw("w", 1, &[2], &[]) },
        TensorProto { int32_data: vec![1; 2], raw_data: None, ..raw("w", 10, &[3], &[]) },
    ];
    for tensor in tensors {
        let mut model = Model::new(18).input("x", &[1]).node("Add", "x w", "y", &[]).output("y");
        model.graph().initializer.push(tensor.clone());
        assert_eq!(code(&model.fails()), Code::ModelInvalid, "{tensor:?}");
    }
    for kind in [8, 14, 17, 22] {
        let mut model = Model::new(18).input("x", &[1]).node("Add", "x w", "y", &[]).output("y");
        model.graph().initializer.push(raw("w", kind, &[1], &[0; 4]));
        assert_eq!(code(&model.fails()), Code::NotSupported, "type {kind}");
    }
}

#[test]
fn graphs_that_are_no_graphs_are_refused() {
    let base = || Model::new(18).input("x", &[1]);
    let w = Tensor::scalar(1f32);
    let broken = [
        base().node("Relu", "z", "y", &[]).output("y"),
        base().node("Relu", "x", "y", &[]).output("missing"),
        base().node("Relu", "x", "y", &[]),
        base().node("Relu", "x", "y", &[]).node("Neg", "x", "y", &[]).output("y"),
        base().node("Relu", "y", "y", &[]).output("y"),
        base().node("Add", "x b", "a", &[]).node("Neg", "a", "b", &[]).output("b"),
        base().input("x", &[1]).node("Relu", "x", "y", &[]).output("y"),
        base().weight("w", &w).weight("w", &w).node("Add", "x w", "y", &[]).output("y"),
        base().weight("y", &w).node("Relu", "x", "y", &[]).output("y"),
        base().node("", "x", "y", &[]).output("y"),
        base().node("Constant", "", "y", &[]).output("y"),
        base().node("ConstantOfShape", "s", "y", &[]).weight("s", &Tensor::vector(&[-4i64])).output("y"),
    ];
    for (index, model) in broken.iter().enumerate() {
        let error = model.fails();
        assert_eq!(code(&error), Code::ModelInvalid, "case {index}: {error:?}");
    }
    for bytes in [&b""[..], b"version https://git-lfs", b"\x00\x01\x02", &[0xff; 64]] {
        assert_eq!(code(&decode(bytes, None).expect_err("no model")), Code::ModelRead);
    }
}

#[test]
fn nesting_is_bounded() {
    let mut body = GraphProto { name: Some("deep".to_owned()), ..GraphProto::default() };
    for depth in 0..200 {
        let attr = Attr::Graph { bytes: body.encode_to_vec(), captures: Vec::new() };
        // Past the reader's limit the body no longer decodes; the messages are nested by hand then.
        let mut holder = node("If", "c", &format!("o{depth}"), &[("then_branch", attr)]);
        holder.attribute[0].g = Some(body);
        body = GraphProto { name: Some("deep".to_owned()), node: vec![holder], ..GraphProto::default() };
    }
    let model = ModelProto { graph: Some(body), ..Model::new(18).0 };
    assert_eq!(code(&decode(&model.encode_to_vec(), None).expect_err("too deep")), Code::ModelRead);
}

/// A model whose weight `w` of four floats lies in another file.
fn outside(entries: &[(&str, &str)]) -> Model {
    let mut model = Model::new(18).input("x", &[4]).node("Add", "x w", "y", &[]).output("y");
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    let mut tensor = raw("w", 1, &[4], &[]);
    tensor.raw_data = None;
    tensor.data_location = Some(1);
    tensor.external_data = entries.iter().map(entry).collect();
    model.graph().initializer.push(tensor);
    model
}

fn write(path: &Path, bytes: &[u8]) {
    world::write_atomic(path, |out| out.write_all(bytes)).expect("a writable folder");
}

#[test]
fn external_data_is_read_from_the_models_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    world::create_dir_all(&folder.path().join("sub")).expect("a folder");
    let floats_of = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    write(&folder.path().join("sub/weights.bin"), &floats_of(&[9.0, 1.0, 2.0, 3.0, 4.0]));
    let path = folder.path().join("model.onnx");
    for entries in [
        &[("location", "sub/weights.bin"), ("offset", "4"), ("length", "16")][..],
        &[("location", "./sub/weights.bin"), ("offset", "4")],
    ] {
        write(&path, &outside(entries).bytes());
        let graph = load(&path).expect("a valid model").graph;
        assert_eq!(floats(&graph, "w"), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn external_data_elsewhere_or_too_short_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    world::create_dir_all(&inner.join("dir")).expect("a folder");
    write(&folder.path().join("secret"), &[0; 64]);
    write(&inner.join("ok"), &[0; 64]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path().join("secret"), inner.join("link")).expect("a link");
    let absolute = folder.path().join("inner/ok").display().to_string();
    let path = inner.join("model.onnx");
    let cases: &[&[(&str, &str)]] = &[
        &[("location", "../secret")],
        &[("location", "dir/../../secret")],
        &[("location", "link")],
        &[("location", "dir")],
        &[("location", "missing")],
        &[("location", "")],
        &[("location", "..\\secret")],
        &[("location", &absolute)],
        &[],
        &[("location", "ok"), ("offset", "60")],
        &[("location", "ok"), ("offset", "18446744073709551615")],
        &[("location", "ok"), ("offset", "-1")],
        &[("location", "ok"), ("length", "15")],
        &[("location", "ok"), ("length", "x")],
    ];
    for entries in cases {
        write(&path, &outside(entries).bytes());
        let error = load(&path).expect_err("data outside");
        assert_eq!(code(&error), Code::ExternalData, "{entries:?}: {error:?}");
    }
    assert_eq!(code(&outside(&[("location", "ok")]).fails()), Code::ExternalData);
}
