#!/usr/bin/env bash
# Full training steps side by side with PyTorch: benches/steps.sh [PYTHON] [arguments of peers/steps.py, such as --only lite0 --rounds 1].
# PYTHON has torch, torchvision, timm, transformers, onnx. Nothing else should be running.
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    python=$1
    shift
fi
out=target/bench
mkdir -p "$out"
for model in resnet50 lite0 vgg16 vit minilm; do
    [ -f "$out/$model.onnx" ] || "$python" benches/peers/export.py "$model" "$out/$model.onnx"
done
export OMP_NUM_THREADS=${THREADS:-2}
exec "$python" benches/peers/steps.py --pipe "${PIPE:-target/release/pipe}" --models "$out" --threads "${THREADS:-2}" "$@"
