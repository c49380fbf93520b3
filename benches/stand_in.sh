#!/usr/bin/env bash
# Memory that full steps ask a GPU for, without one: `pipe bench` on the stand-in for CUDA's libraries, whose context takes nothing.
# benches/stand_in.sh MODEL:BATCH:OPTIMIZER… with more options of `pipe bench` in OPTIONS, such as `--recompute *`. Times mean nothing there.
# First `pipe setup --cuda`, and `cargo test --test it stand_in`, which compiles the stand-in.
set -euo pipefail
set -f
cd "$(dirname "$0")/.."
export LD_LIBRARY_PATH=$PWD/target/tmp/stand_in STAND_IN_MEMORY=${STAND_IN_MEMORY:-142000}
if [ -z "${PIPE_ORT:-}" ]; then
    PIPE_ORT=$(find "${XDG_DATA_HOME:-$HOME/.local/share}/pipe" -path '*-cuda/*' -name 'libonnxruntime.so.*' | head -n 1)
fi
export PIPE_ORT
for row in "$@"; do
    IFS=: read -r model batch optimizer <<<"$row"
    for precision in ${PRECISIONS:-f32 bf16}; do
        # shellcheck disable=SC2086
        "${PIPE:-target/release/pipe}" bench "$model" --batch "$batch" --optimizer "$optimizer" --steps 8 --device cuda \
            --precision "$precision" ${OPTIONS:-} | grep -A 1 '^gpu' | sed "s|^|$model $batch $precision |"
    done
done
