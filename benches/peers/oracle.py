#!/usr/bin/env python3
"""The gradients of a model by ONNX Runtime's own training engine, which ended with 1.19.2.

    python oracle.py MODEL.onnx FEEDS.safetensors OUT.safetensors

FEEDS holds the inputs by name and `labels`, as for `pipe bench --gradients`; OUT gets the gradient of every float initializer that the
engine reaches, and the loss as metadata. The loss is that of `pipe bench`: cross entropy of [N, classes], else the mean square. Needs
onnxruntime-training-cpu==1.19.2, onnx==1.17.0, numpy<2, h5py, cerberus, safetensors; no torch.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import _pybind_state as native
from safetensors.numpy import load_file, save_file

LOSS = "oracle/loss"
OLDEST = 15


def as_in_training(graph):
    """BatchNormalization with batch statistics; and the outputs that the engine's gradients read, which nobody else does."""
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            node.attribute.append(helper.make_attribute("training_mode", 1))
        extra = {"BatchNormalization": 3, "LayerNormalization": 3, "Dropout": 2}.get(node.op_type, 0)
        node.output.extend(f"{node.output[0]}/extra{index}" for index in range(len(node.output), extra))


def any_batch(graph, feeds):
    """The batch that is fed in the place of one that the exporter wrote down."""
    for value in graph.input:
        if value.name in feeds:
            value.type.tensor_type.shape.dim[0].dim_value = feeds[value.name].shape[0]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def with_loss(model, labels):
    graph = model.graph
    output = graph.output[0].name
    if labels.dtype == np.int64:
        graph.node.append(helper.make_node("SoftmaxCrossEntropyLoss", [output, "labels"], [LOSS], reduction="mean"))
        kind = TensorProto.INT64
    else:
        graph.node.append(helper.make_node("Sub", [output, "labels"], ["oracle/difference"]))
        graph.node.append(helper.make_node("Mul", ["oracle/difference"] * 2, ["oracle/square"]))
        graph.node.append(helper.make_node("ReduceMean", ["oracle/square"], [LOSS], keepdims=0))
        kind = TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info("labels", kind, labels.shape))
    graph.output.append(helper.make_tensor_value_info(LOSS, TensorProto.FLOAT, []))


def main():
    model, feeds = onnx.load(sys.argv[1]), load_file(sys.argv[2])
    # Older forms of BatchNormalization have no statistics as outputs, and the loss is an operator of opset 12.
    if max(entry.version for entry in model.opset_import if not entry.domain) < OLDEST:
        model = version_converter.convert_version(model, OLDEST)
    any_batch(model.graph, feeds)
    as_in_training(model.graph)
    with_loss(model, feeds["labels"])
    statistics = {name for node in model.graph.node if node.op_type == "BatchNormalization" for name in node.input[3:5]}
    params = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in statistics
    }
    # The engine wants what it trains as inputs, and rewrites the graph for training first.
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in params]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for name, value in params.items():
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    rewritten = native.get_optimized_model(model.SerializeToString(), set(params), SessionOptions())
    builder = native.GradientGraphBuilder(rewritten, {LOSS}, set(params), LOSS, SessionOptions())
    builder.build()
    graph = onnx.load_model_from_string(builder.get_model())
    made = {output for node in graph.graph.node for output in node.output}
    gradients = {f"{name}_grad": name for name in params if f"{name}_grad" in made}
    present = {output.name for output in graph.graph.output}
    for name in gradients.keys() - present:
        graph.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    given = feeds | params | {f"{LOSS}_grad": np.ones((), np.float32)}
    fed = {item.name: given[item.name] for item in session.get_inputs()}
    found = session.run([LOSS, *gradients], fed)
    tensors = {gradients[name]: np.ascontiguousarray(value) for name, value in zip(gradients, found[1:])}
    save_file(tensors, sys.argv[3], {"loss": repr(float(found[0]))})


if __name__ == "__main__":
    main()
