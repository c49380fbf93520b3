#!/usr/bin/env python3
"""Writes the benchmarks' ResNet-50 as ONNX: BatchNorm kept, parameters under PyTorch's names, any batch size.

    python3 benches/peers/export_resnet50.py OUT.onnx       # and OUT.pt, the same weights for PyTorch

Needs torch, torchvision and onnx.
"""

import pathlib
import sys
import warnings

import onnx
import torch

from resnet50 import network


def main():
    (out,) = map(pathlib.Path, sys.argv[1:])
    net = network()
    torch.save(net.state_dict(), out.with_suffix(".pt"))
    # Copies: tracing in training mode moves the running statistics.
    state = {name: value.clone().numpy() for name, value in net.state_dict().items() if value.is_floating_point()}
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter folds BatchNorm into convolutions unless it exports for training.
        torch.onnx.export(
            net.train(), (torch.zeros(2, 3, 224, 224),), str(out), training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False, dynamo=False, opset_version=17, input_names=["input"], output_names=["logits"],
            dynamic_axes=axes,
        )
    model = onnx.load(out)
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            del node.output[1:]
            kept = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
            del node.attribute[:]
            node.attribute.extend(kept)
    missing = state.keys() - {tensor.name for tensor in model.graph.initializer}
    assert not missing, f"the exporter lost {sorted(missing)}"
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(state[tensor.name], tensor.name))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    print(f"{out}: {len(model.graph.node)} nodes, {len(model.graph.initializer)} initializers")


if __name__ == "__main__":
    main()
