#!/usr/bin/env bash
# The gradient of every parameter of real networks against PyTorch in float64: benches/gradients.sh [PYTHON] [arguments of
# peers/gradients.py, such as --only resnet18 --again]. Writes docs/gradients.md.
# PYTHON has torch, torchvision, timm, transformers, onnx, safetensors and pip. Takes ten minutes on two cores. What was measured before is not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    python=$1
    shift
fi
exec "$python" benches/peers/gradients.py --pipe "${PIPE:-target/release/pipe}" --threads "${THREADS:-2}" "$@"
