#!/usr/bin/env bash
# The last stage of a ResNet-50 unfrozen, with a new layer, 10 epochs over 300 pictures, from the start of the process to its end, beside
# PyTorch (channels_last, the frozen part in eval mode): benches/last_stage.sh [PYTHON with torch, torchvision, onnx, pillow].
# Nothing else should be running.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
pipe=${PIPE:-target/release/pipe}
export OMP_NUM_THREADS=${THREADS:-2}
out=target/bench
mkdir -p "$out"
[ -d "$out/images" ] || "$python" benches/peers/images.py "$out/images"
[ -f "$out/resnet50.onnx" ] || "$python" benches/peers/export.py resnet50 "$out/resnet50.onnx"

for round in $(seq "${ROUNDS:-3}"); do
    rm -rf "$out/run" benches/.pipe
    began=$(date +%s.%N)
    "$pipe" run benches/last_stage.yaml --out "$out/run" --quiet --set "runtime.threads=${THREADS:-2}"
    ended=$(date +%s.%N)
    ours=$(echo "$ended - $began" | bc)
    theirs=$("$python" benches/peers/textbook.py "$out/images" "$out/resnet50.pt" --batch 50 --unfrozen layer4 --channels-last --eval-bn)
    "$python" - "$round" "$ours" "$theirs" <<'PYTHON'
import json, sys
number, ours, theirs = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
print(f"round {number}: pipe {ours:.1f} s, PyTorch {theirs['total_s']:.1f} s, ratio {ours / theirs['total_s']:.2f}", flush=True)
PYTHON
done
