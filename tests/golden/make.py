#!/usr/bin/env python3
"""Writes the training goldens: what PyTorch computes on small networks, for `pipe` to reproduce.

    pip install torch==2.15.0 onnx==1.23.2 numpy==2.4.6
    python3 tests/golden/make.py            # rewrites every case
    python3 tests/golden/make.py cnn_bn     # one case

A case is a folder:
    model.onnx   the network before training, parameters under PyTorch's names
    data.npz     x float32 [N, ...], y int64 [N], in the order in which they are trained on
    spec.yaml    the same training as a spec
    losses.json  losses: 20 mean losses, each at the weights before that step's update
                 eval_loss: mean loss over all samples after the last step, BatchNorm on running statistics
                 norms: Euclidean norm of every parameter and running statistic after the last step

Every case is trained in float32 and in float64; a case in which the two differ by more than 1e-5 relative is refused,
so that a difference of 1e-4 is never due to rounding alone.
"""

import copy
import json
import math
import pathlib
import sys
import warnings

import numpy as np
import onnx
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
PINNED = "2.15.0"
STEPS = 20


class Block(nn.Module):
    """A residual block with a grouped, strided convolution and a projection shortcut."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn0 = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.downsample = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        x = torch.relu(self.bn0(self.stem(x)))
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        x = torch.relu(y + self.downsample(x))
        return self.fc(torch.flatten(self.pool(x), 1))


class Recurrent(nn.Module):
    """An LSTM of two layers in both directions, a GRU and an Elman network; their weights are put into ONNX's order by the graph."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(12, 7, batch_first=True)
        self.rnn = nn.RNN(7, 5, nonlinearity="tanh", bidirectional=True, batch_first=True)
        self.fc = nn.Linear(10 + 12, 4)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        z, _ = self.gru(y)
        z, _ = self.rnn(z)
        return self.fc(torch.cat([z.mean(1), h[-1], c[-2]], 1))


def cnn_bn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 4),
    )


def mlp():
    return nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 5))


def strided():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.SiLU(), nn.Conv2d(8, 8, 3, dilation=2, padding=2), nn.LeakyReLU(0.1),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 3),
    )


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 12, 3), nn.ReLU(), nn.MaxPool2d(2, 2, 1),
        nn.Flatten(), nn.Linear(12 * 4, 32), nn.ReLU(), nn.Linear(32, 10),
    )


def sgd(**options):
    return lambda params: torch.optim.SGD(params, **options)


def adamw(**options):
    return lambda params: torch.optim.AdamW(params, **options)


# `keep_mode`: BatchNorm nodes stay as the exporter writes them for training; otherwise they get the form for inference,
# which is what most files hold. Either way they are trained on batch statistics, since nothing is frozen.
CASES = {
    "cnn_bn": {
        "about": "BatchNorm on batch statistics under SGD with momentum; BatchNormalization nodes in training mode",
        "net": cnn_bn, "shape": (3, 12, 12), "classes": 4, "samples": 80, "batch": 16, "keep_mode": True,
        "torch": sgd(lr=0.02, momentum=0.9), "optimizer": "{sgd: {lr: 0.02, momentum: 0.9}}",
    },
    "mlp_adamw": {
        "about": "GELU, LayerNorm and AdamW with decoupled decay on every parameter; the last batch of an epoch is partial",
        "net": mlp, "shape": (20,), "classes": 5, "samples": 110, "batch": 24, "compressed": True,
        "torch": adamw(lr=3e-3, weight_decay=0.05), "optimizer": "{adamw: {lr: 3e-3, weight_decay: 0.05}}",
    },
    "resnet_block": {
        "about": "grouped and strided convolutions, BatchNorm, a projection shortcut; BatchNormalization nodes in inference mode",
        "net": Block, "shape": (3, 12, 12), "classes": 5, "samples": 80, "batch": 16,
        "torch": sgd(lr=0.1, momentum=0.9), "optimizer": "{sgd: {lr: 0.1, momentum: 0.9}}",
    },
    "accumulate": {
        "about": "three micro-batches of 4 make the step that one batch of 12 makes; dilated convolution, average pooling",
        "net": strided, "shape": (1, 14, 14), "classes": 3, "samples": 60, "batch": 12, "accumulate": 3,
        "torch": sgd(lr=0.2, momentum=0.9), "optimizer": "{sgd: {lr: 0.2, momentum: 0.9}}",
    },
    "recurrent": {
        "about": "LSTM (two layers, both directions), GRU and RNN: all states, the last states and the last cell states",
        "net": Recurrent, "shape": (9, 3), "classes": 4, "samples": 80, "batch": 16,
        "torch": sgd(lr=0.3, momentum=0.9), "optimizer": "{sgd: {lr: 0.3, momentum: 0.9}}",
    },
    "lenet_wd_nesterov": {
        "about": "SGD with Nesterov momentum; PyTorch's coupled `weight_decay` is an l2 regularizer on every parameter",
        "net": lenet, "shape": (1, 14, 14), "classes": 10, "samples": 100, "batch": 20,
        "torch": sgd(lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-3),
        "optimizer": "{sgd: {lr: 0.2, momentum: 0.9, nesterov: true}}",
        "regularizer": 'regularizer:\n  - {l2: 5e-3, params: ["*"]}\n',
    },
}


def data(case):
    """Samples on a coarse grid of values, labelled by a fixed random projection."""
    rng = np.random.default_rng(7)
    x = np.round(rng.standard_normal((case["samples"], *case["shape"])) * 16) / 16
    scores = x.reshape(len(x), -1) @ rng.standard_normal((math.prod(case["shape"]), case["classes"]))
    return x.astype(np.float32), scores.argmax(1).astype(np.int64)


def train(net, case, x, y):
    """The losses, the final evaluation loss and the norms, in the precision of the network."""
    net = copy.deepcopy(net).train()
    x, y = torch.from_numpy(x).to(next(net.parameters()).dtype), torch.from_numpy(y)
    optimizer = case["torch"](net.parameters())
    losses = []
    while len(losses) < STEPS:
        for start in range(0, len(x), case["batch"]):
            loss = nn.functional.cross_entropy(net(x[start : start + case["batch"]]), y[start : start + case["batch"]])
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if len(losses) == STEPS:
                break
    net.eval()
    with torch.no_grad():
        evaluated = nn.functional.cross_entropy(net(x), y).item()
    state = {name: value.norm().item() for name, value in net.state_dict().items() if value.is_floating_point()}
    return losses, evaluated, state


def export(net, case, path):
    """The network with its BatchNorm and its names."""
    example = torch.zeros(2, *case["shape"])
    axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            copy.deepcopy(net), (example,), path, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
            dynamo=False, opset_version=17, input_names=["x"], output_names=["logits"], dynamic_axes=axes,
        )
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "BatchNormalization" and not case.get("keep_mode"):
            del node.output[1:]
            kept = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
            del node.attribute[:]
            node.attribute.extend(kept)
    # Tracing in training mode moves the running statistics of what is exported; the file holds those before training.
    state = {name: value.numpy() for name, value in net.state_dict().items() if value.is_floating_point()}
    missing = state.keys() - {tensor.name for tensor in model.graph.initializer}
    assert not missing, f"the exporter lost {missing}"
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(state[tensor.name], tensor.name))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def spec(name, case):
    parts = case.get("accumulate", 1)
    accumulate = f", accumulate: {parts}" if parts > 1 else ""
    return f"""# {case['about']}
version: 1
name: golden-{name.replace('_', '-')}

model: {{source: model.onnx}}
freeze: none

data:
  sets:
    train: {{npz: data.npz}}

loss: cross_entropy
{case.get('regularizer', '')}optimizer: {case['optimizer']}
schedule: {{steps: {STEPS}, batch: {case['batch'] // parts}{accumulate}, shuffle: false}}
"""


def apart(a, b):
    return max(abs(p - q) / max(abs(q), 1e-12) for p, q in zip(a, b, strict=True))


def make(name):
    case, folder = CASES[name], HERE / name
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    net = case["net"]()
    x, y = data(case)
    losses, evaluated, norms = train(net, case, x, y)
    exact = train(copy.deepcopy(net).double(), case, x, y)
    off = apart([*losses, evaluated, *norms.values()], [*exact[0], exact[1], *exact[2].values()])
    assert off < 1e-5, f"{name}: float32 and float64 are {off:.1e} apart; choose a smaller learning rate"
    export(net, case, folder / "model.onnx")
    save = np.savez_compressed if case.get("compressed") else np.savez
    save(folder / "data.npz", x=x, y=y)
    (folder / "spec.yaml").write_text(spec(name, case))
    record = {"torch": PINNED, "losses": losses, "eval_loss": evaluated, "norms": norms}
    (folder / "losses.json").write_text(json.dumps(record, indent=1) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size < 200_000, f"{name} has {size} bytes"
    print(f"{name}: {losses[0]:.4f} -> {losses[-1]:.4f}, eval {evaluated:.4f}, float64 {off:.1e} apart, {size} bytes")


def main():
    found = torch.__version__.split("+")[0]
    assert found == PINNED, f"torch {PINNED} is needed, this is {found}"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[1:] or CASES:
        make(name)


if __name__ == "__main__":
    main()
