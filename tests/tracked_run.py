"""A run without the training: what the loop would call, in the order in which it would call it.

    python tracked_run.py MODE FIRST ACTION...

does in `run` what a run does that has rows up to the step FIRST. An action is a step, or `wait`: then a line
on standard input says when to go on. With `watch` among them, gradients are sent. At the end of the loop, and
before the run is closed, it says how many calls of W&B's client the loop has made itself.
"""

import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import torch

from cursivetransformer.config import PACKAGE, preset, write_atomic
from cursivetransformer.training.tracking import STATE_FILES, Tracker

FOLDER = Path("run")
MODEL = PACKAGE / "default.safetensors"


def note_callers(run) -> list:
    "Every call of what may wait for the network, from now on: whether the main thread made it."
    calls = []

    def noted(method):
        def call(*args, **kwargs):
            calls.append(threading.current_thread() is threading.main_thread())
            return method(*args, **kwargs)

        return call

    for name in ("log", "log_artifact"):
        setattr(type(run), name, noted(getattr(type(run), name)))
    return calls


def evaluate(tracker, step):
    "What happens every tenth step."
    tracker.log(dict(step=step, test_loss=9 - step / 10))
    for name in "last.safetensors", "best.safetensors":
        shutil.copy(MODEL, FOLDER / name)
    for name in STATE_FILES:
        write_atomic(FOLDER / name, f"{name} at {step}")
    tracker.checkpoint(best=True)
    picture = FOLDER / "samples" / f"step_{step:06d}_test_topk_1.png"
    picture.parent.mkdir(exist_ok=True)
    matplotlib.image.imsave(picture, np.full((8, 8, 3), step / 255))
    weight = SimpleNamespace(grad=torch.arange(6.0))
    tracker.log_samples(step, [picture], SimpleNamespace(named_parameters=lambda: [("w", weight)]))


def main(mode, first, *actions):
    settings = dict(run_dir="run", max_steps=100, log_every=10)
    config = preset("debug", **settings, wandb_mode=mode, wandb_watch="watch" in actions)
    rows = [dict(step=s, train_loss=10 - s / 10) for s in range(5, int(first), 5)]
    with Tracker(config, FOLDER, rows) as tracker:
        calls = note_callers(tracker.connection.run) if tracker.connection else []
        for action in actions:
            if action == "wait":
                print("waiting", flush=True)
                sys.stdin.readline()
            if action.isdigit():
                step = int(action)
                tracker.log(dict(step=step, train_loss=10 - step / 10))
                if step % 10 == 0:
                    evaluate(tracker, step)
        print(f"the loop is done and made {sum(calls)} calls", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
