#!/usr/bin/env bash
# What a GPU makes of kzoo, in one call of under ten minutes: JAX and PyTorch, float32
# and bfloat16, one step an execution or 25 (PyTorch: operations one by one or compiled),
# against the loops by hand and against the device's own limits. TensorFlow is measured
# where it sees a GPU.
#
#   bash benchmarks/gpu.sh runs/gpu            (MODELS, STEPS, ROUNDS and LIMITS
#                                                make it shorter)
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-saved_models/gpu}
options=(--models "${MODELS:-conv VAE,SNGAN}" --steps "${STEPS:-100}")
options+=(--rounds "${ROUNDS:-5}" --limits "${LIMITS:-8192}")
mkdir -p "$output"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.limit --format=csv ||
    echo "No GPU is seen: these are figures of the CPU." >&2

measure() { # backend, name of the run, further options
    echo "== $1, $2"
    KERAS_BACKEND=$1 timeout 70 python3 benchmarks/throughput.py "${options[@]}" \
        --output "$output/$2" "${@:3}" || echo "$1, $2: no figure"
}

for precision in float32 bfloat16; do
    measure jax "$precision" --precision $precision
    measure jax "$precision-fused" --precision $precision --steps-per-execution 25
    measure torch "$precision" --precision $precision
done
measure torch float32-compiled --jit-compile --rival-compiled
if python3 -c 'import tensorflow as tf, sys; sys.exit(not tf.config.list_physical_devices("GPU"))'; then
    measure tensorflow float32
else
    echo "TensorFlow sees no GPU here: not measured."
fi
