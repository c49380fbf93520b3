#!/usr/bin/env python3
"""One full fine-tuning step of ResNet-50 in PyTorch: forward in train mode, backward, SGD with momentum.

    python3 benches/peers/step.py [--mode eager | channels_last | compile] [--batch 16] [--steps 5] [--size 224]

Prints one JSON object with the median seconds a step. A mode per process, so that the peak memory is its own. The first
steps are left out: they allocate, and with `compile` they compile. Needs torch and torchvision.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn

from resnet50 import network


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["eager", "channels_last", "compile"], default="eager")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    net = network().train()
    x, y = torch.randn(args.batch, 3, args.size, args.size), torch.randint(1000, (args.batch,))
    if args.mode != "eager":
        # The faster layout for the compiler as well.
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    forward = torch.compile(net) if args.mode == "compile" else net
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    seconds = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    timed = seconds[args.warmup :]
    print(json.dumps({
        "torch": torch.__version__,
        "mode": args.mode,
        "batch": args.batch,
        "threads": args.threads,
        "first_step_s": round(seconds[0], 3),
        "median_s": round(statistics.median(timed), 4),
        "min_s": round(min(timed), 4),
        "max_s": round(max(timed), 4),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


if __name__ == "__main__":
    main()
