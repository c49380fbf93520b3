#!/usr/bin/env bash
# The benchmarks side by side: benches/run.sh [PYTHON with torch, torchvision, onnx, pillow]. Nothing else should be running.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
pipe=${PIPE:-target/release/pipe}
export OMP_NUM_THREADS=${THREADS:-2}
out=target/bench
mkdir -p "$out"
[ -d "$out/images" ] || "$python" benches/peers/images.py "$out/images"
[ -f "$out/resnet50.onnx" ] || "$python" benches/peers/export.py resnet50 "$out/resnet50.onnx"

seconds() { local start end; start=$(date +%s.%N); "$@" >/dev/null; end=$(date +%s.%N); echo "$end - $start" | bc; }

echo "== textbook: frozen ResNet-50, new head, 10 epochs over 300 pictures; seconds of the whole process"
for round in 1 2 3; do
    rm -rf "$out/run" benches/.pipe
    echo "pipe                 $(seconds "$pipe" run benches/textbook.yaml --out "$out/run" --quiet)"
    rm -rf "$out/run"
    # Another seed: the head is trained anew, from the same features.
    echo "pipe, features cached $(seconds "$pipe" run benches/textbook.yaml --out "$out/run" --quiet --set seed=1)"
    [ "$round" = 1 ] && echo "torch textbook       $("$python" benches/peers/textbook.py "$out/images" "$out/resnet50.pt")"
    [ "$round" = 1 ] && echo "torch best           $("$python" benches/peers/textbook.py "$out/images" "$out/resnet50.pt" --channels-last --eval-bn)"
done

echo "== step: full fine-tuning of ResNet-50, batch 16; median seconds of a step without the first"
rm -rf "$out/run"
"$pipe" run benches/step.yaml --out "$out/run" --quiet --fresh
python3 - "$out/run/timing.jsonl" <<'PY'
import json, statistics, sys
at = [e["seconds"] for e in map(json.loads, open(sys.argv[1])) if "step" in e]
print("pipe                ", statistics.median(b - a for a, b in zip(at, at[1:])))
PY
for mode in eager channels_last compile; do
    echo "torch $mode: $("$python" benches/peers/step.py --mode "$mode")"
done

echo "== check: median seconds of the whole process over 50 runs"
for i in $(seq 50); do seconds "$pipe" check pipelines/resnet50-cifar10.yaml; done | sort -n | sed -n 25p
