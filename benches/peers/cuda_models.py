#!/usr/bin/env python3
"""Writes the networks of the GPU benchmark as ONNX, opset 18: BatchNorm kept, parameters under PyTorch's names, any batch size.

    python3 benches/peers/cuda_models.py OUT_DIR [resnet50 bert_base tiny_resnet tiny_bert] [--check]

`--check` runs each file in ONNX Runtime on the CPU and compares it with PyTorch. Needs torch and onnx; `resnet50` needs
torchvision, `--check` onnxruntime.
"""

import argparse
import pathlib

import torch

from cuda_nets import NETS, network
from export import write

TOLERANCE = 1e-4


def check(name, path):
    """The largest difference to PyTorch in eval mode, relative to the largest score (or to 1 where that is smaller)."""
    import onnxruntime

    inputs = NETS[name].inputs(3)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {key: value.numpy() for key, value in inputs.items()})[0])
    with torch.no_grad():
        expected = network(name).eval()(*inputs.values())
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="all where none is named")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    unknown = set(args.names) - NETS.keys()
    if unknown:
        parser.error(f"no such network: {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or NETS:
        path = args.out / f"{name}.onnx"
        write(network(name), NETS[name].inputs(2), ("batch",), "logits", path, opset=18)
        if args.check:
            difference = check(name, path)
            print(f"{path}: differs from PyTorch by {difference:.1e}")
            if not difference <= TOLERANCE:
                raise SystemExit(f"{path}: more than {TOLERANCE}")


if __name__ == "__main__":
    main()
