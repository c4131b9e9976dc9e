#!/usr/bin/env bash
# What a GPU is asked, in under nine minutes on an H100 or H200, without a network:
#     benchmarks/gpu.sh OUT BANK            BANK is a word bank, or several joined by +
#     benchmarks/gpu.sh OUT BANK --small    the same in miniature, from end to end on any machine
# Everything lands in OUT/<name of the card>. A step that is done is not done again, so a call that was cut
# off can be repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?where to put the results} bank=${2:?a word bank} small=${3:-}
card=$(python3 -c "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu')")
folder=$out/${card// /-}
mkdir -p "$folder"
export WANDB_MODE=disabled PYTHONUNBUFFERED=1
cursive() { python3 -m cursivetransformer "$@"; }
step() { # name, command: its output to name.log, once
    local name=$1
    shift
    if [ -e "$folder/$name.done" ]; then
        echo "== $name: done before"
        return
    fi
    echo "== $name: $*"
    local start=$SECONDS
    "$@" > "$folder/$name.log" 2>&1 || { tail -n 20 "$folder/$name.log"; echo "== $name failed"; return; }
    echo "$((SECONDS - start)) s" | tee "$folder/$name.done"
    tail -n 3 "$folder/$name.log"
}
if [ "$small" = --small ]; then
    size=(--train-size 200 --test-size 20 --n-layer 1 --num-words 1 --merges 32)
    steps=(--max-steps 40 --log-every 20 --print-every 10 --batch-size 4)
else
    size=() steps=(--max-steps 3000 --log-every 500 --print-every 100 --batch-size 64)
fi

resume=()
[ -e "$folder/default/state.pt" ] && resume=(--resume)
step default cursive train --dataset-name "$bank" --wandb-mode disabled --run-dir "$folder/default" \
    "${steps[@]}" "${size[@]}" "${resume[@]}"
step tests python3 -m pytest -m gpu -o addopts= -p no:cacheprovider tests/training/test_gpu.py
for preset in default paper; do
    for graphs in true false; do
        step "step-$preset-graphs-$graphs" cursive bench train --preset $preset --dataset-name "$bank" \
            --cuda-graphs=$graphs "${size[@]}"
    done
done
step batches cursive bench data --preset default --dataset-name "$bank" "${size[@]}"
step writing cursive bench sample
step ddp-of-one torchrun --nproc-per-node 1 --no-python python3 -m cursivetransformer train --preset debug \
    --dataset-name "$bank" --max-steps 40 --wandb-mode disabled --run-dir "$folder/ddp"
# A minute or two of compiling each, so they come last.
step step-paper-compile timeout "${COMPILE_SECONDS:-200}" python3 -m cursivetransformer bench train --preset paper \
    --dataset-name "$bank" --cuda-graphs=false --compile=true "${size[@]}"
