"""Short runs, in this process and in others, and what they leave, for the tests of the room training."""

import json
import os
import subprocess
import sys
import time

import torch
from conftest import CURSIVE
from safetensors.torch import save_file

from cursivetransformer.config import preset
from cursivetransformer.model.checkpoint import digest, read_safetensors
from cursivetransformer.training.runs import read_metrics
from cursivetransformer.training.train import train

FAST = dict(dataset_name="embedded", print_every=2, log_every=4, schedule="step", step_lr_every=3)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", *CURSIVE]
PATIENCE = 180  # seconds until what is waited for counts as never coming


def short_run(folder, **settings):
    "A run of a small model on the embedded bank."
    return train(preset("debug", **{**FAST, **settings}, run_dir=str(folder)))


# What settings that the fifth edition did not have meant then.
FIFTH = dict(tokenizer="polar", split_version=1, splice=0.0, max_text_length=50)
LATER = "split_version splice max_text_length cuda_graphs grid merges merge_ids tokens_per_character".split()


def as_the_fifth_kept_it(folder, **settings):
    "Take from a run's files the settings that the fifth edition did not have, and put others in."

    def then(config):
        return {name: value for name, value in {**config, **settings}.items() if name not in LATER}

    path = folder / "config.json"
    path.write_text(json.dumps(then(json.loads(path.read_text()))))
    state = torch.load(folder / "state.pt", weights_only=True)
    torch.save({**state, "config": then(state["config"])}, folder / "state.pt")
    for path in folder.glob("*.safetensors"):
        weights, header = read_safetensors(path)
        header["config"] = json.dumps(then(json.loads(header["config"])))
        save_file(weights, path, {**header, "sha256": digest(weights, header)})


def losses(run_or_folder):
    "The training losses of a run, in order."
    rows = run_or_folder.metrics if hasattr(run_or_folder, "metrics") else read_metrics(run_or_folder)
    return [r["train_loss"] for r in rows if "train_loss" in r]


def loss_by_step(folder):
    "The training losses in a run's folder: `{step: loss}`."
    return {r["step"]: r["train_loss"] for r in read_metrics(folder) if "train_loss" in r}


def start(folder, name, *flags, command=CURSIVE):
    "Start a long run in a process of its own, that says each step."
    settings = ["--preset", "debug", "--dataset-name", "embedded", "--schedule", "step", "--run-dir", name]
    often = ["--print-every", "1", "--log-every", "5", "--max-steps", "4000"]
    return subprocess.Popen(
        [*command, "train", *settings, *often, *flags],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_until(there, process):
    "Wait until `there()` is true, which a process brings about. Fails when the process ends before."
    end = time.monotonic() + PATIENCE
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the process did not get there"
        time.sleep(0.05)


def wait_for_step(folder, step, process):
    "Wait until a run's folder has a line of metrics of this step or a later one."

    def there():
        rows = read_metrics(folder)
        return rows and rows[-1]["step"] >= step

    wait_until(there, process)


def resume(folder, *flags):
    "Go on with the run in `run`, in a process of its own."
    done = subprocess.run(
        [*CURSIVE, "train", "--resume", "--run-dir", "run", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done
