#!/usr/bin/env bash
# What a reviewed spec costs: checking, planning, and a run of which every step is cached. benches/spec.sh; nothing else should be running.
# Needs target/bench/resnet50.onnx and target/bench/images, which benches/run.sh makes. Medians of 21 processes (5 of the longer ones).
set -euo pipefail
cd "$(dirname "$0")/.."
pipe=$(realpath "${PIPE:-target/release/pipe}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

milliseconds() { # rounds, command…
    local rounds=$1 start end
    shift
    for _ in $(seq "$rounds"); do
        start=$(date +%s%N)
        "$@" >/dev/null 2>&1
        end=$(date +%s%N)
        echo $(((end - start) / 1000))
    done | sort -n | awk '{at[NR] = $1} END {printf "%.1f ms\n", at[int((NR + 1) / 2)] / 1000}'
}

python3 - "$work" <<'PY'
import pathlib, sys
root = pathlib.Path(sys.argv[1])
def spec(name, branches):
    layers = "".join(f"  b{i}:\n    from: x\n    stack:\n      - linear: {i + 2}\n      - relu\n      - dropout: 0.1\n" for i in range(branches))
    terms = "".join(f"  t{i}:\n    cross_entropy:\n      of: b{i}\n      label_smoothing: 0.1\n" for i in range(branches))
    return (f"version: 1\nname: {name}\nseed: 1\nmodel:\n  source: m.onnx\nfreeze: all\nlayers:\n{layers}data:\n  sets:\n    train:\n      npz: t.npz\n"
            f"  validation:\n    from: train\n    fraction: 20%\nloss:\n{terms}optimizer:\n  adamw:\n    lr: 1e-3\nschedule:\n  epochs: 3\n  batch: 8\n")
long = spec("long", 18)
(root / "long.yaml").write_text(long)
print("lines of the long spec:", long.count("\n"))
(root / "many").mkdir()
for i in range(500):
    (root / f"many/{i:03}.yaml").write_text(spec(f"s{i}", 4))
PY
printf 'check of the long spec: '
milliseconds 21 "$pipe" check "$work/long.yaml"
printf 'check of 500 specs (%s lines each): ' "$(wc -l <"$work/many/000.yaml")"
milliseconds 5 "$pipe" check "$work/many"

rm -rf benches/.pipe target/bench/run
printf 'plan with ResNet-50 (98 MiB), nothing cached: '
milliseconds 5 "$pipe" plan benches/textbook.yaml
"$pipe" run benches/textbook.yaml --out target/bench/run --quiet
cached() { rm -rf target/bench/run && "$pipe" run benches/textbook.yaml --out target/bench/run --quiet; }
printf 'run of it, every step cached (two models of 90 MiB are written): '
milliseconds 5 cached
cp -r examples/quickstart "$work/quickstart"
rm -rf "$work/quickstart/runs" "$work/quickstart/.pipe"
"$pipe" run "$work/quickstart/spec.yaml" --quiet
printf 'run of the quickstart, every step cached: '
milliseconds 21 "$pipe" run "$work/quickstart/spec.yaml" --quiet

# What a step of the DAG costs: plans and cached runs of 2 and of 42 phases of one batch each.
for phases in 2 42; do
    sed "/^schedule:/,/^[a-z]*:\$/{/^schedule:/!{/^ /d}}; s/^schedule:/schedule: {batch: 32, phases: [$(seq -s, "$phases" | sed 's/[0-9]*/{steps: 1}/g')]}/" \
        "$work/quickstart/spec.yaml" >"$work/quickstart/phases-$phases.yaml"
    "$pipe" run "$work/quickstart/phases-$phases.yaml" --quiet
    printf 'plan of %s phases of one batch: ' "$phases"
    milliseconds 21 "$pipe" plan "$work/quickstart/phases-$phases.yaml"
    printf 'run of them, every step cached (a durable checkpoint each): '
    milliseconds 21 "$pipe" run "$work/quickstart/phases-$phases.yaml" --quiet
done

# Keys read every sample: 2 GiB of pictures, first never seen, then known.
mkdir -p "$work/data/a" "$work/data/b"
for i in $(seq 64); do head -c 33554432 /dev/urandom >"$work/data/$([ $((i % 2)) = 0 ] && echo a || echo b)/$i.png"; done
cat >"$work/data.yaml" <<'Y'
version: 1
name: hashing
model: {input: {image: [3, 8, 8]}}
layers: {net: {stack: [flatten, linear: 2]}}
data: {sets: {train: {image_folder: data}}, transforms: [resize: [8, 8], to_tensor]}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1}}
schedule: {epochs: 1, batch: 4}
Y
find "$work/data" -type f -exec touch -d '1 hour ago' {} +
find "$work/data" -type f -exec cat {} + >/dev/null
fresh() { rm -rf "$work/.pipe" && "$pipe" plan "$work/data.yaml"; }
printf 'plan over 2 GiB of files in memory, digests unknown, %s threads: ' "$(nproc)"
milliseconds 5 fresh
printf 'plan over them, digests known: '
milliseconds 5 "$pipe" plan "$work/data.yaml"
