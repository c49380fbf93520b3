#!/usr/bin/env bash
# Memory of full training steps: what `pipe plan` would say and what is measured, at several sizes of batch, then with all values made again
# for backward (`recompute: ['*']`), and how much longer that takes. benches/memory.sh [PYTHON]
# PYTHON has torch, torchvision, timm, transformers, onnx; it makes the models that are not there yet and, with TORCH=1, is measured as well.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
pipe=${PIPE:-target/release/pipe}
out=target/bench
mkdir -p "$out"
models=$(cat <<'MODELS'
resnet50 sgd 4 16 32
lite0 sgd 4 16 32
vgg16 sgd 4 16
vit sgd 2 8
minilm adamw 8 32
MODELS
)
printf '| model | batch | estimated MiB | measured MiB | estimated ÷ measured | PyTorch MiB | pipe ÷ PyTorch |\n|---|---|---|---|---|---|---|\n'
while read -r model optimizer batches; do
    [ -f "$out/$model.onnx" ] || "$python" benches/peers/export.py "$model" "$out/$model.onnx" >/dev/null
    for batch in $batches; do
        found=$("$pipe" bench "$out/$model.onnx" --batch "$batch" --steps 2 --optimizer "$optimizer" --json)
        torch=null
        if [ "${TORCH:-0}" = 1 ]; then
            torch=$("$python" benches/peers/step.py --model "$model" --batch "$batch" --steps 2 | tail -n 1)
        fi
        "$python" - "$model" "$batch" "$found" "$torch" <<'PYTHON'
import json, sys
model, batch, found, torch = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
estimated, measured = found["estimated_bytes"] / 2**20, found["peak_rss_bytes"] / 2**20
peer = ("–", "–") if torch is None else (torch["peak_rss_mib"], f"{measured / torch['peak_rss_mib']:.2f}")
print(f"| {model} | {batch} | {estimated:.0f} | {measured:.0f} | {estimated / measured:.2f} | {peer[0]} | {peer[1]} |")
PYTHON
    done
done <<<"$models"
printf '\n| model | batch | estimated MiB | measured MiB | estimated ÷ measured | ÷ kept: memory | ÷ kept: time |\n|---|---|---|---|---|---|---|\n'
while read -r model optimizer batches; do
    batch=${batches##* }
    for again in 1 2 3; do
        for recompute in "" "--recompute=*"; do
            "$pipe" bench "$out/$model.onnx" --batch "$batch" --steps 2 --optimizer "$optimizer" $recompute --json
        done
    done | "$python" -c '
import json, statistics, sys
model, batch = sys.argv[1:]
text, found = sys.stdin.read(), []
while text.strip():
    one, end = json.JSONDecoder().raw_decode(text.lstrip())
    found.append(one)
    text = text.lstrip()[end:]
kept, again = found[::2], found[1::2]
middle = lambda runs, key: statistics.median(run[key] for run in runs)
estimated, measured = middle(again, "estimated_bytes"), middle(again, "peak_rss_bytes")
memory, time = measured / middle(kept, "peak_rss_bytes"), middle(again, "step_seconds_median") / middle(kept, "step_seconds_median")
sizes = f"{estimated / 2**20:.0f} | {measured / 2**20:.0f} | {estimated / measured:.2f}"
print(f"| {model} | {batch} | {sizes} | {memory:.2f} | {time:.2f} |")
' "$model" "$batch"
done <<<"$models"
