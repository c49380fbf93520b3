#!/usr/bin/env bash
# Training on a GPU: checks, then times, beside PyTorch on the same device in the same run. benches/cuda.sh [PYTHON]
# PYTHON has torch with CUDA 13, torchvision, onnx. Says so and ends where there is no GPU.
# PIPE and TESTS name a built command and test program where nothing can be built; PIPE_ORT names an ONNX Runtime with CUDA
# (`pipe setup --cuda` installs one). STEPS are timed for each figure; MODES are PyTorch's (`eager,compile` takes minutes more), MODELS and
# PRECISIONS what is timed, SAMPLES what the frozen part of ResNet-50 runs over on both devices.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
steps=${STEPS:-20}
samples=${SAMPLES:-1024}
modes=${MODES:-eager}
precisions=${PRECISIONS:-f32,tf32,bf16,f16}
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
for test in losses_are two_runs a_resumed_run a_bad_value memory_that a_plan_says operators_are golden_curves own_operators \
    kernels_compile gradients_are what_is_made_again; do
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
models=${MODELS:-resnet50:64:sgd bert_base:32:adamw resnet50:256:sgd}
: >"$out/torch.jsonl"
for row in $models; do
    IFS=: read -r model batch optimizer <<<"$row"
    "$python" benches/peers/cuda_steps.py --model "$model" --batch "$batch" --precision "$precisions" --mode "$modes" --steps "$steps" \
        --json | tee -a "$out/torch.jsonl" | cut -c1-160
done
echo '| step | batch | numbers | pipe s | PyTorch s | ratio | compiled s | ratio | share of the product | GPU MiB | estimated | of PyTorch | recorded |'
echo '|---|---|---|---|---|---|---|---|---|---|---|---|---|'
for row in $models; do
    IFS=: read -r model batch optimizer <<<"$row"
    for precision in ${precisions//,/ }; do
        found=$out/$model-$batch-$precision
        timeout 120 "$pipe" bench "$out/$model.onnx" --batch "$batch" --steps "$steps" --optimizer "$optimizer" --device cuda \
            --precision "$precision" --json >"$found.json" 2>"$found.log" || echo null >"$found.json"
        "$python" - "$model" "$batch" "$precision" "$found.json" "$out/torch.jsonl" "$ceiling" <<'PYTHON'
import json, sys

model, batch, precision, found, peers, ceiling = sys.argv[1:]
found, ceiling = json.load(open(found)), json.loads(ceiling)
rows = [json.loads(line) for line in open(peers)]
rows = [row for row in rows if (row["model"], str(row["batch"]), row["precision"]) == (model, batch, precision)]
peer = {row["mode"]: row for row in rows if "error" not in row}
if found is None:
    print(f"| {model} | {batch} | {precision} | failed | | | | | | | | | |")
    sys.exit(1)
mine = found["step_seconds_median"]
cells = []
for mode in ("eager", "compile"):
    seconds = peer[mode]["step_seconds_median"] if mode in peer else None
    cells += ["–", "–"] if seconds is None else [f"{seconds:.4f}", f"{mine / seconds:.2f}"]
share = found["step_gflop"] / 1e3 / mine / ceiling[f"matmul_{precision}_tflops"]
peak = f"{peer['eager']['peak_bytes'] >> 20}" if "eager" in peer else "–"
memory = [str(found[key] >> 20) for key in ("gpu_bytes", "gpu_estimated_bytes")]
recorded = "yes" if found.get("recorded") else found.get("not_recorded_because", "no")
cells = [model, batch, precision, f"{mine:.4f}", *cells, f"{share:.0%}", *memory, peak, recorded]
print(f"| {' | '.join(cells)} |")
PYTHON
        [ $? -eq 0 ] || failed=1
    done
done
# All of ResNet-50 but its last layer is frozen: its features are computed once, then the layer is trained. The whole process, with what
# takes no part in that (loading, one layer's steps) measured on few samples and taken off.
"$python" - "$pipe" "$out" "$samples" <<'PYTHON' || failed=1
import shutil, subprocess, sys, time

import numpy

pipe, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
random = numpy.random.default_rng(0)
for name, size in (("few", 32), ("many", count)):
    pictures = random.standard_normal((size, 3, 224, 224), dtype=numpy.float32)
    numpy.savez(f"{out}/{name}.npz", x=pictures, y=random.integers(0, 1000, size))
    with open(f"{out}/{name}.yaml", "w", encoding="utf-8") as spec:
        spec.write(
            f"version: 1\nname: {name}\nmodel: {{source: resnet50.onnx}}\nfreeze: {{all_but: ['fc.*']}}\n"
            f"data: {{sets: {{train: {{npz: {name}.npz}}}}}}\nloss: cross_entropy\noptimizer: {{sgd: {{lr: 0.01}}}}\n"
            "schedule: {epochs: 1, batch: 32}\n"
        )
print("| frozen ResNet-50 | samples | whole run s | samples a second |\n|---|---|---|---|")
for device in ("cuda", "cpu"):
    seconds = {}
    for name in ("few", "many"):
        run = [pipe, "run", f"{out}/{name}.yaml", "--device", device, "--fresh", "--quiet", "--out", f"{out}/frozen-{name}-{device}"]
        shutil.rmtree(run[-1], ignore_errors=True)
        began = time.perf_counter()
        subprocess.run(run, check=True, timeout=120)
        seconds[name] = time.perf_counter() - began
    rate = (count - 32) / (seconds["many"] - seconds["few"])
    print(f"| {device} | {count} | {seconds['many']:.2f} | {rate:.0f} |", flush=True)
PYTHON
exit $failed
