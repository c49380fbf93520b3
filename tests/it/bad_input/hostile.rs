//! Models that take all memory or time when they are loaded.

use super::{assert_said, scene, spec};
use crate::scene::{Net, mlp};
use pipe::ir::onnx::proto;
use pipe::ir::{Attr, Builder, DType, Graph, Tensor, ValueId};
use prost::Message;

/// Constants of `shape` made from one number, each read by `read`, whose results are added to x [N, 6]; then a layer.
fn hostile(count: usize, shape: &[i64], read: impl Fn(&mut Builder, ValueId) -> ValueId) -> Graph {
    let Net { mut graph, mut at } = Net::new(&[6]);
    let shape = graph.add_initializer("shape", Tensor::vector(shape));
    for index in 0..count {
        let one = graph.add_initializer("one", Tensor::new([1, 1], &[1.0 + index as f32]));
        let mut b = Builder::new(&mut graph, "hostile");
        let large = b.op("Expand", &[one, shape]);
        let read = read(&mut b, large);
        at = b.add(at, read);
    }
    Net { graph, at }.linear("fc3", 6, 3).done()
}

/// x [N, 6] plus the result of a loop of 2^60 rounds; then a layer.
pub(crate) fn endless() -> Graph {
    let value = |name: &str, dtype: DType, dims: usize| {
        let dim = proto::tensor_shape_proto::Dimension {
            value: Some(proto::tensor_shape_proto::dimension::Value::DimValue(1)),
            ..Default::default()
        };
        let tensor = proto::type_proto::Tensor {
            elem_type: Some(dtype as i32),
            shape: Some(proto::TensorShapeProto { dim: vec![dim; dims] }),
        };
        let value = Some(proto::type_proto::Value::TensorType(tensor));
        let r#type = Some(proto::TypeProto { value, ..Default::default() });
        proto::ValueInfoProto { name: Some(name.to_owned()), r#type, ..Default::default() }
    };
    let node = |op: &str, input: &[&str], output: &str| proto::NodeProto {
        op_type: Some(op.to_owned()),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    };
    let body = proto::GraphProto {
        name: Some("body".to_owned()),
        node: vec![node("Identity", &["go"], "on"), node("Add", &["sum", "sum"], "next")],
        input: vec![value("round", DType::I64, 0), value("go", DType::Bool, 0), value("sum", DType::F32, 1)],
        output: vec![value("on", DType::Bool, 0), value("next", DType::F32, 1)],
        ..Default::default()
    };
    let Net { mut graph, at } = Net::new(&[6]);
    let rounds = graph.add_initializer("rounds", Tensor::scalar(1i64 << 60));
    let go = graph.add_initializer("go", Tensor::scalar(true));
    let sum = graph.add_initializer("sum", Tensor::vector(&[1.0f32]));
    let mut b = Builder::new(&mut graph, "loop");
    let body = Attr::Graph { bytes: body.encode_to_vec(), captures: Vec::new() };
    let sum = b.op_with("Loop", &[rounds, go, sum], &[("body", body)]);
    let sum = b.reshape(sum, &[1]);
    let at = b.add(at, sum);
    Net { graph, at }.linear("fc3", 6, 3).done()
}

#[test]
fn models_that_take_everything_when_they_are_loaded() {
    let sum = |b: &mut Builder, value: ValueId| b.op_with("ReduceSum", &[value], &[("keepdims", Attr::Int(0))]);
    let planned = |graph: &Graph, name: &str, value: &str| {
        let scene = scene(graph, &[6]);
        scene.write("spec.yaml", spec("freeze: none"));
        // Far more time than is needed, unless the time is what is tried: other tests take their share of the machine.
        let seconds = ("PIPE_PROBE_SECONDS", "600");
        scene.command(&["plan", "spec.yaml"], &[seconds, (name, value)])
    };
    // 64 MiB each, 64 GiB in all.
    let large = hostile(1024, &[1 << 12, 1 << 12], sum);
    assert_said("probe-memory", planned(&large, "PIPE_PROBE_MEMORY", "256MiB"));
    // A tebibyte at once: so large that ONNX Runtime leaves it for the run.
    let huge = hostile(1, &[1 << 19, 1 << 19], sum);
    assert_said("probe-constants", planned(&huge, "PIPE_PROBE_MEMORY", "1GiB"));
    // Products of 137 billion operations each.
    let slow = hostile(1, &[1 << 12, 1 << 12], |b, value| {
        let product = (0..1000).fold(value, |product, _| b.op("MatMul", &[product, value]));
        sum(b, product)
    });
    assert_said("probe-time", planned(&slow, "PIPE_PROBE_SECONDS", "2"));
    // A loop is not run by a plan, however long it is.
    assert_eq!(planned(&endless(), "PIPE_PROBE_MEMORY", "512 MiB"), (Some(0), String::new()));
    assert_eq!(planned(&mlp(), "PIPE_PROBE_MEMORY", "512 MiB"), (Some(0), String::new()));
    assert_said("probe-memory-wrong", planned(&mlp(), "PIPE_PROBE_MEMORY", "8 gigs"));
    assert_said("probe-memory-little", planned(&mlp(), "PIPE_PROBE_MEMORY", "1MiB"));
    assert_said("probe-seconds-wrong", planned(&mlp(), "PIPE_PROBE_SECONDS", "0"));
}
