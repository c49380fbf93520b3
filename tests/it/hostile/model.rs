//! Hostile ONNX files.

use super::{Case, Reader};
use crate::scene::mlp;
use pipe::ir::onnx;
use pipe::ir::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use prost::Message;

fn case(name: &'static str, bytes: Vec<u8>, code: &'static str, said: &'static str) -> Case {
    Case::new(name, Reader::Model, bytes, code, said)
}

fn value(name: &str) -> ValueInfoProto {
    let dim = tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(4)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto { dim: vec![dim] }) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.to_owned()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn import(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) }
}

/// x [4] → nodes → y
fn model(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ModelProto {
    let graph = GraphProto {
        name: Some("g".to_owned()),
        node: nodes,
        initializer: initializers,
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    ModelProto { ir_version: Some(9), opset_import: vec![import("", 18)], graph: Some(graph), ..ModelProto::default() }
}

fn tensor(kind: i32, dims: &[i64], raw: &[u8]) -> TensorProto {
    TensorProto {
        name: Some("w".to_owned()),
        data_type: Some(kind),
        dims: dims.to_vec(),
        raw_data: Some(raw.to_vec()),
        ..TensorProto::default()
    }
}

/// x + w, for a `w` that lies.
fn weight(name: &'static str, weight: TensorProto, code: &'static str, said: &'static str) -> Case {
    case(name, model(vec![node("Add", &["x", "w"], "y")], vec![weight]).encode_to_vec(), code, said)
}

/// x + w, where `w` lies in another file.
fn outside(name: &'static str, entries: &[(&str, &str)], said: &'static str) -> Case {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    let w = TensorProto {
        raw_data: None,
        data_location: Some(1),
        external_data: entries.iter().map(entry).collect(),
        ..tensor(1, &[4], &[])
    };
    weight(name, w, "P0310", said).file("ok", [0; 64]).file("folder/inside", [0; 64])
}

fn external() -> Vec<Case> {
    vec![
        outside("external-above", &[("location", "../secret")], "points to `../secret`"),
        outside("external-around", &[("location", "folder/../../secret")], "points to"),
        outside("external-absolute", &[("location", "/etc/passwd")], "points to `/etc/passwd`"),
        outside("external-drive", &[("location", "C:\\secret")], "points to"),
        outside("external-drive-slash", &[("location", "C:/secret")], "points to"),
        outside("external-share", &[("location", "\\\\host\\share\\secret")], "points to"),
        outside("external-nul", &[("location", "ok\0")], "points to"),
        outside("external-nothing", &[("location", "")], "points to"),
        outside("external-folder", &[("location", "folder")], "leads out"),
        outside("external-missing", &[("location", "gone")], "cannot be opened"),
        outside(
            "external-offset",
            &[("location", "ok"), ("offset", "18446744073709551615")],
            "needs bytes 18446744073709551615",
        ),
        outside("external-behind", &[("location", "ok"), ("offset", "56")], "which has 64"),
        outside("external-negative", &[("location", "ok"), ("offset", "-8")], "not a size"),
        outside(
            "external-length",
            &[("location", "ok"), ("length", "9223372036854775807")],
            "its type and shape need 16",
        ),
        outside("external-link", &[("location", "link")], "leads out").link("link", "../secret"),
        outside("external-device", &[("location", "link")], "leads out").link("link", "/dev/zero"),
        outside("external-link-folder", &[("location", "up/secret")], "leads out").link("up", ".."),
        outside("external-link-circle", &[("location", "link")], "cannot be opened").link("link", "link"),
    ]
}

/// A model that calls function `f0`, whose bodies are made from their numbers.
fn functions(count: usize, body: impl Fn(usize) -> Vec<NodeProto>) -> Vec<u8> {
    let call = |number: usize| NodeProto { domain: Some("own".to_owned()), ..node(&format!("f{number}"), &["x"], "y") };
    let function = |number: usize| FunctionProto {
        name: Some(format!("f{number}")),
        domain: Some("own".to_owned()),
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        node: body(number),
        opset_import: vec![import("", 18), import("own", 1)],
        ..FunctionProto::default()
    };
    let mut model = model(vec![call(0)], Vec::new());
    model.opset_import.push(import("own", 1));
    model.functions = (0..count).map(function).collect();
    model.encode_to_vec()
}

fn calls(number: usize, count: usize) -> Vec<NodeProto> {
    let call = |i: usize| {
        let (from, to) = (
            if i == 0 { "x".to_owned() } else { format!("v{i}") },
            if i + 1 == count { "y".to_owned() } else { format!("v{}", i + 1) },
        );
        NodeProto { domain: Some("own".to_owned()), ..node(&format!("f{number}"), &[&from], &to) }
    };
    (0..count).map(call).collect()
}

/// Bodies in bodies.
fn nested(depth: usize) -> Vec<u8> {
    let mut body = GraphProto { name: Some("deep".to_owned()), ..GraphProto::default() };
    for _ in 0..depth {
        let branch = AttributeProto {
            name: Some("then_branch".to_owned()),
            r#type: Some(5),
            g: Some(body),
            ..Default::default()
        };
        let holder = NodeProto { attribute: vec![branch], ..node("If", &["c"], "o") };
        body = GraphProto { name: Some("deep".to_owned()), node: vec![holder], ..GraphProto::default() };
    }
    ModelProto { graph: Some(body), ..model(Vec::new(), Vec::new()) }.encode_to_vec()
}

/// Weights and fillings that lie about their sizes.
fn sizes() -> Vec<Case> {
    let huge = 1i64 << 62;
    let shape = |dims: &[i64]| TensorProto {
        name: Some("s".to_owned()),
        ..tensor(7, &[dims.len() as i64], &dims.iter().flat_map(|dim| dim.to_le_bytes()).collect::<Vec<_>>())
    };
    let filled = |dims: &[i64]| {
        model(vec![node("ConstantOfShape", &["s"], "c"), node("Add", &["x", "c"], "y")], vec![shape(dims)])
            .encode_to_vec()
    };
    let sparse = |dims: &[i64]| {
        let mut made = model(vec![node("Add", &["x", "w"], "y")], Vec::new());
        let indices = TensorProto { name: None, ..tensor(7, &[1], &0i64.to_le_bytes()) };
        let graph = made.graph.as_mut().unwrap();
        graph.sparse_initializer = vec![SparseTensorProto {
            values: Some(tensor(1, &[1], &[0; 4])),
            indices: Some(indices),
            dims: dims.to_vec(),
        }];
        made.encode_to_vec()
    };
    vec![
        weight("weight-negative", tensor(1, &[-1], &[]), "P0302", "has the dimension -1"),
        weight("weight-overflows", tensor(1, &[huge, huge], &[]), "P0302", "is too large"),
        weight("weight-claims", tensor(1, &[1 << 40], &[0; 8]), "P0302", "has 8 bytes"),
        weight("weight-claims-nothing", tensor(1, &[1 << 40], &[]), "P0302", "0 elements in float_data"),
        weight("weight-hides", tensor(1, &[0, huge, huge, huge], &[]), "P0302", "is too large"),
        weight("weight-type", tensor(99, &[1], &[0; 4]), "P0302", "unknown element type 99"),
        weight("weight-strings", tensor(8, &[1], &[0; 4]), "P0213", "elements of type"),
        case("filled-huge", filled(&[1 << 40, -1]), "P0302", "P0302"),
        case("filled-overflows", filled(&[huge, huge, -1]), "P0302", "P0302"),
        case("filled-negative", filled(&[-4]), "P0302", "P0302"),
        case("sparse-huge", sparse(&[1 << 40]), "P0302", "too large"),
        case("sparse-outside", sparse(&[0]), "P0302", "out of range"),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let whole = onnx::encode(&mlp());
    let relu = || vec![node("Relu", &["x"], "y")];
    let versions = |imports| ModelProto { opset_import: imports, ..model(relu(), Vec::new()) }.encode_to_vec();
    let mut lengths = whole.clone();
    // The length of the first message becomes 2⁶³.
    let at = lengths.iter().position(|byte| *byte == 0x3a).unwrap() + 1;
    lengths.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let mut cases = vec![
        case("model-empty", Vec::new(), "P0301", "P0301"),
        case("model-pickle", b"\x80\x04\x95cposix\nsystem\n(S'echo hostile'\ntR.".to_vec(), "P0301", "P0301"),
        case(
            "model-lfs",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".to_vec(),
            "P0007",
            "git",
        ),
        case("model-cut", whole[..whole.len() / 2].to_vec(), "P0301", "P0301"),
        case("model-lengths", lengths, "P0301", "P0301"),
        case("model-varints", vec![0xff; 4096], "P0301", "P0301"),
        case("bodies-nested", nested(200), "P0301", "P0301"),
        case(
            "nodes-in-a-circle",
            model(vec![node("Add", &["x", "b"], "a"), node("Neg", &["a"], "y"), node("Neg", &["y"], "b")], vec![])
                .encode_to_vec(),
            "P0302",
            "P0302",
        ),
        case("node-of-itself", model(vec![node("Relu", &["y"], "y")], vec![]).encode_to_vec(), "P0302", "P0302"),
        case(
            "value-twice",
            model(vec![node("Relu", &["x"], "y"), node("Neg", &["x"], "y")], vec![]).encode_to_vec(),
            "P0302",
            "P0302",
        ),
        case("value-missing", model(vec![node("Relu", &["z"], "y")], vec![]).encode_to_vec(), "P0302", "P0302"),
        case("opset-ahead", versions(vec![import("", i64::MAX)]), "P0303", "P0303"),
        case("opset-negative", versions(vec![import("", i64::MIN)]), "P0303", "P0303"),
        case("function-of-itself", functions(1, |_| calls(0, 1)), "P0302", "calls itself or grows without end"),
        case(
            "functions-grow",
            functions(40, |number| if number == 39 { relu() } else { calls(number + 1, 10) }),
            "P0302",
            "calls itself or grows without end",
        ),
    ];
    cases.extend(sizes());
    cases.extend(external());
    cases
}
