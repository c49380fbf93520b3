#!/usr/bin/env bash
# Training on a GPU: checks, then times, beside PyTorch on the same device in the same run. benches/cuda.sh [PYTHON]
# PYTHON has torch with CUDA 13, torchvision, onnx. Says so and ends where there is no GPU.
# PIPE and TESTS name a built command and test program where nothing can be built; PIPE_ORT names an ONNX Runtime with CUDA
# (`pipe setup --cuda` installs one). STEPS are timed for each figure, MODES are PyTorch's.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
steps=${STEPS:-20}
modes=${MODES:-eager}
out=target/bench/cuda
mkdir -p "$out"
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L | grep -q GPU; then
    echo "no NVIDIA GPU here: nothing to check or to time"
    exit 0
fi
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
if [ -z "${PIPE:-}" ]; then
    cargo build --release --locked
    target/release/pipe setup --cuda
fi
pipe=${PIPE:-target/release/pipe}
if [ -z "${PIPE_ORT:-}" ]; then
    PIPE_ORT=$(find "${XDG_DATA_HOME:-$HOME/.local/share}/pipe" -path '*-cuda/*' -name 'libonnxruntime.so.*' | head -n 1)
fi
export PIPE_ORT
failed=0
for test in losses_are two_runs a_bad_value kernels_compile gradients_are; do
    if [ -n "${TESTS:-}" ]; then
        "$TESTS" "cuda::$test" --test-threads 1 >"$out/$test.log" 2>&1
    else
        cargo test --locked --test it "cuda::$test" -- --test-threads 1 >"$out/$test.log" 2>&1
    fi && echo "passed $test" || { failed=1; echo "FAILED $test"; tail -n 12 "$out/$test.log" | cut -c1-300; }
done
for model in resnet50 bert_base; do
    [ -f "$out/$model.onnx" ] || "$python" benches/peers/cuda_models.py "$out" "$model"
done
ceiling=$("$python" benches/peers/cuda_ceiling.py | tail -n 1)
echo "$ceiling"
: >"$out/torch.jsonl"
"$python" benches/peers/cuda_steps.py --model resnet50,bert_base --batch 64,32 --precision f32,tf32,bf16,f16 --mode "$modes" \
    --steps "$steps" --json | tee -a "$out/torch.jsonl" | cut -c1-160
printf '| step | numbers | pipe s | PyTorch s | pipe ÷ PyTorch | share of the product | GPU MiB |\n|---|---|---|---|---|---|---|\n'
while read -r model batch optimizer; do
    for precision in f32 tf32 bf16 f16; do
        found=$(timeout 120 "$pipe" bench "$out/$model.onnx" --batch "$batch" --steps "$steps" --optimizer "$optimizer" --device cuda \
            --precision "$precision" --json 2>"$out/$model-$precision.log") || found=null
        "$python" - "$model" "$precision" "$found" "$out/torch.jsonl" "$ceiling" <<'PYTHON'
import json, sys
model, precision, found, peers, ceiling = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5])
rows = [json.loads(line) for line in open(peers)]
rows = [row for row in rows if row["model"] == model and row["precision"] == precision and "error" not in row]
best = min(rows, key=lambda row: row["step_seconds_median"], default=None)
if found is None:
    print(f"| {model} | {precision} | failed | | | | |")
else:
    mine = found["step_seconds_median"]
    peer = ("–", "–") if best is None else (f"{best['step_seconds_median']:.4f} ({best['mode']})", f"{mine / best['step_seconds_median']:.2f}")
    share = found["step_gflop"] / 1e3 / mine / ceiling[f"matmul_{precision}_tflops"]
    print(f"| {model} | {precision} | {mine:.4f} | {peer[0]} | {peer[1]} | {share:.0%} | {found['gpu_bytes'] >> 20} |")
PYTHON
    done
done <<'MODELS'
resnet50 64 sgd
bert_base 32 adamw
MODELS
exit $failed
