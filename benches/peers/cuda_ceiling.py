#!/usr/bin/env python3
"""What the device can do at best, as PyTorch reaches it: copy bandwidth and the rate of square matrix products.

    python3 benches/peers/cuda_ceiling.py [--device cuda | cpu] [--size 8192] [--copy-mib 2048] [--rounds 20]

Prints one JSON object: bytes read and written per second by a copy on the device, and 10^12 floating-point operations per
second of float32 (TF32 off), tf32, bf16 and f16 products. Each is the best of the rounds. Needs torch.
"""

import argparse
import json
import time

import torch


def best(action, rounds, synchronize):
    """The least seconds of an action, after three that do not count."""
    seconds = []
    for _ in range(3 + rounds):
        synchronize()
        start = time.perf_counter()
        action()
        synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[3:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--copy-mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    cuda = args.device == "cuda"
    synchronize = torch.cuda.synchronize if cuda else lambda: None
    source = torch.zeros(args.copy_mib << 20, dtype=torch.uint8, device=args.device)
    target = torch.empty_like(source)
    seconds = best(lambda: target.copy_(source), args.rounds, synchronize)
    found = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "copy_bytes_per_second": 2 * source.numel() / seconds,
        "matmul_size": args.size,
    }
    del source, target
    types = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
    for precision, dtype in types.items():
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        a, b = (torch.randn(args.size, args.size, device=args.device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        seconds = best(lambda: torch.mm(a, b, out=out), args.rounds, synchronize)  # noqa: B023
        found[f"matmul_{precision}_tflops"] = 2 * args.size**3 / seconds / 1e12
    print(json.dumps(found))


if __name__ == "__main__":
    main()
