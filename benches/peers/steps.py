#!/usr/bin/env python3
"""The table of benches/steps.sh: every network's training step in `pipe` and in PyTorch, one process after the other.

Rounds go around all programs, so that a slow minute of the machine meets each of them; a program's figure is the median of its
rounds, each of which is the median of its steps. Prints a Markdown table, and with `--json FILE` writes what was measured.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from models import MODELS

MODES = ["eager", "channels_last", "compile"]
HERE = pathlib.Path(__file__).parent


def run(command):
    """What a program printed as JSON, or the first lines of what it complained about."""
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"error": " ".join((done.stderr or done.stdout).split())[:300] or f"exit status {done.returncode}"}


def pipe(args, name, batch):
    command = [args.pipe, "bench", str(args.models / f"{name}.onnx"), "--json", "--batch", str(batch)]
    command += ["--steps", str(args.steps), "--threads", str(args.threads), "--optimizer", MODELS[name].optimizer]
    found = run(command)
    if "error" in found:
        return found
    return {
        "median_s": found["step_seconds_median"],
        "forward_s": found["forward_seconds_median"],
        "gflop": found["step_gflop"],
        "sgemm": found["sgemm_gflop_per_second"],
        "peak_rss_mib": (found["peak_rss_bytes"] or 0) >> 20,
        "first_s": found["time_to_first_step_seconds"],
    }


def torch(args, name, batch, mode):
    command = [sys.executable, str(HERE / "step.py"), "--model", name, "--mode", mode, "--batch", str(batch)]
    return run([*command, "--steps", str(args.steps), "--threads", str(args.threads)])


def summary(rounds):
    """The median of every number over the rounds that worked."""
    good = [found for found in rounds if "error" not in found]
    if not good:
        return rounds[0]
    numbers = [key for key, value in good[0].items() if isinstance(value, int | float)]
    return {key: statistics.median(found[key] for found in good) for key in numbers}


def row(name, batch, ours, peers):
    good = {mode: found for mode, found in peers.items() if "error" not in found}
    seconds = [f"{peers[mode]['median_s']:.3f}" if mode in good else "fails" for mode in MODES]
    best = min((found["median_s"], mode) for mode, found in good.items()) if good else None
    if "error" in ours:
        return [name, batch, "fails", *seconds, "", "", "", ""]
    ratio = f"{ours['median_s'] / best[0]:.2f}" if best else ""
    share = f"{100 * ours['gflop'] / ours['median_s'] / ours['sgemm']:.0f} %"
    memory = f"{good[best[1]]['peak_rss_mib']:.0f}" if best else ""
    return [name, batch, f"{ours['median_s']:.3f}", *seconds, ratio, share, f"{ours['peak_rss_mib']:.0f}", memory]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipe", default="target/release/pipe")
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path("target/bench"), help="folder of the ONNX files")
    parser.add_argument("--only", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, help="instead of each network's own")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    measured = {}
    for number in range(args.rounds):
        for name in args.only:
            batch = args.batch or MODELS[name].batch
            rounds = measured.setdefault(name, {"pipe": [], **{mode: [] for mode in args.modes}})
            for program in rounds:
                found = pipe(args, name, batch) if program == "pipe" else torch(args, name, batch, program)
                rounds[program].append(found)
                text = found.get("error") or f"{found['median_s']:.3f} s, {found['peak_rss_mib']} MiB"
                print(f"round {number + 1}  {name:<9} {program:<14} {text}", file=sys.stderr, flush=True)
    head = ["network", "batch", "pipe s", *(f"torch {mode} s" for mode in MODES), "pipe ÷ best", "of sgemm", "pipe MiB"]
    head.append("best torch MiB")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, rounds in measured.items():
        found = {program: summary(all_rounds) for program, all_rounds in rounds.items()}
        missing = {mode: {"error": "not run"} for mode in MODES}
        cells = row(name, args.batch or MODELS[name].batch, found["pipe"], {**missing, **{m: found[m] for m in args.modes}})
        print("| " + " | ".join(map(str, cells)) + " |")
    if args.json:
        args.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
