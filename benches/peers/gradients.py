#!/usr/bin/env python3
"""The table of benches/gradients.sh: the gradient of every parameter of real networks, in `pipe` and in PyTorch.

    python3 benches/peers/gradients.py [--only NAME …] [--again] [--table docs/gradients.md]

Each network is exported with all its parameters moved away from their first values, so that no two are equal and none is zero. PyTorch's
gradient in float64 is the truth; its gradient in float32 says what rounding alone gives. A gradient's distance is ‖Δ‖/‖g‖; where exact
arithmetic makes the gradient of a tensor zero (below 1e-6 of the whole one), ‖Δ‖ is taken in parts of the whole gradient.

The networks of models.py are PyTorch's own; files that exist as ONNX only are run by interpret.py. With --oracle PYTHON, ONNX Runtime's own
training engine, which ended with 1.19.2, is asked too (oracle.py). Needs torch, torchvision, timm, transformers, onnx, safetensors. What was measured is kept in target/bench/gradients, a JSON file for each network.
"""

import argparse
import copy
import json
import pathlib
import re
import statistics
import subprocess
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import files
from export import write
from interpret import Interpreted
from models import GRADIENTS, MODELS, network

BATCH = {"resnet18": 4, "mobilenet_v3": 8, "mobilenet_v3_large": 8, "lite0": 8, "resnet50": 4}
ROUNDING = 1e-6
TORCH = {
    "mobilenet_v3": "MobileNetV3-small, torchvision", "mobilenet_v3_large": "MobileNetV3-large, torchvision", "lite0": "EfficientNet-Lite0, timm", "resnet18": "ResNet-18, torchvision",
    "minilm": "MiniLM-L6, transformers' BERT", "resnet50": "ResNet-50, torchvision", "vit": "ViT-B/16, torchvision",
    "resnet18_smooth": "ResNet-18, smooth", "lite0_smooth": "EfficientNet-Lite0, smooth", "resnet50_smooth": "ResNet-50, smooth",
    "bert": "BERT-base, transformers", "gpt2": "GPT-2 with its output layer tied, transformers", "vgg16": "VGG-16, torchvision",
}


def move(net):
    """Noise on every parameter. What starts at one number everywhere gets as much as a layer of its size starts with."""
    for parameter in net.parameters():
        with torch.no_grad():
            spread = parameter.std() if parameter.numel() > 1 else torch.tensor(0.0)
            if parameter.dim() < 2:
                spread = torch.tensor(1.0)
            elif spread == 0:
                spread = torch.tensor(10 / parameter.shape[-1] ** 0.5)
            parameter += 0.1 * spread * torch.randn_like(parameter)


def bench_of(name):
    return (MODELS | GRADIENTS)[name.removesuffix("_smooth")]


def smooth(net):
    """SiLU in the place of every ReLU, mean pools in the place of maximum pools."""
    for module in list(net.modules()):
        for key, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, key, nn.SiLU())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, key, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))


def trained(name):
    """A network of PyTorch with a batch: the module, its inputs by name."""
    torch.manual_seed(1)
    bench = bench_of(name)
    net = network(name.removesuffix("_smooth"))
    move(net)
    if name.endswith("_smooth"):
        smooth(net)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    inputs = bench.inputs(BATCH.get(name.removesuffix("_smooth"), 2))
    if "attention_mask" in inputs:
        inputs["attention_mask"][-1, -5:] = 0
    return net, inputs


def labels_of(output):
    """Classes of [N, classes], else values of the output's size."""
    if output.dim() == 2 and output.shape[1] > 1:
        return torch.randint(output.shape[1], (output.shape[0],))
    return torch.randn(output.shape)


def gradients(net, inputs, labels, dtype):
    """The loss and the gradient of every parameter by name, as `pipe bench` defines the loss."""
    net = copy.deepcopy(net).to(dtype).train()
    fed = [value.to(dtype) if value.is_floating_point() else value for value in inputs.values()]
    output = net(*fed)
    if labels.is_floating_point():
        loss = nn.functional.mse_loss(output, labels.to(dtype).reshape(output.shape))
    else:
        loss = nn.functional.cross_entropy(output, labels)
    loss.backward()
    # A tied parameter has several names.
    every = net.named_parameters(remove_duplicate=False)
    return loss.item(), {name: value.grad for name, value in every if value.grad is not None}


def distances(found, exact):
    """‖Δ‖/‖g‖ by name, and of the whole gradient."""
    squares = {name: (found[name].double() - exact[name]).square().sum().item() for name in found}
    sizes = {name: exact[name].square().sum().item() for name in found}
    whole = sum(sizes.values()) ** 0.5
    each = {}
    for name, square in squares.items():
        own = sizes[name] ** 0.5
        each[name] = square**0.5 / (own if own > ROUNDING * whole else whole)
    return each, sum(squares.values()) ** 0.5 / whole


def summary(found, exact):
    each, whole = distances(found, exact)
    worst = max(each, key=each.get)
    return {"largest": each[worst], "tensor": worst, "median": statistics.median(each.values()), "whole": whole}


def by_pipe(args, folder, name, inputs, labels):
    """`pipe`'s loss and gradients, or what it says."""
    feeds, out = folder / f"{name}.feeds.safetensors", folder / f"{name}.found.safetensors"
    save_file({key: value.contiguous() for key, value in inputs.items()} | {"labels": labels.contiguous()}, feeds)
    command = [args.pipe, "bench", str(folder / f"{name}.onnx"), "--gradients", str(out), "--feeds", str(feeds)]
    for dim, size in dims(name, inputs).items():
        command += ["--dim", f"{dim}={size}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    with safe_open(out, "pt") as file:
        loss = float(file.metadata()["loss"])
    found = load_file(out)
    out.unlink()
    feeds.unlink()
    return loss, found


def by_oracle(args, folder, name, inputs, labels):
    """The gradients of ONNX Runtime's own training engine, or why it gives none."""
    feeds, out = folder / f"{name}.feeds.safetensors", folder / f"{name}.oracle.safetensors"
    save_file({key: value.contiguous() for key, value in inputs.items()} | {"labels": labels.contiguous()}, feeds)
    command = [args.oracle, str(pathlib.Path(__file__).parent / "oracle.py"), str(folder / f"{name}.onnx"), str(feeds), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    feeds.unlink()
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raised = [number for number, line in enumerate(lines) if re.match(r"[\w.]+: ", line)]
        return None, " ".join(lines[raised[-1] :]) if raised else f"exit status {done.returncode}"
    found = load_file(out)
    out.unlink()
    return found, None


def dims(name, inputs):
    if name in TORCH:
        axes = bench_of(name).axes
        return dict(zip(axes[1:], next(iter(inputs.values())).shape[1:]))
    return files.FILES[name].dims


def measure(args, folder, name):
    if name in TORCH:
        net, inputs = trained(name)
        bench = bench_of(name)
        write(net, inputs, bench.axes, bench.output, folder / f"{name}.onnx")
    else:
        torch.manual_seed(1)
        model, inputs = files.FILES[name].make(folder)
        files.save(model, folder / f"{name}.onnx")
        net = Interpreted(model)
    with torch.no_grad():
        torch.manual_seed(2)
        labels = labels_of(copy.deepcopy(net).train()(*inputs.values()))
    loss, found = by_pipe(args, folder, name, inputs, labels)
    exact_loss, exact = gradients(net, inputs, labels, torch.float64)
    unknown = sorted(found.keys() - exact.keys())
    if unknown:
        raise RuntimeError(f"trained under names that PyTorch does not have: {unknown}")
    first = {key: value.data_ptr() for key, value in net.named_parameters(remove_duplicate=False)}
    reached = {first[key] for key in found}
    left = sorted(key for key, value in exact.items() if first[key] not in reached and value.abs().max() > 0)
    rough = {key: value for key, value in gradients(net, inputs, labels, torch.float32)[1].items() if key in found}
    shapes = ", ".join(" × ".join(map(str, value.shape)) for value in inputs.values())
    result = {
        "inputs": shapes,
        "parameters": sum(value.numel() for value in found.values()),
        "tensors": len(found),
        "not_trained": left,
        "loss": [loss, exact_loss],
        "pipe": summary(found, exact),
        "torch": summary(rough, exact),
    }
    if args.oracle:
        theirs, refusal = by_oracle(args, folder, name, inputs, labels)
        if theirs is None:
            return result | {"oracle": {"refuses": refusal}}
        both = {key: value for key, value in theirs.items() if key in exact}
        result["oracle"] = {"tensors": len(both)} | summary(both, exact)
        # How far pipe is from it, in the same measure.
        result["apart"] = summary({key: found[key] for key in both if key in found}, {key: both[key].double() for key in both})
    return result


def title(name):
    return TORCH.get(name) or files.FILES[name].title


def table(folder, order):
    rows = []
    for name in order:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        row = json.loads(path.read_text())
        cells = [title(name)]
        if "error" in row:
            rows.append(f"| {cells[0]} | | | | fails: {row['error'].splitlines()[0]} | | | | |")
            continue
        ours, peer = row["pipe"], row["torch"]
        cells += [row["inputs"], f"{row['parameters']:,}", str(row["tensors"])]
        cells += [f"{ours['largest']:.1e}", f"`{ours['tensor']}`", f"{ours['median']:.1e}", f"{peer['largest']:.1e}", f"{peer['median']:.1e}"]
        rows.append("| " + " | ".join(cells) + " |")
    head = "| network | input | parameters | tensors | largest | of | median | largest in PyTorch f32 | median |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|", *rows]) + "\n"


def oracle_table(folder, order):
    """What ONNX Runtime's own training engine gives where it was asked; how many it refuses, by reason."""
    rows, refused = [], {}
    for name in order:
        path = folder / f"{name}.json"
        row = json.loads(path.read_text()) if path.exists() else {}
        oracle = row.get("oracle")
        if oracle is None:
            continue
        if "refuses" in oracle:
            refused.setdefault(reason(oracle["refuses"]), []).append(title(name))
            continue
        apart = row["apart"]
        cells = [title(name), f"{oracle['tensors']} of {row['tensors']}", f"{row['pipe']['largest']:.1e}"]
        cells += [f"{oracle['largest']:.1e}", f"{apart['largest']:.1e}", f"`{apart['tensor']}`", f"{apart['median']:.1e}"]
        rows.append("| " + " | ".join(cells) + " |")
    if not rows and not refused:
        return "Not asked: `benches/gradients.sh` was run without `ORACLE=1`."
    head = "| network | tensors | pipe from float64 | ORT 1.19.2 from float64 | pipe from ORT 1.19.2 | of | median |"
    lines = [head, "|---|---|---|---|---|---|---|", *rows, ""]
    for why, names in refused.items():
        lines.append(f"- It gives none for {'; '.join(names)}: {why}.")
    return "\n".join(lines)


def reason(text):
    """The end of what it says, which is what it is about, without the names of things."""
    text = re.sub(r"(for node|Name:)\s*\S+", "", text)
    return re.split(r"was false\. |, Error |Status Message: |\] : | const ", text)[-1].replace("|", "/").strip(" .")[:160]


PAGE = """# Gradients of real graphs

The gradient of every trained parameter, one training step from an ONNX file, against PyTorch {torch} in float64; beside it what PyTorch's
own float32 gives. Written by `benches/gradients.sh`; `benches/peers/gradients.py` says how.

- A tensor's distance is ‖Δ‖/‖g‖. Where exact arithmetic makes its gradient zero (below 10⁻⁶ of the whole gradient, as that of the bias
  of attention's keys or of a bias before a BatchNorm), it is ‖Δ‖ in parts of the whole gradient.
- Parameters are random and differ from each other, biases and scales of norms too; only the models that came with weights keep them. The
  data are random. The loss is cross entropy of [N, classes], else
  the mean square against random values. BatchNorms take batch statistics. Dropout is 0.
- A ReLU or a maximum pool whose input lies within rounding of its kink takes the other side, in every f32 program at other places, and a
  batch of 224 × 224 pictures has millions of them. *Smooth* is the same network with SiLU for ReLU and mean pools for maximum pools: there
  the distances above 10⁻⁴ go, in both columns. In inception_v1 (with another batch) one was followed to its origin, two values
  9·10⁻⁸ apart below a maximum pool, in the channel that alone differed. For the other light models the same is inferred, not shown.
- Files that exist as ONNX only (those with a package behind their name) are run in PyTorch by the interpreter of
  `benches/peers/interpret.py`. The weights of the light models are drawn anew; the others have the ones that they came with.

{table}

## ONNX Runtime's own training engine

The engine ended with version 1.19.2; its wheel still runs from Python. Where it takes the graph, its gradients stand beside: the largest
distance of either from PyTorch in float64 over the tensors that it names, then that of `pipe` from it. Its BatchNorms take batch statistics
too. Written by `ORACLE=1 benches/gradients.sh`.

Its gradients of the smooth ResNets are far from PyTorch's and `pipe`'s, which agree: of the networks here these alone have mean pools whose
windows overlap, with padding. What it does not take it says itself, below.

{oracle}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipe", default="target/release/pipe")
    order = [*TORCH, *files.FILES]
    parser.add_argument("--only", nargs="*", choices=order, default=order)
    parser.add_argument("--again", action="store_true", help="measure what was measured before, too")
    parser.add_argument("--oracle", help="a Python with onnxruntime-training-cpu 1.19.2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("target/bench/gradients"))
    parser.add_argument("--table", type=pathlib.Path, default=pathlib.Path("docs/gradients.md"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        kept = args.folder / f"{name}.json"
        if kept.exists() and not args.again and "error" not in json.loads(kept.read_text()):
            continue
        try:
            found = measure(args, args.folder, name)
            print(name, json.dumps(found), file=sys.stderr, flush=True)
        except Exception as problem:  # One network that fails does not end the others.
            found = {"error": f"{type(problem).__name__}: {problem}"}
            print(name, found["error"], file=sys.stderr, flush=True)
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (args.folder / f"{name}.onnx").unlink(missing_ok=True)
    text = table(args.folder, order)
    print(text)
    args.table.write_text(PAGE.format(torch=torch.__version__.split("+")[0], table=text.strip(), oracle=oracle_table(args.folder, order)))


if __name__ == "__main__":
    main()
