#!/usr/bin/env python3
"""Writes a network of the benchmarks as ONNX: BatchNorm and Dropout kept, parameters under PyTorch's names, any batch size.

    python3 benches/peers/export.py MODEL OUT.onnx       # and OUT.pt, the same weights for PyTorch

MODEL is one of those in models.py. Needs torch, torchvision and onnx; `lite0` needs timm, `minilm` needs transformers.
"""

import pathlib
import sys
import warnings

import onnx
import torch

from models import MODELS, network


def write(net, example, axes, output, out, opset=17):
    """Exports `net` as it trains; `example` are inputs by name, `axes` the names of the leading axes of every input and output."""
    # Copies: tracing in training mode moves the running statistics.
    state = {key: value.clone().numpy() for key, value in net.state_dict().items() if value.is_floating_point()}
    dynamic = {key: dict(enumerate(axes)) for key in [*example, output]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter folds BatchNorm into convolutions unless it exports for training.
        torch.onnx.export(
            net.train(), tuple(example.values()), str(out), training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False, dynamo=False, opset_version=opset, input_names=list(example),
            output_names=[output], dynamic_axes=dynamic,
        )
    model = onnx.load(out)
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            del node.output[1:]
            kept = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
            del node.attribute[:]
            node.attribute.extend(kept)
    missing = state.keys() - {tensor.name for tensor in model.graph.initializer}
    if missing:
        print(f"{out}: not under their own names: {sorted(missing)}")
    for tensor in model.graph.initializer:
        if tensor.name in state:
            tensor.CopyFrom(onnx.numpy_helper.from_array(state[tensor.name], tensor.name))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
    print(f"{out}: {len(model.graph.node)} nodes, {len(model.graph.initializer)} initializers")


def main():
    name, out = sys.argv[1], pathlib.Path(sys.argv[2])
    bench = MODELS[name]
    net = network(name)
    torch.save(net.state_dict(), out.with_suffix(".pt"))
    write(net, bench.inputs(2), bench.axes, bench.output, out)


if __name__ == "__main__":
    main()
