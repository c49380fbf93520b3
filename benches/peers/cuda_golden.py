#!/usr/bin/env python3
"""The golden loss curves: PyTorch's losses of 20 steps on the CPU in float32, and all that is needed to take the same steps elsewhere.

    python3 benches/peers/cuda_golden.py OUT_DIR

For tiny_resnet and tiny_bert it writes NAME.onnx (before training), NAME.inputs.npy and NAME.labels.npy (20 batches of 8, in the
order of the steps) and NAME.json: the loss of each step (mean cross entropy, before its update), and the optimizer: SGD with
momentum 0.9, no decay, BatchNorm in training mode, every parameter trained. Needs torch and onnx.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from torch import nn

from cuda_nets import NETS, network
from export import write

STEPS, BATCH, RATE, MOMENTUM = 20, 8, 0.01, 0.9


def golden(name, out):
    net = network(name)
    torch.manual_seed(1)
    inputs = NETS[name].inputs(STEPS * BATCH)
    (key, x), y = *inputs.items(), torch.randint(NETS[name].classes, (STEPS * BATCH,))
    write(net, NETS[name].inputs(2), ("batch",), "logits", out / f"{name}.onnx", opset=18)
    np.save(out / f"{name}.inputs.npy", x.numpy())
    np.save(out / f"{name}.labels.npy", y.numpy())
    net = network(name).train()  # anew: the export moved the running statistics
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
    losses = []
    for rows, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
        loss = nn.functional.cross_entropy(net(rows), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    record = {"torch": torch.__version__, "model": name, "input": key, "batch": BATCH, "lr": RATE, "momentum": MOMENTUM}
    (out / f"{name}.json").write_text(json.dumps({**record, "losses": losses}, indent=1) + "\n")
    print(f"{name}: {losses[0]:.6f} to {losses[-1]:.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ("tiny_resnet", "tiny_bert"):
        golden(name, args.out)


if __name__ == "__main__":
    main()
