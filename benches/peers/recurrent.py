"""One training step of a recurrent layer in PyTorch, and the same layer as an ONNX model and data for `pipe`.

    python3 benches/peers/recurrent.py [--cell lstm] [--steps 200] [--hidden 128] [--batch 16] [--threads 2] [--out FOLDER]

Prints one JSON object: the median milliseconds of forward, backward and SGD update. With `--out` it also writes model.onnx, data.npz
and spec.yaml, whose `pipe run` takes the same steps.
"""

import argparse
import json
import pathlib
import statistics
import time
import warnings

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    """One recurrent layer and a classifier on its last state."""

    def __init__(self, cell, inputs, hidden):
        super().__init__()
        self.cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x):
        y, _ = self.cell(x)
        return self.fc(y[:, -1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = Net(args.cell, args.hidden, args.hidden)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20 * args.batch, args.steps, args.hidden)).astype(np.float32)
    y = rng.integers(0, 10, len(x))
    if args.out:
        write(net, x, y, args)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    times = []
    for step in range(20):
        rows = slice(step * args.batch, (step + 1) * args.batch)
        start = time.perf_counter()
        loss = nn.functional.cross_entropy(net(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - start))
    print(json.dumps({"cell": args.cell, "median_ms": round(statistics.median(times[3:]), 1), "loss": loss.item()}))


def write(net, x, y, args):
    args.out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(2, args.steps, args.hidden),), args.out / "model.onnx", do_constant_folding=False, dynamo=False,
            opset_version=17, input_names=["x"], output_names=["logits"], dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}},
        )
    np.savez(args.out / "data.npz", x=x, y=y)
    (args.out / "spec.yaml").write_text(f"""version: 1
name: recurrent
model: {{source: model.onnx}}
freeze: none
data:
  sets:
    train: {{npz: data.npz}}
loss: cross_entropy
optimizer: {{sgd: {{lr: 0.01}}}}
schedule: {{steps: 20, batch: {args.batch}, shuffle: false}}
""")


if __name__ == "__main__":
    main()
