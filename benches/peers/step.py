#!/usr/bin/env python3
"""One full fine-tuning step in PyTorch: forward in train mode, loss, backward, optimizer.

    python3 benches/peers/step.py [--model NAME] [--mode eager | channels_last | compile] [--batch N] [--steps 5]

Prints one JSON object with the median seconds a step. A mode per process, so that the peak memory is its own. The first
steps are left out: they allocate, and with `compile` they compile. The loss is the one of `pipe bench`: cross entropy of
[N, classes], else the mean square against zeros. Needs torch and torchvision; `lite0` needs timm, `minilm` transformers.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn

from models import MODELS, network


def loss_of(output, labels):
    if output.dim() == 2:
        return nn.functional.cross_entropy(output, labels)
    return output.square().mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="resnet50")
    parser.add_argument("--mode", choices=["eager", "channels_last", "compile"], default="eager")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    bench = MODELS[args.model]
    batch = args.batch or bench.batch
    net = network(args.model).train()
    inputs = list(bench.inputs(batch).values())
    if args.mode != "eager" and inputs[0].dim() == 4:
        # The faster layout for the compiler as well.
        net = net.to(memory_format=torch.channels_last)
        inputs = [value.to(memory_format=torch.channels_last) for value in inputs]
    labels = torch.randint(1000, (batch,))
    forward = torch.compile(net) if args.mode == "compile" else net
    optimizer = {
        "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-5, momentum=0.9),
        "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-5),
    }[bench.optimizer](net.parameters())
    seconds = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = loss_of(forward(*inputs), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    timed = seconds[args.warmup :]
    print(json.dumps({
        "torch": torch.__version__,
        "model": args.model,
        "mode": args.mode,
        "batch": batch,
        "threads": args.threads,
        "first_step_s": round(seconds[0], 3),
        "median_s": round(statistics.median(timed), 4),
        "min_s": round(min(timed), 4),
        "max_s": round(max(timed), 4),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


if __name__ == "__main__":
    main()
