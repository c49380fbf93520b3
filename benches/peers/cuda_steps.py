#!/usr/bin/env python3
"""Full training steps of PyTorch on a GPU: forward, cross entropy, backward, optimizer, on one random batch that is on the device.

    python3 benches/peers/cuda_steps.py --model resnet50,bert_base --batch 64 --precision f32,tf32,bf16,f16
        --mode eager,channels_last,compile --steps 20 [--device cuda | cpu] [--attention sdpa | eager] [--json]

Lists are separated by commas; every combination is measured, eager ones first, and its line printed at once. `--batch` takes one
number, or one for each model. f32 has TF32 off everywhere, tf32 has it on, bf16 and f16 are autocast (f16 with GradScaler).
A combination that fails prints a line with "error"; channels_last is for images. `compile` of images has channels last as well.
`--attention` is how BERT attends: PyTorch's fused function, which libraries take by default, or the written-out one.
Needs torch; `resnet50` needs torchvision.
"""

import argparse
import copy
import functools
import gc
import itertools
import json
import statistics
import time

import torch
from torch import nn

from cuda_nets import NETS, Layer, network

WARM_UP = 5
PRECISIONS = ["f32", "tf32", "bf16", "f16"]
MODES = ["eager", "channels_last", "compile"]

built = functools.cache(network)


def prepare(args, name, batch, mode):
    """The network on the device, how it is called, its inputs and labels."""
    net = copy.deepcopy(built(name)).train()
    for module in net.modules():
        if isinstance(module, Layer):
            module.fused = args.attention == "sdpa"
    torch.manual_seed(1)
    inputs = [value.to(args.device) for value in NETS[name].inputs(batch).values()]
    labels = torch.randint(NETS[name].classes, (batch,)).to(args.device)
    images = inputs[0].dim() == 4
    if mode == "channels_last" and not images:
        raise ValueError("channels_last is for images")
    net = net.to(args.device)
    if mode != "eager" and images:
        net = net.to(memory_format=torch.channels_last)
        inputs = [value.to(memory_format=torch.channels_last) for value in inputs]
    return net, torch.compile(net) if mode == "compile" else net, inputs, labels


def measure(args, name, batch, precision, mode):
    cuda = args.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    synchronize = torch.cuda.synchronize if cuda else lambda: None
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    net, forward, inputs, labels = prepare(args, name, batch, mode)
    if NETS[name].optimizer == "sgd":
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5)
    half = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(args.device, enabled=precision == "f16")
    seconds, losses = [], []
    for _ in range(WARM_UP + args.steps):
        synchronize()
        start = time.perf_counter()
        with torch.autocast(args.device, dtype=half, enabled=half is not None):
            loss = nn.functional.cross_entropy(forward(*inputs), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        synchronize()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    timed = seconds[WARM_UP:]
    return {
        "step_seconds_median": statistics.median(timed),
        "step_seconds_min": min(timed),
        "step_seconds_max": max(timed),
        "first_step_seconds": seconds[0],
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "losses": losses,
    }


def text(found):
    head = "{model} batch {batch} {precision} {mode}: ".format(**found)
    if "error" in found:
        return head + found["error"]
    peak = f", {found['peak_bytes'] >> 20} MiB" if found["peak_bytes"] is not None else ""
    return head + "{step_seconds_median:.5f} s ({step_seconds_min:.5f} to {step_seconds_max:.5f})".format(**found) + peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def listed(choices):
        def parse(value):
            wrong = set(value.split(",")) - set(choices)
            if wrong:
                raise argparse.ArgumentTypeError(f"{', '.join(sorted(wrong))}: not one of {', '.join(choices)}")
            return value.split(",")

        return parse

    parser.add_argument("--model", type=listed(NETS), default=["resnet50"])
    parser.add_argument("--batch", type=lambda value: [int(part) for part in value.split(",")], default=[32])
    parser.add_argument("--precision", type=listed(PRECISIONS), default=["f32"])
    parser.add_argument("--mode", type=listed(MODES), default=["eager"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")
    args = parser.parse_args()
    if len(args.batch) not in (1, len(args.model)):
        parser.error("--batch takes one number, or one for each model")
    batches = dict(zip(args.model, args.batch * len(args.model) if len(args.batch) == 1 else args.batch, strict=True))
    torch.backends.cudnn.benchmark = True
    modes = sorted(args.mode, key=MODES.index)
    for mode, name, precision in itertools.product(modes, args.model, args.precision):
        found = {"model": name, "batch": batches[name], "precision": precision, "mode": mode, "device": args.device}
        if NETS[name].optimizer == "adamw":
            found["attention"] = args.attention
        try:
            found |= measure(args, name, batches[name], precision, mode)
        except Exception as error:  # Out of memory, no compiler: the next combination may work.
            found["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(json.dumps(found) if args.json else text(found), flush=True)
        torch._dynamo.reset()
        gc.collect()
        if args.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
