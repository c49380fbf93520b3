#!/usr/bin/env bash
# The gradient of every parameter of real networks against PyTorch in float64: benches/gradients.sh [PYTHON] [arguments of
# peers/gradients.py, such as --only resnet18 --again]. Writes docs/gradients.md. With ORACLE=1, ONNX Runtime's own training engine is
# installed into target/bench/oracle and asked as well; its wheels are for Python 3.8 to 3.11 (ORACLE_PYTHON, else PYTHON).
# PYTHON has torch, torchvision, timm, transformers, onnx, safetensors and pip. Takes ten minutes on two cores. What was measured before is not measured again.
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    python=$1
    shift
fi
oracle=()
if [ "${ORACLE:-0}" = 1 ]; then
    venv=target/bench/oracle
    if [ ! -x "$venv/bin/python" ]; then
        "${ORACLE_PYTHON:-$python}" -m venv "$venv"
        "$venv/bin/pip" install -q onnxruntime-training-cpu==1.19.2 onnx==1.17.0 'numpy<2' h5py cerberus safetensors
    fi
    oracle=(--oracle "$venv/bin/python")
fi
exec "$python" benches/peers/gradients.py --pipe "${PIPE:-target/release/pipe}" --threads "${THREADS:-2}" "${oracle[@]}" "$@"
